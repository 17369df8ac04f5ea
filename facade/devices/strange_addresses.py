"""How many handshakes an address may begin from which no device was let in lately.

A handshake that fails takes a millisecond or two of a processor, and somebody who connects again
and again has begun the next one by then. So an unknown address has a burst of handshakes, and then
a few a second. Further connections are closed before their handshake.

- An address is known for a day after a device was let in from it. Behind a site's NAT or a load
  balancer everybody has the same address as devices, so nobody there is kept out for what others
  do.
- A handshake with a good end does not count.
"""

import time
from collections.abc import Callable
from typing import Final

from attrs import define, field

from shared.bounded_map import BoundedMap
from shared.pace import Pace

# Twice what may be under way at once. When a fleet comes for the first time, some are in by then.
STRANGE_AT_ONCE: Final = 1024  # handshakes: some 2 s of a core
STRANGE_PER_SECOND: Final = 20.0  # after the burst; some 3 percent of a core
MAX_STRANGE_ADDRESSES: Final = 4096  # some 450 bytes each; one that is forgotten begins again
MAX_KNOWN_ADDRESSES: Final = 65_536  # some 400 bytes each
KNOWN_SECONDS: Final = 24 * 3600.0  # since a device was let in last
# A fleet behind one address comes all at once: to note each took a fiftieth of its handshake.
NOTED_EVERY_SECONDS: Final = 60.0


@define(eq=False)
class StrangeAddresses:
    """The addresses of one process. For one event loop."""

    _clock: Callable[[], float] = time.monotonic
    _paces: BoundedMap[str, Pace] = field(init=False)
    _known: BoundedMap[str, float] = field(init=False)  # when that was noted

    def __attrs_post_init__(self) -> None:
        """Begin with every address strange."""
        rested = STRANGE_AT_ONCE / STRANGE_PER_SECOND
        self._paces = BoundedMap(MAX_STRANGE_ADDRESSES, seconds=rested, clock=self._clock)
        self._known = BoundedMap(MAX_KNOWN_ADDRESSES, seconds=KNOWN_SECONDS, clock=self._clock)

    def may_begin(self, site: str) -> bool:
        """Count a handshake that is about to begin; False, and count nothing, if it may not."""
        if site in self._known:
            return True
        pace = self._paces.get(site) or Pace(STRANGE_PER_SECOND, STRANGE_AT_ONCE, self._clock)
        if not pace.take_now(1):
            return False
        self._paces.set(site, pace)
        return True

    def note_good_end(self, site: str) -> None:
        """Know the address of a device that was let in."""
        now, noted_at = self._clock(), self._known.get(site)
        if noted_at is None or now - noted_at >= NOTED_EVERY_SECONDS:
            self._known.set(site, now)
            _ = self._paces.pop(site)
