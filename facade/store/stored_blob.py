"""A complete blob, open for reading: each piece is held against its checksum when it is touched."""

import os
from collections.abc import MutableMapping
from pathlib import Path
from typing import Self

from attrs import define

from facade.store.cached_read import READ_BYTES, read_at
from facade.store.file_lock import lock_shared
from facade.store.inode import is_file_at
from facade.store.piece_checksums import CHECKED_BYTES, PieceChecksums
from shared.oci import Digest


class RottenBlobError(Exception):
    """A stored piece is not what was stored: the blob is to be quarantined."""


@define(eq=False)
class StoredBlob:
    """An open blob. It is not evicted while it is open."""

    digest: Digest
    length: int
    _descriptor: int
    _checksums: PieceChecksums

    @classmethod
    def open(cls, digest: Digest, path: Path, checksums_path: Path) -> Self | None:
        """Open a blob; None where it is not stored. Raises `RottenBlobError`, `OSError`."""
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            if not lock_shared(descriptor) or not _lies_at(descriptor, path):
                os.close(descriptor)  # the evictor has it, or had: as good as gone
                return None
            length = os.fstat(descriptor).st_size
            checksums = PieceChecksums.of_length(checksums_path.read_bytes(), length)
            if checksums is None:
                raise RottenBlobError("the checksums are not those of the file")
        except FileNotFoundError:
            os.close(descriptor)
            raise RottenBlobError("the checksums are gone") from None
        except BaseException:
            os.close(descriptor)
            raise
        return cls(digest, length, descriptor, checksums)

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)

    def share_checksums(self, known: MutableMapping[Digest, PieceChecksums]) -> None:
        """Hold the checksums that another reader of the blob holds: of 1 GiB they are 256 KiB."""
        if known.setdefault(self.digest, self._checksums) == self._checksums:
            self._checksums = known[self.digest]

    async def read(self, offset: int, limit: int) -> memoryview:
        """Return at most `limit` verified bytes from an offset, and at most `READ_BYTES`.

        Raises `RottenBlobError`, or `OSError` where the disk fails.
        """
        piece, within = divmod(offset, CHECKED_BYTES)
        pieces = -(-(within + min(limit, READ_BYTES - within)) // CHECKED_BYTES)
        content = await self._read_pieces(piece, pieces)
        if not self._checksums.hold(piece, content):
            raise RottenBlobError("a piece is not what was stored")
        return memoryview(content)[within : within + limit]

    async def _read_pieces(self, first: int, count: int) -> bytes | bytearray:
        start = first * CHECKED_BYTES
        wanted = min(count * CHECKED_BYTES, self.length - start)
        content = await read_at(self._descriptor, start, wanted)
        if len(content) != wanted:
            raise RottenBlobError("the file is shorter than it was")
        return content


def _lies_at(descriptor: int, path: Path) -> bool:
    try:
        return is_file_at(descriptor, path)
    except FileNotFoundError:
        return False
