"""How much of a blob is read for a device at a time: little until it has shown that it keeps up.

What was read and encrypted for a device that stopped waits in memory, unless the kernel took it at
once. Small pieces cost more time for a device that keeps up (docs/decisions/stored-blobs.md). Pure.
"""

from collections.abc import Callable
from typing import Final

from attrs import define, field

SMALL_BYTES: Final = 32 * 1024
LARGE_BYTES: Final = 128 * 1024  # takes a tenth less CPU than 64 KiB; larger ones take memory
MOST_BYTES: Final = 256 * 1024  # only where the kernel takes it whole; it fits into a core's cache
# 768 KiB: more than both kernels hold for a device that never reads. Ours takes half a MiB ahead of
# what is on its way.
QUICK_PIECES: Final = 24
SLOW_SECONDS: Final = 1.0  # for one piece; less than 32 to 128 KiB a second


# How many bytes the kernel takes for a device now, so that none of them waits here.
RoomNow = Callable[[], int]


def nobody_says() -> int:
    """Return no room: nobody says how much the kernel takes."""
    return 0


@define
class PieceSize:
    """The size of the next piece, by how soon the device asked, and what the kernel takes."""

    _asked_at: float  # monotonic seconds
    _room_now: RoomNow = nobody_says
    _quick: int = field(default=0, init=False)

    def next(self, now: float, left: int) -> int:
        """Return the bytes of the piece that is asked for now, of so many that are left."""
        is_quick = now - self._asked_at < SLOW_SECONDS
        self._quick = self._quick + 1 if is_quick else 0
        self._asked_at = now
        if left <= SMALL_BYTES:
            return left
        room = self._room_now()
        if room >= min(left, MOST_BYTES):
            return min(left, MOST_BYTES)
        is_large = self._quick > QUICK_PIECES or room >= LARGE_BYTES
        return min(left, LARGE_BYTES if is_large else SMALL_BYTES)
