"""How much of a blob is read for a device at a time: little until it has shown that it keeps up.

What was read and encrypted for a device that stopped waits in memory, unless the kernel took it at
once. Small pieces cost more time for a device that keeps up. Pure.
"""

from collections.abc import Callable
from typing import Final

from attrs import define, field

SMALL_BYTES: Final = 32 * 1024
LARGE_BYTES: Final = 128 * 1024  # takes a tenth less CPU than 64 KiB; larger ones take memory
# 768 KiB: more than both kernels hold for a device that never reads. Ours takes half a MiB ahead of
# what is on its way.
QUICK_PIECES: Final = 24
SLOW_SECONDS: Final = 1.0  # for one piece; less than 32 to 128 KiB a second


def nobody_says(_count: int) -> bool:
    """Take no bytes at once: nobody says how much the kernel takes."""
    return False


@define
class PieceSize:
    """The size of the next piece, by how soon the device asked for it, and what the kernel takes.

    The first piece is small: it is copied to be sent with the head.
    """

    _asked_at: float  # monotonic seconds
    _takes_at_once: Callable[[int], bool] = nobody_says  # whether the kernel takes so many bytes
    _is_first: bool = field(default=True, init=False)
    _quick: int = field(default=0, init=False)

    def next(self, now: float) -> int:
        """Return the bytes of the piece that is asked for now."""
        is_quick = now - self._asked_at < SLOW_SECONDS
        self._quick = self._quick + 1 if is_quick else 0
        self._asked_at = now
        is_first, self._is_first = self._is_first, False
        if self._quick > QUICK_PIECES:
            return LARGE_BYTES
        return LARGE_BYTES if not is_first and self._takes_at_once(LARGE_BYTES) else SMALL_BYTES
