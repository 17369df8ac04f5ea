"""How much the arrivals of a process gather in memory, all together. Pure.

If there are few, each gathers as much as is best written at once. If there are many, each gathers
less: one device may have 64 under way, and if the disk hangs, all of them wait with what they have.
"""

from typing import Final

from attrs import define, field

GATHERED_BYTES: Final = 1024 * 1024  # written at once; writing more is no faster
LEAST_GATHERED_BYTES: Final = 64 * 1024  # one read of a socket
# All arrivals together gather so much, if there are fewer than 512, and write as much meanwhile.
MAX_GATHERED_BYTES: Final = 32 * 1024 * 1024


@define(eq=False)
class GatherBudget:
    """What all arrivals share. For one event loop."""

    _max_bytes: int = MAX_GATHERED_BYTES
    _count: int = field(default=0, init=False)

    def join(self) -> None:
        """Count one more arrival that gathers."""
        self._count += 1

    def leave(self) -> None:
        """Count one fewer."""
        self._count -= 1

    @property
    def share(self) -> int:
        """How many bytes one of them gathers before it waits for the disk."""
        share = self._max_bytes // max(1, self._count)
        return min(GATHERED_BYTES, max(LEAST_GATHERED_BYTES, share))
