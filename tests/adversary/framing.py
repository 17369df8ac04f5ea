"""Answers of which nearly all is framing, and that have no end: from any host that is asked."""

from typing import Final

from tests.adversary.guards import bounds
from tests.support.simulators.behaviour import Behaviour, Endless

_OK: Final = b"HTTP/1.1 200 OK\r\n"
_CHUNKED: Final = _OK + b"Transfer-Encoding: chunked\r\n\r\n"
FRAMING: Final[dict[str, Behaviour]] = {
    "103 for ever": Endless(b"", b"HTTP/1.1 103 \r\n\r\n"),
    "100 with headers for ever": Endless(b"", b"HTTP/1.1 100 \r\nX: y\r\n\r\n"),
    "empty lines for ever": Endless(b"", b"\r\n"),
    "answers behind the answer": Endless(_OK + b"Content-Length: 0\r\n\r\n", _OK + b"\r\n"),
    "chunks of one byte": Endless(_CHUNKED, b"1\r\nX\r\n"),
    "chunks of six bytes": Endless(_CHUNKED, b"6\r\nABCDEF\r\n"),
    "an extension for ever": Endless(_CHUNKED + b"1;", b"a"),
    "trailers for ever": Endless(_CHUNKED + b"0\r\n", b"X: y\r\n"),
}
SOME: Final = ("103 for ever", "chunks of six bytes", "an extension for ever")  # one of each kind
FRAMING_IS_BOUNDED: Final = bounds(
    "shared.upstream.framing.MAX_INTERIM_ANSWERS",
    "shared.upstream.framing.MAX_HEADS_BYTES",
    "shared.upstream.framing.MAX_FRAMING_BYTES",
    "shared.upstream.framing.FRAMING_BYTES_PER_SECOND",
    "shared.upstream.transport.MAX_HEADERS",  # of trailers, too
)
