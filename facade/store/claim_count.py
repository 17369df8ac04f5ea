"""What partials take of the quota at most, counted a part of the time.

Each is looked at by its file, its lock and its announcement, and all others wait while somebody
makes room. So a count of many is used for a while. What was granted meanwhile, by any process of
the machine, is added to it: whoever grants adds to a total in a file first. What ended meanwhile is
not taken off. So partials count for too much until they are looked at, and never for too little.

An earlier version adds nothing to the total. While one runs beside this, what it has granted is not
known for as long as a count is used.

Only whoever makes room uses this: one at a time on a machine.
"""

import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from attrs import define, field, frozen

from facade.store.partials import Claim, Partials
from shared.own_files import open_own

FEW_PARTIALS: Final = 64  # some 2 ms: they are looked at each time
# To look at one takes up to 50 us. So counting takes a twentieth of the time at most.
USED_SECONDS_EACH: Final = 0.001
_TOTAL_BYTES: Final = 8
_WRAPS_AT: Final = 2 ** (8 * _TOTAL_BYTES)


@frozen
class TakenAtMost:
    """Bytes that partials take at most."""

    by_all: int
    by_connection: int  # of the one that asks


@frozen
class _Count:
    granted: int  # the machine's total when it was made
    by_all: int
    by_connection: Counter[str | None]
    until: float


@define(eq=False)
class ClaimCount:
    """Counts for one process. Everything blocks, and raises `OSError`."""

    _partials: Partials
    _granted: Path
    _clock: Callable[[], float] = time.monotonic
    _few: int = FEW_PARTIALS
    _count: _Count | None = field(default=None, init=False)

    def exactly(self) -> list[Claim]:
        """Look at each partial."""
        claims = self._partials.claims()
        until = self._clock() + used_seconds(len(claims), self._few)
        self._count = _counted(claims, self._total(), until)
        return claims

    def at_most(self, access_key: str | None) -> TakenAtMost | None:
        """Return what partials take at most, without looking at them; None: look at them."""
        count = self._count
        if count is None or count.until <= self._clock():
            return None
        since = (self._total() - count.granted) % _WRAPS_AT
        # What nobody is named for may be taken over by any connection.
        of_connection = count.by_connection[access_key] + count.by_connection[None]
        return TakenAtMost(count.by_all + since, of_connection + since)

    def note_granted(self, length: int) -> None:
        """Add to what was granted on this machine. To be called before it is granted."""
        total = (self._total() + length) % _WRAPS_AT
        descriptor = self._open()
        try:
            os.pwrite(descriptor, total.to_bytes(_TOTAL_BYTES), 0)
        finally:
            os.close(descriptor)

    def _total(self) -> int:
        descriptor = self._open()
        try:
            return int.from_bytes(os.pread(descriptor, _TOTAL_BYTES, 0))
        finally:
            os.close(descriptor)

    def _open(self) -> int:
        return open_own(self._granted, os.O_RDWR | os.O_CREAT)


def used_seconds(partials: int, few: int = FEW_PARTIALS) -> float:
    """Return for how long a count of so many is used. Pure."""
    return partials * USED_SECONDS_EACH if partials > few else 0.0


def _counted(claims: Sequence[Claim], granted: int, until: float) -> _Count:
    by_connection = Counter[str | None]()
    for each in claims:
        by_connection[each.access_key] += each.most
    return _Count(granted, by_connection.total(), by_connection, until)
