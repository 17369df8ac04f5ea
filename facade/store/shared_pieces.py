"""Pieces that were read a moment ago, for devices that read the same blob at the same time.

A fleet that pulls a new blob reads each piece of it within a moment. So a piece is copied from the
page cache and checked once for all of them, not once for each device. Memory is bounded for all
blobs together; the oldest pieces go first. If only one device reads a blob, nothing is kept, and
what nobody reads any more is let go. On tmpfs and overlayfs, where the kernel does not say what is
cached, this also saves the others a thread hop for each piece.
"""

from collections import deque
from typing import Final

from attrs import define, field

# 64 devices that keep up are up to 16 MiB apart (docs/decisions/stored-blobs.md).
RECENT_BYTES: Final = 16 * 1024 * 1024
RECENT_PIECES: Final = 512  # of the smallest that is checked; of tiny ones the objects count, too


@define(eq=False)
class RecentReads:
    """The bound on what the readers of all blobs share. For one event loop."""

    _max_bytes: int = RECENT_BYTES
    # Each with its offset, and the bytes that it keeps in memory.
    _kept: "deque[tuple[BlobReaders, int, int]]" = field(factory=deque, init=False)
    _kept_bytes: int = field(default=0, init=False)

    def keep(self, readers: "BlobReaders", offset: int, count: int) -> None:
        """Count a piece that keeps so many bytes; let go of the oldest ones beyond the bounds."""
        self._kept.append((readers, offset, count))
        self._kept_bytes += count
        while self._kept_bytes > self._max_bytes or len(self._kept) > RECENT_PIECES:
            oldest, dropped, freed = self._kept.popleft()
            self._kept_bytes -= freed
            oldest.drop(dropped)


@define(eq=False)
class BlobReaders:
    """The readers of the same bytes, and the pieces that they share."""

    _recent: RecentReads = field(factory=RecentReads)
    _count: int = field(default=0, init=False)
    _pieces: dict[int, memoryview] = field(factory=dict, init=False)  # by the offset of each

    def join(self) -> None:
        """Count one more reader."""
        self._count += 1

    def leave(self) -> None:
        """Count one reader fewer."""
        self._count -= 1
        if not self._count:
            self._pieces.clear()

    def piece_at(self, offset: int, limit: int) -> memoryview | None:
        """Return at most `limit` bytes that another reader has read from there."""
        piece = self._pieces.get(offset)
        return piece if piece is None or len(piece) <= limit else piece[:limit]

    def share(self, offset: int, piece: memoryview) -> None:
        """Keep a piece for the others, if there are any. Nobody may change it any more."""
        if self._count > 1:
            read = memoryview(piece.obj).nbytes  # all that was read with it stays in memory with it
            self._recent.keep(self, offset, read)
            self._pieces[offset] = piece.toreadonly()

    def drop(self, offset: int) -> None:
        """Let a piece go."""
        self._pieces.pop(offset, None)
