"""The rule of bytes: the last piece is held back until digest and length agree.

Pure. What comes out of `take` may be sent on; the answer can only be completed with what
`finish` returns, and `finish` returns only what was right.
"""

from collections import deque
from collections.abc import AsyncIterator
from typing import Final

from attrs import define, field

from facade.values.piece import PIECE_BYTES, WrongBytesError
from shared.oci import Digest, Hasher

# Nobody has a layer so long: a body of unknown length that does not end is ended here.
MAX_UNKNOWN_LENGTH_BYTES: Final = 2**40


@define
class PieceVerifier:
    """Takes a blob's bytes in order, and lets all go on but the last `PIECE_BYTES`."""

    digest: Digest
    length: int | None  # None: only the digest tells whether it is all there
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
        self.take_verbatim(chunk)
        self._held.append(chunk)
        self._held_bytes += len(chunk)
        released = []
        while self._held and self._held_bytes - len(self._held[0]) >= PIECE_BYTES:
            released.append(self._held.popleft())
            self._held_bytes -= len(released[-1])
        return released

    def finish(self) -> bytes:
        """Return the held-back end; raise `WrongBytesError` unless all that came was right."""
        if self.length is not None and self.taken != self.length:
            raise WrongBytesError("fewer bytes than the announced length")
        if not self.has_all():
            raise WrongBytesError("the bytes are not those of the digest")
        return b"".join(self._held)

    def take_verbatim(self, beginning: bytes | memoryview) -> None:
        """Take in bytes that are kept elsewhere: they are hashed and counted alone.

        Raises `WrongBytesError` as soon as there are more than `length`.
        """
        self.taken += len(beginning)
        if self.taken > (MAX_UNKNOWN_LENGTH_BYTES if self.length is None else self.length):
            raise WrongBytesError("more bytes than the announced length")
        self._hasher.update(beginning)

    def has_all(self) -> bool:
        """Tell whether what was taken so far is the whole blob: the digest names it."""
        return self.digest.names(self._hasher)

    def prefix_hash(self) -> str:
        """Return the hash of what was taken so far, to compare another attempt's beginning."""
        return self._hasher.copy().hexdigest()


async def within(
    pieces: AsyncIterator[bytes], position: int, first: int, end: int | None
) -> AsyncIterator[bytes]:
    """Yield the bytes of a span out of pieces that begin at a position; no `end` is their own.

    They are read to their end, and the last of what is wanted comes only then: it is right if
    they all were.
    """
    held = b""
    async for piece in pieces:
        wanted_end = None if end is None else max(0, end - position)
        wanted = piece[max(0, first - position) : wanted_end]
        position += len(piece)
        if wanted:
            if held:
                yield held
            held = wanted
    yield held
