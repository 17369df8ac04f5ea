"""A connection to a host that may be hostile: framing is bounded, and parsed in small slices.

aiohttp's own connection takes any number of interim answers. It parses 256 KiB in one go, as often
as the kernel has so much, and it parses what comes although nothing was asked.

Here a head is parsed whole, and says once how its body is framed (see `head.py`). Whatever breaks a
bound ends the connection, with `TooMuchFramingError` for whoever waits for the head or reads the
body. Bytes behind a whole answer are thrown away, and the connection with them.

A body whose length is known goes past aiohttp's parser to whoever reads it: the parser would copy
it, and be called again each time that reading goes on (docs/decisions/arrivals.md). Its answer
has no other use for that parser: the next request makes its own.
"""

import asyncio
import time
from functools import partial
from math import inf
from typing import Any, Final, TypeGuard, TypeVar

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.hdrs import CONTENT_LENGTH
from aiohttp.http import RawResponseMessage
from typing_extensions import override

from shared.failures import forget_frames
from shared.pace import Pace
from shared.upstream.framing import (
    FRAMING_BURST_BYTES,
    FRAMING_BYTES_PER_SECOND,
    MAX_HEADS_BYTES,
    MIN_PAUSE_SECONDS,
    Body,
    ChunkedBody,
    Heads,
    PlainBody,
    TooMuchFramingError,
)
from shared.upstream.head import END_OF_HEAD, framed_once
from shared.upstream.kept_connections import KeptConnections
from shared.upstream.large_reads import (
    FIRST_BYTES,
    LARGE_BYTES,
    SMALL_BYTES,
    USUAL_BYTES,
    LargeReads,
    ReadMemory,
)
from shared.upstream.tls_records import TlsRecords

_INTERIM: Final = frozenset(range(100, 200)) - {101}  # what follows a 101 is not HTTP any more
_END_OF_HEAD: Final = b"\r\n\r\n"
_BEGINNING: Final = b"HTTP/"
_Connector = TypeVar("_Connector", bound=aiohttp.BaseConnector)


def bound_answers(
    connector: _Connector,
    kept: KeptConnections | None = None,
    memory: ReadMemory | None = None,
) -> _Connector:
    """Have a connector's connections bound their answers, all at one pace; return the connector.

    `kept` counts the waiting connections of all connectors together; `memory` is what all of them
    read long bodies into.
    """
    loop = asyncio.get_running_loop()
    pace = Pace(FRAMING_BYTES_PER_SECOND, FRAMING_BURST_BYTES, time.monotonic)
    make = partial(
        BoundedConnection,
        loop,
        pace,
        OneConnectionAtATime(loop),
        kept or KeptConnections(),
        memory or ReadMemory(),
    )
    connector._factory = make  # type: ignore[assignment] # noqa: SLF001 - aiohttp has no other way
    return connector


class OneConnectionAtATime:
    """Lets one of several connections go on in each turn of the loop.

    If the loop had no time for a while, the pauses of all of them end at once.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._is_taken = False

    def take(self) -> bool:
        """Take the turn, if it is free."""
        if self._is_taken:
            return False
        self._is_taken = True
        self._loop.call_soon(self._give_back)
        return True

    def _give_back(self) -> None:
        self._is_taken = False


class BoundedConnection(ResponseHandler):
    """One connection. `pace` is for bytes of framing, `turns` for connections that had to pause."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        pace: Pace,
        turns: OneConnectionAtATime,
        kept: KeptConnections,
        memory: ReadMemory,
    ) -> None:
        super().__init__(loop)
        self._pace = pace
        self._turns = turns
        self._kept = kept
        self._memory = memory
        self._is_large = False  # whether its body is read in large steps
        self._may_be_large = False  # whether its transport can read so
        self._records: TlsRecords | None = None
        self._was_asked = False
        self._expected: Heads | Body | None = None  # None: nothing was asked, or all was answered
        self._body: aiohttp.StreamReader | None = None  # of the present answer
        self._unparsed = b""  # and how much of it is parsed all the same
        self._parsed = 0
        self._searched = 0  # so far there is no end of a head
        self._is_held = False  # whoever reads the body has enough for now
        self._pause: asyncio.TimerHandle | None = None  # until more framing may be parsed
        self._lost: tuple[BaseException | None] | None = None  # the end, behind what is unparsed

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        super().connection_made(transport)
        self._records = TlsRecords.of(transport)

    @override
    def set_response_params(self, *arguments: Any, **named: Any) -> None:
        """Expect the answer to a request (aiohttp's hook, before it sends one)."""
        self._kept.remove(self)
        self._was_asked, self._expected, self._body = True, Heads(), None
        if self._records is not None and self.transport is not None:
            self._records.begin()
        super().set_response_params(*arguments, **named)
        if self._unparsed:  # the host has spoken first
            self._go_on()

    @override
    def data_received(self, data: bytes) -> None:
        """Parse what came. Without bytes, have aiohttp's parser go on with those that it has."""
        expected = self._expected
        if self.transport is None or (data and not self._has_content(data)):
            return
        if _passes_by(expected) and len(data) <= expected.left and not self._unparsed:
            if data:  # nearly all bytes of all take this way
                expected.take(len(data))
                self._give(expected, data)
                self._settle()
            return
        if data:
            rest = self._unparsed[self._parsed :]
            self._unparsed, self._searched = (
                rest + data if rest else data,
                self._searched - self._parsed,
            )
            self._parsed = 0
        else:
            super().data_received(data)
            self._settle()
        if self._was_asked:
            self._parse()
        else:
            self._stop_reading()

    @override
    def feed_data(
        self, data: tuple[RawResponseMessage, aiohttp.StreamReader], size: int = 0
    ) -> None:
        """Take a head that was parsed (aiohttp's hook); raise `TooMuchFramingError`."""
        message, body = data
        if not isinstance(self._expected, Heads):
            self.force_close()  # an answer behind the answer
        elif message.code in _INTERIM:
            self._expected.take_interim()
        else:
            self._expected, self._body = _expected_body(message, body), body
            super().feed_data(data, size)
            self._begin_large()

    @override
    def pause_reading(self) -> None:
        """Parse no more for now."""
        self._is_held = True
        super().pause_reading()

    @override
    def resume_reading(self, resume_parser: bool = True) -> None:
        """Go on, but not before the end of a pause."""
        if not self._is_held:
            return  # whoever reads calls this for each chunk, however small
        self._is_held = False
        # aiohttp's parser has nothing of a body that goes past it.
        parses = bool(self._unparsed) or not _passes_by(self._expected)
        super().resume_reading(resume_parser and parses)
        if self._pause is not None:
            self._stop_reading()
        if resume_parser:  # else the parser itself calls
            self._end_if_parsed()

    @override
    def connection_lost(self, exc: BaseException | None) -> None:
        """End, when all that came before is parsed."""
        self._kept.remove(self)
        self._end_large()
        self._lost = (exc,)
        self._parse()
        self._end_if_parsed()

    @override
    def close(self) -> None:
        """Close the connection, and parse nothing more."""
        self._kept.remove(self)
        super().close()
        self._forget()

    @override
    def abort(self) -> None:
        """Abort the connection, and parse nothing more."""
        self._kept.remove(self)
        super().abort()
        self._forget()

    def give_up(self) -> None:
        """Close a connection that waits for a request; its last answer can still be read."""
        self.force_close()
        self.close()

    def begin_read(self) -> int:
        """Return how many bytes are read at once, if the transport can read so (`LargeReads`).

        Behind a body's beginning, more of it may wait from then on.
        """
        body = self._body
        if not self._is_large or body is None:
            return USUAL_BYTES
        if body.total_bytes < FIRST_BYTES:
            return SMALL_BYTES
        body.set_read_chunk_size(LARGE_BYTES // 4)  # more than twice as much is not waited behind
        return LARGE_BYTES

    def _begin_large(self) -> None:
        """Read a long body in large steps, unless enough others are, or it comes over TLS."""
        expected, transport = self._expected, self.transport
        is_long = _passes_by(expected) and expected.left >= LARGE_BYTES
        if not is_long or transport is None or transport.get_extra_info("ssl_object") is not None:
            return
        if self._is_large or not self._memory.take():
            return
        self._is_large = True
        if not self._may_be_large:
            self._may_be_large = True
            transport.set_protocol(LargeReads(self, self._memory))

    def _end_large(self) -> None:
        if self._is_large:
            self._is_large = False
            self._memory.give_back()

    def _parse(self) -> None:
        """Parse in slices, as long as there are bytes and it may go on."""
        while self._unparsed and self._was_asked and not self._has_to_wait():
            expected = self._expected
            if expected is None or expected == PlainBody(0):
                self._refuse_surplus()
            elif not isinstance(expected, Heads):
                self._parse_slice(expected)
            elif not self._parse_head(expected):
                return  # more of it has to come

    def _has_to_wait(self) -> bool:
        return self._is_held or self._pause is not None

    def _parse_head(self, heads: Heads) -> bool:
        """Parse a head, whole and alone; return False if more of it has to come.

        The parser refuses what does not begin or end as a head does.
        """
        start, size = self._parsed, len(self._unparsed)
        if not _begins_as_head(self._unparsed[start : start + len(_BEGINNING)]):
            self._parse_slice(heads)
            return True
        end = END_OF_HEAD.search(self._unparsed, max(start, self._searched - 2))
        if end is None and self._lost is None and size - start <= MAX_HEADS_BYTES:
            self._searched = size
            return False
        if end is None:
            self._parse_slice(heads)
            return True
        head = self._unparsed[start : end.end()]
        framed = framed_once(head)
        if framed is not head:
            self.force_close()  # what comes behind its body may be meant as a part of it
        self._feed(heads, framed, count=len(head))
        return True

    def _parse_slice(self, expected: Heads | Body) -> None:
        """Parse the next bytes of an answer, or break it off."""
        start, size = self._parsed, len(self._unparsed)
        count = int(min(expected.slice_bytes, size - start))
        if isinstance(expected, Heads):
            # Alone, because what the parser refuses behind it is not the head's.
            end = self._unparsed.find(_END_OF_HEAD, start, start + count)
            if end > start:  # not empty lines before it: of those there may be thousands
                count = end + len(_END_OF_HEAD) - start
        piece = self._unparsed[start : start + count]  # mostly all of a read, which is not copied
        self._feed(expected, piece, count=count)

    def _feed(self, expected: Heads | Body, piece: bytes, *, count: int) -> None:
        """Have aiohttp parse a piece that stands for so many of the unparsed bytes."""
        self._parsed += count
        self._searched = 0
        if self._parsed == len(self._unparsed):
            self._unparsed, self._parsed = b"", 0
        try:
            if _passes_by(expected):
                expected.take(count)
                self._give(expected, piece)
            else:
                expected.take(count)
                super().data_received(piece)
            self._settle()
        except TooMuchFramingError as error:
            self._break_off(str(error))

    def _give(self, expected: PlainBody, piece: bytes) -> None:
        """Give a piece of a body, which has been counted, to whoever reads that."""
        body = self._body
        if body is None:
            return
        if self.read_timeout is not None:  # whoever reads has a limit of its own (`next_chunk`)
            self._drop_timeout()
            self.read_timeout = None
        body.feed_data(piece)
        if not expected.left:
            self._parser = None  # it would take the end of the connection for that of the body
            body.feed_eof()

    def _has_content(self, data: bytes) -> bool:
        """Tell whether the TLS records had enough content in them; otherwise break off."""
        try:
            if self._records is not None:
                self._records.take(len(data))
        except TooMuchFramingError as error:
            self._break_off(str(error))
            return False
        return True

    def _settle(self) -> None:
        """Take account of what was parsed; raise `TooMuchFramingError`."""
        body = self._body
        if self.exception() is not None:
            self._forget_frames()
            self._tell_reader()
        elif body is not None and body.is_eof():
            self._expected = None
            self._end_large()
            if self._lost is None and self.transport is not None:
                self._kept.add(self)
        elif isinstance(self._expected, Heads):
            self.start_timeout()  # an interim answer has ended aiohttp's
        elif isinstance(self._expected, ChunkedBody) and body is not None and not self._is_held:
            self._pause_after(self._expected.account(body.total_bytes))

    def _tell_reader(self) -> None:
        """Tell whoever reads the body that aiohttp's parser gave up; it tells nobody itself."""
        self._unparsed, self._parsed = b"", 0
        body = self._body
        if body is not None and not body.is_eof() and body.exception() is None:
            body.set_exception(aiohttp.ClientPayloadError())

    def _refuse_surplus(self) -> None:
        """Throw away surplus bytes and the connection, but no bytes that are being read."""
        self._unparsed, self._parsed = b"", 0
        self.force_close()
        if self._expected is None:
            self.abort()

    def _break_off(self, reason: str) -> None:
        """End the connection; tell whoever waits for the head, and whoever reads the body."""
        body = self._body
        self.abort()
        self.set_exception(TooMuchFramingError(reason))
        if body is not None:
            body.set_exception(TooMuchFramingError(reason))

    def _pause_after(self, framing: int) -> None:
        """Parse no more until so much framing is earned."""
        if (wait := self._pace.take(framing)) >= MIN_PAUSE_SECONDS:
            self._end_pause()
            self._pause = self._loop.call_later(wait, self._take_turn)
            self._stop_reading()

    def _take_turn(self) -> None:
        if self._turns.take():
            self._go_on()
        else:
            self._pause = self._loop.call_later(MIN_PAUSE_SECONDS, self._take_turn)

    def _go_on(self) -> None:
        self._end_pause()
        self._parse()
        if not self._has_to_wait() and self.transport is not None:
            if not self.transport.is_closing():
                self.transport.resume_reading()
            self._end_if_parsed()

    def _stop_reading(self) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.pause_reading()

    def _end_pause(self) -> None:
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None

    def _forget(self) -> None:
        self._end_pause()
        self._end_large()
        self._unparsed, self._parsed, self._is_held = b"", 0, False
        self._end_if_parsed()

    def _end_if_parsed(self) -> None:
        """Tell aiohttp that the connection is lost, if all that came before is parsed."""
        if self._lost is not None and not self._unparsed and not self._is_held:
            (reason,), self._lost = self._lost, None
            self._end_pause()
            super().connection_lost(reason)
            self._forget_frames()
            self._body = None  # it holds this connection

    def _forget_frames(self) -> None:
        """Have no error hold the frames that parsed, because they hold this connection."""
        for holder in (self, self._body):
            if holder is not None and (error := holder.exception()) is not None:
                forget_frames(error)


def _passes_by(expected: Heads | Body | None) -> TypeGuard[PlainBody]:
    """Tell whether the next bytes are a body's of known length, which aiohttp need not parse."""
    return isinstance(expected, PlainBody) and 0 < expected.left < inf


def _begins_as_head(beginning: bytes) -> bool:
    return beginning == _BEGINNING or _BEGINNING.startswith(beginning)


def _expected_body(message: RawResponseMessage, body: aiohttp.StreamReader) -> Body | None:
    """Return what is still to come of an answer's body."""
    if body.is_eof():
        return None
    if message.chunked:
        return ChunkedBody(body.total_bytes)
    length = message.headers.get(CONTENT_LENGTH)  # the parser refuses what is no number
    return PlainBody.until_closed() if length is None else PlainBody(int(length) - body.total_bytes)
