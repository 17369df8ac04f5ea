"""What was read of a blob a moment ago, for devices that read the same blob beside each other.

A fleet that pulls a new blob reads every piece of it within a moment: it is copied out of the page
cache, and held against its checksum, once for all and not once for each device. Memory is bounded
for all blobs together, oldest out first. A device that is alone with a blob shares nothing, and
what nobody reads any more is let go. On tmpfs and overlayfs, where the kernel does not tell what is
cached, it saves the others a thread's work for each piece, too.
"""

from collections import deque
from typing import Final

from attrs import define, field

from facade.store.page_cache_read import READ_BYTES

# 64 devices that keep up are up to 16 MiB apart (docs/decisions/pulls.md).
RECENT_PIECES: Final = 16 * 1024 * 1024 // READ_BYTES


@define(eq=False)
class RecentReads:
    """The bound on what the readers of all blobs share. For one event loop."""

    _max_pieces: int = RECENT_PIECES
    _kept: "deque[tuple[BlobReaders, int]]" = field(factory=deque, init=False)

    def keep(self, readers: "BlobReaders", offset: int) -> None:
        """Count a piece that is kept, and let the oldest go that there is no room for."""
        self._kept.append((readers, offset))
        if len(self._kept) > self._max_pieces:
            oldest, dropped = self._kept.popleft()
            oldest.drop(dropped)


@define(eq=False)
class BlobReaders:
    """Those who read the same bytes now, and the pieces that they share."""

    _recent: RecentReads = field(factory=RecentReads)
    _count: int = field(default=0, init=False)
    _pieces: dict[int, memoryview] = field(factory=dict, init=False)  # by the offset of each

    def join(self) -> None:
        """Read beside the others from now on."""
        self._count += 1

    def leave(self) -> None:
        """Read no more."""
        self._count -= 1
        if not self._count:
            self._pieces.clear()

    def piece_at(self, offset: int, limit: int) -> memoryview | None:
        """Return at most `limit` bytes that another one has read from there."""
        piece = self._pieces.get(offset)
        return piece if piece is None or len(piece) <= limit else piece[:limit]

    def share(self, offset: int, piece: memoryview) -> None:
        """Keep a piece of at most `READ_BYTES` for the others, where there are any.

        Nobody may change it any more.
        """
        if self._count > 1:
            self._recent.keep(self, offset)
            self._pieces[offset] = piece.toreadonly()

    def drop(self, offset: int) -> None:
        """Let a piece go."""
        self._pieces.pop(offset, None)
