"""A complete blob, open for reading. Each piece is compared with its checksum when it is read."""

import os
from collections.abc import MutableMapping
from pathlib import Path
from typing import Final, Self

from attrs import define, field, frozen

from facade.errors import StoreFailedError
from facade.store.cached_open import Opening, read_whole
from facade.store.file_lock import lock_shared
from facade.store.inode import is_file_at
from facade.store.last_piece import LastPiece
from facade.store.page_cache_read import read_at, read_nowait
from facade.store.piece_checksums import PieceChecksums, checked_span
from facade.store.shared_pieces import BlobReaders
from shared.oci import Digest

# Pieces end at multiples of it, so that devices that read the same blob meet at the same places.
MEETING_BYTES: Final = 256 * 1024


class RottenBlobError(StoreFailedError):
    """A stored piece is not what was stored. The blob has to go into quarantine."""


@frozen
class StoredFile:
    """The open file of a blob, and its checksums. It is not evicted while it is open."""

    descriptor: int
    length: int
    checksums: PieceChecksums

    @classmethod
    def open(cls, path: str, checksums_path: str, opening: Opening) -> Self | None:
        """Open a blob's file; None if it is not stored.

        Raises `RottenBlobError`, `OSError`, and what `opening` raises.
        """
        try:
            descriptor = opening.open(path)
        except FileNotFoundError:
            return None
        try:
            if not lock_shared(descriptor) or not _is_at(descriptor, path):
                os.close(descriptor)  # the evictor has it or had it, so it is as good as gone
                return None
            length = os.fstat(descriptor).st_size
            content = read_whole(checksums_path, opening)
            checksums = PieceChecksums.of_length(bytes(content), length)
            if checksums is None:
                raise RottenBlobError("the checksums are not those of the file")
        except FileNotFoundError:
            os.close(descriptor)
            raise RottenBlobError("the checksums are gone") from None
        except BaseException:
            os.close(descriptor)
            raise
        return cls(descriptor, length, checksums)

    def close(self) -> None:
        """Close the file."""
        os.close(self.descriptor)


@define(eq=False)
class StoredBlob:
    """An open blob. It is not evicted while it is open. For one event loop."""

    digest: Digest
    length: int
    _descriptor: int
    _checksums: PieceChecksums
    _readers: BlobReaders  # of this digest
    _last: LastPiece = field(factory=LastPiece, init=False)

    @classmethod
    def of(cls, digest: Digest, file: StoredFile, readers: BlobReaders) -> Self:
        """Return the blob of an open file, which it closes; `readers`: of this digest."""
        readers.join()
        return cls(digest, file.length, file.descriptor, file.checksums, readers)

    def close(self) -> None:
        """Close the file."""
        self._readers.leave()
        os.close(self._descriptor)

    def lies_at(self, path: Path) -> bool:
        """Tell whether this is the file that lies there now; raise `OSError`."""
        return _is_at(self._descriptor, path)

    def share_checksums(self, known: MutableMapping[Digest, PieceChecksums]) -> None:
        """Use the same checksums as another reader of the blob: those of 1 GiB take 256 KiB."""
        if known.setdefault(self.digest, self._checksums) == self._checksums:
            self._checksums = known[self.digest]

    def read_nowait(self, offset: int, limit: int) -> memoryview | None:
        """Return what `read` does; None if that would have to wait."""
        known = self._readers.piece_at(offset, limit) or self._last.read(offset, limit)
        if known is not None:
            return known
        start, count = self._checked_span(offset, limit)
        content = read_nowait(self._descriptor, start, count)
        if content is None:
            return None
        piece = self._checked(start, content, limit)[offset - start :][:limit]
        self._readers.share(offset, piece)
        return piece

    async def read(self, offset: int, limit: int) -> memoryview:
        """Return at most `limit` verified bytes from an offset, to a multiple of `MEETING_BYTES`.

        Raises `RottenBlobError`, or `OSError` if the disk fails.
        """
        if (known := self._last.read(offset, limit)) is not None:
            return known
        start, count = self._checked_span(offset, limit)
        content = await read_at(self._descriptor, start, count)
        if len(content) != count:
            raise RottenBlobError("the file is shorter than it was")
        piece = self._checked(start, content, limit)[offset - start :][:limit]
        if self._readers.piece_at(offset, limit) is None:  # no other reader was faster
            self._readers.share(offset, piece)
        return piece

    def _checked_span(self, offset: int, limit: int) -> tuple[int, int]:
        count = min(limit, MEETING_BYTES - offset % MEETING_BYTES)
        return checked_span(offset, count, self.length)

    def _checked(self, start: int, content: bytes | bytearray, limit: int) -> memoryview:
        if not self._checksums.hold(start, content):
            raise RottenBlobError("a piece is not what was stored")
        checked = memoryview(content).toreadonly()
        self._last.keep(start, checked, limit)
        return checked


def _is_at(descriptor: int, path: Path | str) -> bool:
    try:
        return is_file_at(descriptor, path)
    except FileNotFoundError:
        return False
