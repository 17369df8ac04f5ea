"""Handshakes under way: how many there may be, and who gives way or waits at the limit.

    a device connects
       |
       is a place free? ------------- yes -> its handshake begins
       | no
       does the address that has most
       owe stalls? ------------------ yes -> its oldest handshake gives way
       | no
       does any handshake stall? ---- yes -> all that do give way, and their addresses owe them
       | no
       nobody is accepted; who connects waits in the kernel's queue

A fleet that comes at once waits, because its handshakes go on. Somebody who opens handshakes and
leaves them costs others at most `STALL_SECONDS`; from then on such an address pushes out its own. A
handshake with a good end takes one stall off what its address owes. So neither a few bad ones among
a fleet behind one address count for long, nor a few good ones among a flood.
"""

import time
from collections.abc import Callable
from typing import Final

from attrs import define, field

from facade.devices.by_site import BySite
from facade.devices.handshake import Handshake
from shared.bounded_map import BoundedMap

OWED_SECONDS: Final = 60.0  # after its last stall; then an address owes nothing any more
MAX_OWING_SITES: Final = 4096  # some 350 bytes each; the longest owing goes first


@define(eq=False)
class Handshakes:
    """All handshakes of one process."""

    _limit: int
    _clock: Callable[[], float] = field(default=time.monotonic, kw_only=True)
    _under_way: BySite[Handshake] = field(factory=BySite, init=False)
    _owed: BoundedMap[str, int] = field(init=False)  # stalls, by site

    def __attrs_post_init__(self) -> None:
        """Begin with nothing owed."""
        self._owed = BoundedMap(MAX_OWING_SITES, seconds=OWED_SECONDS, clock=self._clock)

    @property
    def count(self) -> int:
        """How many there are."""
        return self._under_way.count

    def has_place(self) -> bool:
        """Tell whether one more may begin. Another one may have given way for it."""
        if self.count < self._limit:
            return True
        most = self._under_way.site_with_most
        if self._owed.get(most):
            self._give_up(self._under_way.oldest_of(most))
            return True
        return self._give_up_stalled()

    def add(self, handshake: Handshake) -> None:
        """Count one that begins."""
        self._under_way.add(handshake, handshake.site)

    def remove(self, handshake: Handshake) -> None:
        """Count one no longer, because it has ended; harmless if it is not counted."""
        self._under_way.remove(handshake, handshake.site)

    def note_good_end(self, site: str) -> None:
        """Note that a device of this site was let in."""
        if owed := self._owed.get(site):
            self._owe(site, owed - 1)

    def give_up_all(self) -> None:
        """End every one."""
        for each in self._under_way.all():
            self._give_up(each)

    def _give_up_stalled(self) -> bool:
        stalled = [each for each in self._under_way.all() if each.is_stalled]
        for each in stalled:
            self._give_up(each)
            self._owe(each.site, (self._owed.get(each.site) or 0) + 1)
        return bool(stalled)

    def _give_up(self, handshake: Handshake) -> None:
        self.remove(handshake)
        handshake.give_up()

    def _owe(self, site: str, stalls: int) -> None:
        if stalls:
            self._owed.set(site, stalls)
        else:
            self._owed.pop(site)
