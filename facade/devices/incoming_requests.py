"""What came on one device's connection and is not answered yet, in its order. Parsed by aiohttp.

- At most `MAX_WAITING` requests wait behind the one that is answered, and about
  `MAX_WAITING_BYTES`. The device's further bytes stay in the kernel until half of the requests are
  answered; if they were long, until all are.
- Nobody uses a request's body. Of a long one only its beginning is read.
- Another protocol is declined by going on with this one: what follows is read as HTTP (RFC 9110
  section 7.8).
- Behind what is no HTTP nothing is read any more. Nor is it behind a request that asks for a tunnel
  (RFC 9110 section 9.3.6), or one whose body comes in chunks: its answer is the last one.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from aiohttp.base_protocol import BaseProtocol
from aiohttp.hdrs import METH_CONNECT
from aiohttp.http import HttpRequestParser, HttpVersion10, RawRequestMessage
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader
from attrs import define, field, frozen
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

MAX_WAITING: Final = 32  # requests that were sent ahead; clients send few
# Of these, with their bodies. 32 of containerd's are 22 KiB; of the longest heads, 16 MiB.
MAX_WAITING_BYTES: Final = 128 * 1024
MAX_REQUEST_LINE_BYTES: Final = 4096  # a pull's path is at most 665 characters
MAX_HEADER_FIELD_BYTES: Final = 8190  # containerd sends every Accept in one field
# `Range` alone: containers/image asks for 1,024 ranges in it, of up to 26 characters each in a blob
# of a TiB.
MAX_RANGE_FIELD_BYTES: Final = 32 * 1024
MAX_HEADER_FIELDS: Final = 64
# Nobody reads it, and no client sends one. Of a longer one no more is read, and the connection ends
# with its answer.
MAX_BODY_BYTES: Final = 64 * 1024

# Stands for what the parser refuses: nothing of that reaches the log or the answer.
_NO_REQUEST: Final = RawRequestMessage(
    "UNKNOWN",
    "/",
    HttpVersion10,
    CIMultiDictProxy(CIMultiDict()),
    (),
    True,  # it is the last one  # noqa: FBT003 - aiohttp's own signature
    None,
    False,  # noqa: FBT003
    False,  # noqa: FBT003
    URL("/"),
)


@frozen
class IncomingRequest:
    """A request's head, and its body as far as that has come."""

    message: RawRequestMessage
    body: StreamReader
    refused: HttpProcessingError | None = None  # by the parser; then there is no request


@define(eq=False)
class IncomingRequests:
    """The requests of one connection. For one event loop."""

    _new_parser: Callable[[], HttpRequestParser] | None  # None: the connection has ended
    _parser: HttpRequestParser | None = field(default=None, init=False)  # from the first bytes on
    _waiting: deque[IncomingRequest] = field(factory=deque, init=False)
    _waiting_bytes: int = field(default=0, init=False)  # that came while something waits
    _is_full: bool = field(default=False, init=False)
    _is_broken: bool = field(default=False, init=False)  # what comes is no HTTP
    # Of a request that asks for another protocol, until what follows is read as HTTP.
    _declined: StreamReader | None = field(default=None, init=False)
    _is_body_left: bool = field(default=False, init=False)  # a body has more than is kept of it
    is_newest_whole: bool = field(default=True, init=False)  # nothing that follows belongs to it
    wants_more: bool = field(default=True, init=False)  # whether more is to be read of the device

    @classmethod
    def of(cls, connection: BaseProtocol, loop: asyncio.AbstractEventLoop) -> "IncomingRequests":
        """Begin; the connection is told by `pause_reading` when a body is too long."""
        return cls(lambda: _new_parser(connection, loop))

    def feed(self, data: bytes) -> int:
        """Take in what came; return how many requests are complete by it, up to their bodies."""
        if self._new_parser is None or self._is_broken:
            return 0
        if self._parser is None:
            self._parser = self._new_parser()
        before = len(self._waiting)
        try:
            self._parse(self._parser, data)
        except HttpProcessingError as error:
            self._read_no_more()
            self._waiting.append(IncomingRequest(_NO_REQUEST, EMPTY_PAYLOAD, error))
        self._count(len(data))
        return len(self._waiting) - before

    def _count(self, came: int) -> None:
        """Read no more once as much waits as may."""
        self._waiting_bytes = self._waiting_bytes + came if self._waiting else 0
        if len(self._waiting) >= MAX_WAITING or self._waiting_bytes > MAX_WAITING_BYTES:
            self._is_full = True
            self.wants_more = False

    def _parse(self, parser: HttpRequestParser, data: bytes) -> None:
        """Parse one request after the other, so that those before a malformed one are known."""
        while not self._is_broken:
            if self._declined is not None and self._declined.is_eof():
                # aiohttp drops what follows in the same piece, unless it knows the protocol.
                parser.set_upgraded(True)
            messages, is_upgraded, rest = parser.feed_data(data)
            for message, body in messages:
                self._note(message, body)
            parser.message_consumed()
            if is_upgraded:
                parser.set_upgraded(False)
                self._declined = None
                self.is_newest_whole = False
            is_all = not (data or messages or is_upgraded)
            if not rest and (is_all or self._is_body_left or len(self._waiting) >= MAX_WAITING):
                return  # what is left waits in the parser
            data = rest

    def _note(self, message: RawRequestMessage, body: StreamReader) -> None:
        # aiohttp takes the trailers of a body in chunks for fields of the request behind it.
        if message.method == METH_CONNECT or message.chunked:
            message = message._replace(should_close=True)
            self._read_no_more()
        elif message.upgrade:
            self._declined = body
        self._waiting.append(IncomingRequest(message, body))
        self.is_newest_whole = body is EMPTY_PAYLOAD

    def _read_no_more(self) -> None:
        self._is_broken = True
        self.wants_more = False

    def take(self) -> IncomingRequest | None:
        """Return the next one, if one waits."""
        if not self._waiting or self._parser is None:
            return None
        taken = self._waiting.popleft()
        self._count(0)
        if self._is_full and self._has_room():
            self._is_full = False
            self.wants_more = not (self._is_body_left or self._is_broken)
            self.feed(b"")  # what the parser had to leave
        return taken

    def _has_room(self) -> bool:
        return len(self._waiting) <= MAX_WAITING // 2 and self._waiting_bytes <= MAX_WAITING_BYTES

    def leave_body(self) -> None:
        """Read no more of the newest one's body."""
        if self._parser is not None:
            self._parser.pause_reading()
            self._is_body_left = True
            self.wants_more = False

    def end(self) -> None:
        """Forget what waits, and the parser, which holds the connection."""
        self._new_parser = self._parser = None
        self._waiting.clear()


def _new_parser(connection: BaseProtocol, loop: asyncio.AbstractEventLoop) -> HttpRequestParser:
    return HttpRequestParser(
        connection,
        loop,
        MAX_BODY_BYTES // 2,  # aiohttp keeps twice as many
        max_line_size=MAX_REQUEST_LINE_BYTES,
        max_field_size=MAX_RANGE_FIELD_BYTES,
        max_headers=MAX_HEADER_FIELDS,
        auto_decompress=False,
        max_msg_queue_size=1,  # it stops behind each
    )
