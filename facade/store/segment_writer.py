"""Writes one segment of an arriving blob, with the checksums of its pieces. Everything blocks.

Bytes that may be read are never written again. If a piece is there already, what comes for it is
only compared with its checksum.
"""

import os
from collections.abc import Sequence

from attrs import define, field

from facade.store.growing_checksums import write_all, write_gathered
from facade.store.piece_checksums import (
    CHECKED_BYTES,
    CHECKSUM_BYTES,
    PieceHasher,
    checksums_span,
    pieces_there,
)
from facade.values.piece import WrongBytesError


@define(eq=False)
class SegmentWriter:
    """Writes chunks in their order, from the beginning of a checked piece on.

    Nobody else writes the same pieces meanwhile.
    """

    first: int
    _length: int  # of the whole blob
    _data: int
    _checksums: int
    at: int = field(init=False)  # bytes before it were taken
    checked: int = field(init=False)  # bytes before it may be read
    new_bytes: int = field(default=0, init=False)  # that were written and not only compared
    _hasher: PieceHasher = field(factory=PieceHasher, init=False)
    _unwritten: bytearray = field(factory=bytearray, init=False)  # checksums
    _taken: Sequence[bytes] | None = field(default=None, init=False)  # but for their checksums

    def __attrs_post_init__(self) -> None:
        """Begin with the first byte."""
        if self.first % CHECKED_BYTES:
            raise ValueError("a segment begins with a checked piece")
        self.at = self.checked = self.first

    def append(self, chunks: Sequence[bytes]) -> None:
        """Write what comes next. If that raises `OSError`, the same may be tried again.

        Raises `WrongBytesError` if other bytes had come for a piece before.
        """
        if self._taken is not chunks:
            self._write(chunks)
            self._take(chunks)
            self._taken = chunks
        self._write_checksums()
        self._taken = None

    def _write(self, chunks: Sequence[bytes]) -> None:
        count = sum(map(len, chunks))
        there = self._there(count)
        if not there:
            write_gathered(self._data, chunks, self.at)
            self.new_bytes += count
            return
        offset, new_bytes = self.at, 0
        for chunk in chunks:
            rest = memoryview(chunk)
            while rest:
                piece = offset // CHECKED_BYTES
                part = rest if not there else rest[: (piece + 1) * CHECKED_BYTES - offset]
                if piece not in there:
                    write_all(self._data, part, offset)
                    new_bytes += len(part)
                offset, rest = offset + len(part), rest[len(part) :]
        self.new_bytes += new_bytes

    def _there(self, count: int) -> set[int]:
        """Return the numbers of those pieces, of the next bytes, that have come before."""
        start = self.at - self.at % CHECKED_BYTES
        first, size = checksums_span(start, self.at + count - start)
        written = pieces_there(os.pread(self._checksums, size, first))
        return {start // CHECKED_BYTES + place for place, there in enumerate(written) if there}

    def _take(self, chunks: Sequence[bytes]) -> None:
        for chunk in chunks:
            self._hasher.update(chunk)
            self.at += len(chunk)
        if self.at == self._length:
            self._hasher.end()
        self._unwritten += self._hasher.pop()

    def _write_checksums(self) -> None:
        """Write those of pieces that have ended, behind their bytes."""
        if not self._unwritten:
            return
        offset, size = checksums_span(
            self.checked, len(self._unwritten) // CHECKSUM_BYTES * CHECKED_BYTES
        )
        before = os.pread(self._checksums, size, offset)
        for place, is_there in enumerate(pieces_there(before)):
            span = slice(place * CHECKSUM_BYTES, (place + 1) * CHECKSUM_BYTES)
            if is_there and before[span] != self._unwritten[span]:
                raise WrongBytesError("the registry sent other bytes the second time")
        write_all(self._checksums, self._unwritten, offset)
        pieces = len(self._unwritten) // CHECKSUM_BYTES
        self.checked = min(self._length, self.checked + pieces * CHECKED_BYTES)
        self._unwritten.clear()
