"""How much of a blob is read for a device at a time: little until it has shown that it keeps up.

What was read and encrypted for a device that stopped waits in memory. Small pieces cost more time
for a device that keeps up. Pure.
"""

from typing import Final

from attrs import define, field

SMALL_BYTES: Final = 32 * 1024
LARGE_BYTES: Final = 128 * 1024  # takes a tenth less CPU than 64 KiB; larger ones take memory
# 768 KiB: more than both kernels hold for a device that never reads. Ours takes half a MiB ahead of
# what is on its way.
QUICK_PIECES: Final = 24
SLOW_SECONDS: Final = 1.0  # for one piece; less than 32 to 128 KiB a second


@define
class PieceSize:
    """The size of the next piece, by how soon the device asked for it."""

    _asked_at: float  # monotonic seconds
    _quick: int = field(default=0, init=False)

    def next(self, now: float) -> int:
        """Return the bytes of the piece that is asked for now."""
        is_quick = now - self._asked_at < SLOW_SECONDS
        self._quick = self._quick + 1 if is_quick else 0
        self._asked_at = now
        return LARGE_BYTES if self._quick > QUICK_PIECES else SMALL_BYTES
