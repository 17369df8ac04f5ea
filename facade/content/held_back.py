"""The rule of bytes: the last piece is held back until digest and length agree.

Pure. What comes out of `take` may be sent on; the answer can only be completed with what
`finish` returns, and `finish` returns only what was right.
"""

from collections import deque
from collections.abc import AsyncIterator
from typing import Final

from attrs import define, field

from shared.oci import Digest, Hasher

# The unit of everything that is verified before it is sent.
PIECE_BYTES: Final = 256 * 1024


class WrongBytesError(Exception):
    """What came is not what the digest and the length name."""


@define
class HeldBackVerifier:
    """Takes a blob's bytes in order, and lets all go on but the last `PIECE_BYTES`."""

    digest: Digest
    length: int
    taken: int = field(default=0, init=False)
    _hasher: Hasher = field(init=False)
    _held: deque[bytes] = field(factory=deque, init=False)
    _held_bytes: int = field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        """Start an empty hash of the digest's algorithm."""
        self._hasher = self.digest.hasher()

    def take(self, chunk: bytes) -> list[bytes]:
        """Take the next bytes; return those that may be sent on now.

        Raises `WrongBytesError` as soon as there are more than `length`.
        """
        self.taken += len(chunk)
        if self.taken > self.length:
            message = "more bytes than the announced length"
            raise WrongBytesError(message)
        self._hasher.update(chunk)
        self._held.append(chunk)
        self._held_bytes += len(chunk)
        released = []
        while self._held and self._held_bytes - len(self._held[0]) >= PIECE_BYTES:
            released.append(self._held.popleft())
            self._held_bytes -= len(released[-1])
        return released

    def finish(self) -> bytes:
        """Return the held-back end; raise `WrongBytesError` unless all that came was right."""
        if self.taken != self.length:
            message = "fewer bytes than the announced length"
            raise WrongBytesError(message)
        if not self.digest.names(self._hasher):
            message = "the bytes are not those of the digest"
            raise WrongBytesError(message)
        return b"".join(self._held)

    def take_verbatim(self, beginning: bytes | memoryview) -> None:
        """Take in bytes that are kept elsewhere: they are hashed and counted alone."""
        self.taken += len(beginning)
        if self.taken > self.length:
            message = "more bytes than the announced length"
            raise WrongBytesError(message)
        self._hasher.update(beginning)

    def prefix_hash(self) -> str:
        """Return the hash of what was taken so far, to compare another attempt's beginning."""
        return self._hasher.copy().hexdigest()


async def within(
    pieces: AsyncIterator[bytes], position: int, first: int, end: int
) -> AsyncIterator[bytes]:
    """Yield the bytes of a span out of pieces that begin at a position.

    They are read to their end, and the last of what is wanted comes only then: it is right where
    they all were.
    """
    held = b""
    async for piece in pieces:
        wanted = piece[max(0, first - position) : max(0, end - position)]
        position += len(piece)
        if wanted:
            if held:
                yield held
            held = wanted
    yield held
