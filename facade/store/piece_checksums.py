"""XXH3 of every 32 KiB of a blob: rot is found before it is served, at 0.02 CPU seconds a GiB.

Not a defence against anybody who can write the store, but against disks; the digest was verified
when the blob came, and the scrub verifies it again.
"""

from typing import Final, Self

import xxhash
from attrs import define, field, frozen

CHECKED_BYTES: Final = 32 * 1024  # the least that is read for a device
CHECKSUM_BYTES: Final = 8
LENGTH_BYTES: Final = 8  # before the checksums: a file that lost its end is noticed when opened


@define
class PieceHasher:
    """Takes a blob's bytes in order."""

    _checksums: bytearray = field(factory=bytearray, init=False)
    _piece: xxhash.xxh3_64 = field(factory=xxhash.xxh3_64, init=False)
    _in_piece: int = field(default=0, init=False)
    _length: int = field(default=0, init=False)

    def update(self, chunk: bytes | memoryview) -> None:
        """Take in the next bytes."""
        rest = memoryview(chunk)
        self._length += len(rest)
        while rest:
            part = rest[: CHECKED_BYTES - self._in_piece]
            self._piece.update(part)
            self._in_piece += len(part)
            rest = rest[len(part) :]
            if self._in_piece == CHECKED_BYTES:
                self._end_piece()

    def finish(self) -> bytes:
        """Return the length and the checksums of all pieces, the last one shorter perhaps."""
        if self._in_piece:
            self._end_piece()
        return self._length.to_bytes(LENGTH_BYTES) + self._checksums

    def _end_piece(self) -> None:
        self._checksums += self._piece.digest()
        self._piece.reset()
        self._in_piece = 0


@frozen
class PieceChecksums:
    """The checksums of a blob of this length."""

    _checksums: bytes

    @classmethod
    def of_length(cls, checksums: bytes, length: int) -> Self | None:
        """Return the checksums; None if they are not of a blob of this length."""
        pieces = -(-length // CHECKED_BYTES)
        of_length = len(checksums) == LENGTH_BYTES + pieces * CHECKSUM_BYTES
        if not of_length or int.from_bytes(checksums[:LENGTH_BYTES]) != length:
            return None
        return cls(checksums[LENGTH_BYTES:])

    def hold(self, first: int, content: bytes | bytearray) -> bool:
        """Tell whether whole pieces, from the first of them on, have their checksums."""
        view, at = memoryview(content), first * CHECKSUM_BYTES
        for start in range(0, len(view), CHECKED_BYTES):
            digest = xxhash.xxh3_64_digest(view[start : start + CHECKED_BYTES])
            if digest != self._checksums[at : at + CHECKSUM_BYTES]:
                return False
            at += CHECKSUM_BYTES
        return True
