"""What a server may send: so many bytes before it is asked again, and few in one turn of the loop.

asyncpg takes whatever comes as it comes: a message of a GiB, notices without an end. It makes its
connections with the loop that it is given. So it is given one whose connections are bounded:

    asyncpg.connect(loop=BoundedLoop(asyncio.get_running_loop(), most_bytes=...), ...)

    the server ──► transport ──► BoundedAnswers ──► asyncpg    whole messages alone
                       ▲                               │ what is written begins the count anew
                       └──────── AskingTransport ◄─────┘
"""

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import Any, Final

from asyncpg.protocol import Protocol
from attrs import define, field

from shared.postgres.message_frames import MessageFrames, NoMessageError

# Not by bytes alone: a busy loop has few turns, and a long answer has to come in time.
TURN_SECONDS: Final = 0.001  # and the last piece
PIECE_BYTES: Final = 8 * 1024  # before the time is looked at; 300 of the shortest notices: 3 ms


@define(eq=False)
class BoundedLoop:
    """A loop as asyncpg uses it, whose connections are bounded. All else is the loop's own."""

    loop: asyncio.AbstractEventLoop
    most_bytes: int  # that come before something is sent
    clock: Callable[[], float] = time.monotonic  # seconds

    def __getattr__(self, name: str) -> Any:
        """Return what the loop has."""
        return getattr(self.loop, name)

    async def create_connection(
        self, make: Callable[[], asyncio.Protocol], *place: Any, **options: Any
    ) -> tuple["AskingTransport", asyncio.Protocol]:
        """Connect to a host."""
        _, answers = await self.loop.create_connection(
            lambda: BoundedAnswers(make(), self), *place, **options
        )
        return answers.transport, answers.protocol

    async def create_unix_connection(
        self, make: Callable[[], asyncio.Protocol], *place: Any, **options: Any
    ) -> tuple["AskingTransport", asyncio.Protocol]:
        """Connect to a socket of this machine."""
        _, answers = await self.loop.create_unix_connection(
            lambda: BoundedAnswers(make(), self), *place, **options
        )
        return answers.transport, answers.protocol

    async def start_tls(
        self, plain: "AskingTransport", protocol: asyncio.Protocol, *tls: Any, **options: Any
    ) -> "AskingTransport | None":
        """Go on with TLS; what asyncpg sets for it then is bounded, too."""
        made = await self.loop.start_tls(plain.transport, protocol, *tls, **options)
        return None if made is None else AskingTransport(made, BoundedAnswers(protocol, self))


@define(eq=False)
class AskingTransport:
    """A transport as asyncpg uses it: whatever is written asks for another answer."""

    transport: Any  # asyncio's or uvloop's, with or without TLS
    answers: "BoundedAnswers"

    def __getattr__(self, name: str) -> Any:
        """Return what the transport has."""
        return getattr(self.transport, name)

    def set_protocol(self, protocol: asyncio.Protocol) -> None:
        """Have another protocol read, bounded as the one before."""
        self.answers = BoundedAnswers(protocol, self.answers.loop, self)
        self.transport.set_protocol(self.answers)

    def write(self, content: Any) -> None:
        """Send something."""
        self.answers.begin()
        self.transport.write(content)

    def writelines(self, contents: Iterable[Any]) -> None:
        """Send several."""
        self.answers.begin()
        self.transport.writelines(contents)


@define(eq=False)
class BoundedAnswers(asyncio.Protocol):
    """Passes on what comes, a little in each turn of the loop; ends the connection beyond that."""

    protocol: asyncio.Protocol
    loop: BoundedLoop
    _transport: AskingTransport | None = None
    _came: int = field(default=0, init=False)  # bytes, since something was sent
    _waiting: bytearray = field(factory=bytearray, init=False)  # for their turn
    _frames: MessageFrames | None = field(init=False)  # None: of a single byte before TLS
    _error: Exception | None = field(default=None, init=False)  # why we ended it

    @_frames.default
    def _of_whole_messages(self) -> MessageFrames | None:
        return MessageFrames() if isinstance(self.protocol, Protocol) else None

    @property
    def transport(self) -> AskingTransport:
        """What asyncpg writes to."""
        if self._transport is None:
            raise RuntimeError("it is not connected")
        return self._transport

    def begin(self) -> None:
        """Begin the next answer: something is sent."""
        self._came = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Pass it on."""
        self._transport = AskingTransport(transport, self)
        self.protocol.connection_made(self._transport)  # type: ignore[arg-type]

    def data_received(self, data: bytes) -> None:
        """Take what came, and pass on the first of it at once if nothing waits before it."""
        self._came += len(data)
        if self._came > self.loop.most_bytes:
            self._end(NoMessageError("the server sends more than was asked for"))
            return
        is_first = not self._waiting
        self._waiting += data
        if is_first:
            self._pass_on()

    def _pass_on(self) -> None:
        end = self.loop.clock() + TURN_SECONDS
        self._pass_on_piece()
        while self._waiting and self.loop.clock() < end:
            self._pass_on_piece()
        if self._waiting:
            self.loop.call_soon(self._pass_on)

    def _pass_on_piece(self) -> None:
        piece = self._waiting[:PIECE_BYTES]
        del self._waiting[:PIECE_BYTES]
        if self._waiting:
            self.transport.pause_reading()
        elif piece and not self.transport.is_reading():
            self.transport.resume_reading()
        self._read(bytes(piece))

    def _pass_on_all(self) -> None:
        waiting = bytes(self._waiting)
        self._waiting.clear()
        self._read(waiting)

    def _read(self, piece: bytes) -> None:
        if not piece:  # the connection has ended meanwhile
            return
        try:
            if self._frames is not None:
                self._frames.follow(piece, self.loop.most_bytes)
            self.protocol.data_received(piece)
        except Exception as error:  # noqa: BLE001 - as a loop ends a connection whose reader fails
            self._end(error)

    def _end(self, error: Exception) -> None:
        self._error = error
        self._waiting.clear()
        self.transport.abort()

    def eof_received(self) -> bool | None:
        """Pass it on behind what waits."""
        self._pass_on_all()
        return self.protocol.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """Pass it on behind what waits, with why we ended it."""
        self._pass_on_all()
        self._transport = None  # it knows us
        self.protocol.connection_lost(self._error or exc)

    def pause_writing(self) -> None:
        """Pass it on."""
        self.protocol.pause_writing()

    def resume_writing(self) -> None:
        """Pass it on."""
        self.protocol.resume_writing()
