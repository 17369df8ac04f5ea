"""How much of an answer may be framing: interim answers, heads, chunk sizes, trailers.

Pure. Framing costs a parser work and memory, and brings nobody a byte of content. RFC 9110 and RFC
9112 set no bound: a host may send interim answers, chunks of one byte, or one endless chunk
extension.
"""

from math import inf
from typing import Final, Self

import aiohttp
from attrs import define, field

MAX_INTERIM_ANSWERS: Final = 10  # before a final one; a real host sends one 103, or none
MAX_HEADS_BYTES: Final = 64 * 1024  # interim heads and the final one; a real host sends some KiB
MAX_FRAMING_BYTES: Final = 64 * 1024  # of a body's framing beyond its payload
# Of all answers of one registry together. That is 100,000 chunks of 1 byte, which cost a quarter of
# a core (docs/decisions/registries.md). Chunks of 4 KiB have so little framing that they may still
# come with 260 MB/s.
FRAMING_BYTES_PER_SECOND: Final = 512 * 1024
FRAMING_BURST_BYTES: Final = 16 * 1024  # parsed without a pause; of chunks of 1 byte some 3,000
MIN_PAUSE_SECONDS: Final = 0.005  # a pause costs some 0.1 ms of work

# How much is parsed at once: a parser does not stop before it has parsed all that it is given.
HEAD_SLICE_BYTES: Final = 1024  # at most 60 interim answers
FRAMED_SLICE_BYTES: Final = 4 * 1024  # if much of it is framing: at most 700 chunks
CHUNKED_SLICE_BYTES: Final = 256 * 1024  # else: a whole read; the parser stops at 4,096 chunks
HEAVY_PART: Final = 16  # more than a sixteenth is much


class TooMuchFramingError(aiohttp.ClientError):
    """A host sends framing beyond its bounds; the message says which, in our own words."""


@define
class Heads:
    """What has come since a request was sent, while there is no final head."""

    slice_bytes: int = field(default=HEAD_SLICE_BYTES, init=False)
    _received: int = field(default=0, init=False)
    _interim: int = field(default=0, init=False)

    def take_interim(self) -> None:
        """Count an interim answer; raise `TooMuchFramingError`."""
        self._interim += 1
        if self._interim > MAX_INTERIM_ANSWERS:
            raise TooMuchFramingError("the host sends interim answers without an end")

    def take(self, received: int) -> None:
        """Count bytes that did not end the final head; raise `TooMuchFramingError`."""
        self._received += received
        if self._received > MAX_HEADS_BYTES:
            raise TooMuchFramingError("the host sends headers without an end")


@define
class ChunkedBody:
    """A chunked body: what came of it, and how much of that was payload."""

    _payload: int  # bytes of payload so far
    slice_bytes: int = field(default=FRAMED_SLICE_BYTES, init=False)  # to be parsed next
    _framing: int = field(default=0, init=False)
    _unaccounted: int = field(default=0, init=False)

    def take(self, received: int) -> None:
        """Count bytes that were given to the parser."""
        self._unaccounted += received

    def account(self, payload: int) -> int:
        """Return how many bytes of framing were taken since the last time.

        `payload` is the number of bytes of payload by now. Everything that was taken must have been
        parsed. Raises `TooMuchFramingError`.
        """
        if not self._unaccounted:
            return 0
        framing = self._unaccounted - (payload - self._payload)
        is_heavy = framing * HEAVY_PART > self._unaccounted
        self.slice_bytes = FRAMED_SLICE_BYTES if is_heavy else CHUNKED_SLICE_BYTES
        self._framing += framing
        self._payload, self._unaccounted = payload, 0
        if self._framing > payload + MAX_FRAMING_BYTES:
            raise TooMuchFramingError("the host sends more framing than content")
        return max(framing, 0)


@define
class PlainBody:
    """A body without framing: so many bytes are missing, or all until the connection ends."""

    left: float

    @classmethod
    def until_closed(cls) -> Self:
        """Return a body that ends with its connection."""
        return cls(inf)

    @property
    def slice_bytes(self) -> float:
        """How many bytes may be parsed next."""
        return self.left

    def take(self, received: int) -> None:
        """Count bytes that were given to the parser."""
        self.left -= received


Body = ChunkedBody | PlainBody
