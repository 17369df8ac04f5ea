"""XXH3 of every 32 KiB of a blob: rot is found before it is served, at 0.02 CPU seconds a GiB.

They protect against disks, not against anybody who can write to the store. The digest was verified
when the blob came, and the scrub verifies it again. Their file has the blob's length and the
checksums in order; it grows while a blob arrives.
"""

from array import array
from collections.abc import Iterator
from itertools import groupby
from typing import Final, Self

import xxhash
from attrs import define, field, frozen

CHECKED_BYTES: Final = 32 * 1024  # the least that is read for a device
CHECKSUM_BYTES: Final = 8
LENGTH_BYTES: Final = 8  # before the checksums: a truncated file is noticed when opened
UNKNOWN_LENGTH: Final = b"\xff" * LENGTH_BYTES  # until the whole blob has come


@define
class PieceHasher:
    """Takes a blob's bytes in order."""

    taken: int = field(default=0, init=False)  # bytes
    _checksums: bytearray = field(factory=bytearray, init=False)
    _piece: xxhash.xxh3_64 = field(factory=xxhash.xxh3_64, init=False)
    _in_piece: int = field(default=0, init=False)

    def update(self, chunk: bytes | memoryview) -> None:
        """Take in the next bytes."""
        rest = memoryview(chunk)
        self.taken += len(rest)
        while rest:
            part = rest[: CHECKED_BYTES - self._in_piece]
            self._piece.update(part)
            self._in_piece += len(part)
            rest = rest[len(part) :]
            if self._in_piece == CHECKED_BYTES:
                self._end_piece()

    def end(self) -> None:
        """Let the last piece be as short as it is."""
        if self._in_piece:
            self._end_piece()

    def pop(self) -> bytearray:
        """Return the checksums of the pieces that have ended since this was asked last."""
        ended, self._checksums = self._checksums, bytearray()
        return ended

    def _end_piece(self) -> None:
        self._checksums += self._piece.digest()
        self._piece.reset()
        self._in_piece = 0


@frozen
class PieceChecksums:
    """The checksums of a blob of this length."""

    _file: bytes

    @classmethod
    def of_length(cls, checksums: bytes, length: int) -> Self | None:
        """Return the checksums; None if they are not of a blob of this length."""
        pieces = -(-length // CHECKED_BYTES)
        of_length = len(checksums) == LENGTH_BYTES + pieces * CHECKSUM_BYTES
        if not of_length or checksums[:LENGTH_BYTES] != length_header(length):
            return None
        return cls(checksums)

    def hold(self, start: int, content: bytes | bytearray) -> bool:
        """Tell whether pieces match their checksums; `start`: where the first of them begins."""
        first, count = checksums_span(start, len(content))
        return have_checksums(content, self._file[first : first + count])


def length_header(length: int | None) -> bytes:
    """Return what the file of checksums begins with."""
    return UNKNOWN_LENGTH if length is None else length.to_bytes(LENGTH_BYTES)


def checked_bytes(file_size: int, length: int | None) -> int:
    """Return how many bytes of a blob of this length a file of so many bytes has checksums of."""
    pieces = max(0, file_size - LENGTH_BYTES) // CHECKSUM_BYTES
    checked = pieces * CHECKED_BYTES
    return checked if length is None else min(checked, length)


def checked_span(offset: int, count: int, length: int | None) -> tuple[int, int]:
    """Return where the pieces around so many bytes of a blob begin, and how many bytes they are.

    Of a blob of unknown length, only whole pieces have their checksums.
    """
    start, end = offset - offset % CHECKED_BYTES, offset + count
    end += -end % CHECKED_BYTES
    return start, (end if length is None else min(end, length)) - start


def checksums_span(start: int, count: int) -> tuple[int, int]:
    """Return the place of their checksums in the file, and how many bytes those are."""
    first, pieces = start // CHECKED_BYTES, -(-count // CHECKED_BYTES)
    return LENGTH_BYTES + first * CHECKSUM_BYTES, pieces * CHECKSUM_BYTES


def pieces_there(checksums: bytes | bytearray) -> list[bool]:
    """Tell of each piece whether its checksum was written.

    What was never written reads as zeros. A piece whose checksum is zero counts as missing: it is
    fetched again by whoever takes over, and is read once the blob is proven.
    """
    starts = range(0, len(checksums), CHECKSUM_BYTES)
    return [any(checksums[start : start + CHECKSUM_BYTES]) for start in starts]


def runs_there(checksums: bytes | bytearray) -> Iterator[tuple[int, int]]:
    """Yield the first piece, and the one behind the last, of each run of those that are there.

    As `pieces_there` tells, but for a checksum that is not whole. Most often there are all or none,
    which takes a few microseconds for a hundred.
    """
    numbers = array("Q", checksums[: len(checksums) - len(checksums) % CHECKSUM_BYTES])
    missing = numbers.count(0)
    if not missing and numbers:
        yield 0, len(numbers)
    elif missing < len(numbers):
        first = 0
        for is_there, pieces in groupby(numbers, bool):
            end = first + sum(1 for _ in pieces)
            if is_there:
                yield first, end
            first = end


def have_checksums(content: bytes | bytearray, checksums: bytes | bytearray) -> bool:
    """Tell whether these are the checksums of all pieces of a content."""
    view = memoryview(content)
    starts = range(0, len(view), CHECKED_BYTES)
    digests = [xxhash.xxh3_64_digest(view[start : start + CHECKED_BYTES]) for start in starts]
    return b"".join(digests) == checksums
