"""How much the arrivals of a process gather in memory, all together. Pure.

Few of them gather as much as is best written at once. Of many each gathers less: one device may
have 64 under way, and a disk that hangs has all of them wait with what they gathered.
"""

from typing import Final

from attrs import define, field

GATHERED_BYTES: Final = 1024 * 1024  # written at once: more of it makes nothing faster
LEAST_GATHERED_BYTES: Final = 64 * 1024  # one read of a socket
# Of all arrivals together, as long as there are fewer than 512; each has as much being written.
MAX_GATHERED_BYTES: Final = 32 * 1024 * 1024


@define(eq=False)
class GatherBudget:
    """Shared by those who gather. For one event loop."""

    _max_bytes: int = MAX_GATHERED_BYTES
    _count: int = field(default=0, init=False)

    def join(self) -> None:
        """Gather beside the others from now on."""
        self._count += 1

    def leave(self) -> None:
        """Gather no more."""
        self._count -= 1

    @property
    def share(self) -> int:
        """How many bytes one of them gathers before it waits for the disk."""
        share = self._max_bytes // max(1, self._count)
        return min(GATHERED_BYTES, max(LEAST_GATHERED_BYTES, share))
