"""The checksums of an arriving blob, as its only writer has them.

They are on the disk before any process reads the bytes that they belong to. They outlive a dead
owner: whoever takes over compares what it left with them.
"""

import os
from collections.abc import Sequence
from typing import Final

from attrs import define, field

from facade.store.arriving_file import RottenArrivalError
from facade.store.piece_checksums import LENGTH_BYTES, PieceHasher, length_header

MAX_GATHERED_CHUNKS: Final = 1024  # of one call: `IOV_MAX` of Linux


@define(eq=False)
class GrowingChecksums:
    """Their file, to be appended to."""

    descriptor: int
    _hasher: PieceHasher = field(factory=PieceHasher, init=False)
    _unwritten: bytearray = field(factory=bytearray, init=False)
    _written_to: int = field(default=LENGTH_BYTES, init=False)

    @property
    def hashed(self) -> int:
        """How many bytes of the blob were taken in."""
        return self._hasher.taken

    def begin(self, length: int | None) -> None:
        """Say how long the blob will be; None if that is not known."""
        write_all(self.descriptor, length_header(length), 0)

    def is_of(self, length: int | None) -> bool:
        """Tell whether that was said of a blob of this length."""
        return os.pread(self.descriptor, LENGTH_BYTES, 0) == length_header(length)

    def take(self, chunk: bytes | memoryview) -> None:
        """Take in the next bytes of the blob."""
        self._hasher.update(chunk)

    def write(self) -> None:
        """Write what is not there yet. It may be tried again if the disk is full.

        Raises `OSError`, and `RottenArrivalError` if those of a dead owner differ.
        """
        self._unwritten += self._hasher.pop()
        there = os.pread(self.descriptor, len(self._unwritten), self._written_to)
        if not self._unwritten.startswith(there):
            raise RottenArrivalError("what was left is not what had come")
        write_all(self.descriptor, self._unwritten[len(there) :], self._written_to + len(there))
        self._written_to += len(self._unwritten)
        self._unwritten.clear()

    def finish(self) -> None:
        """Write all of them. No more bytes come, so the length is known now."""
        self._hasher.end()
        self.write()
        if self.is_of(None):
            self.begin(self.hashed)


def write_gathered(descriptor: int, chunks: Sequence[bytes], offset: int) -> None:
    """Write chunks behind each other, many with one call: a thread lets go of the GIL at each.

    Raises `OSError`.
    """
    for start in range(0, len(chunks), MAX_GATHERED_CHUNKS):
        some = chunks[start : start + MAX_GATHERED_CHUNKS]
        written, count = os.pwritev(descriptor, some, offset), sum(map(len, some))
        if written < count:
            write_all(descriptor, memoryview(b"".join(some))[written:], offset + written)
        offset += count


def write_all(descriptor: int, content: bytes | bytearray | memoryview, offset: int) -> int:
    """Write everything; return the offset behind it. Raises `OSError`."""
    rest = memoryview(content)
    while rest:  # a signal, or the last bytes that the disk had
        written = os.pwrite(descriptor, rest, offset)
        offset, rest = offset + written, rest[written:]
    return offset
