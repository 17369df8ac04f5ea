"""What a server sends: passed on whole and in turns, or the connection ends."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import asyncpg
import pytest
import uvloop
from attrs import define, field

from shared.postgres.bounded_answers import (
    PIECE_BYTES,
    TURN_SECONDS,
    AskingTransport,
    BoundedLoop,
)
from shared.postgres.connect import DatabaseAwayError, connect, reason_of
from shared.postgres.database_url import read_database_url
from shared.postgres.message_frames import NoMessageError
from tests.support.eventually import eventually
from tests.support.memory import MIB
from tests.support.simulators.hostile_postgres import Endless, HostilePostgres, message

MOST_BYTES = 10 * PIECE_BYTES
NOTICE = message(b"N", b"SNOTICE\0VNOTICE\0C00000\0Mx\0\0")
SECONDS = 30.0


@define(eq=False)
class Reader(asyncio.Protocol):
    """Keeps what it is given, piece by piece, and how it ended."""

    pieces: list[bytes] = field(factory=list)
    ended: asyncio.Event = field(factory=asyncio.Event)
    error: Exception | None = None
    fails: bool = False
    turns: list[int] = field(factory=list)  # of the loop: in which each piece came
    _turn: int = 0

    def data_received(self, data: bytes) -> None:
        """Keep it."""
        self.pieces.append(data)
        self.turns.append(self._turn)
        asyncio.get_running_loop().call_soon(self._end_turn)
        if self.fails:
            raise IndexError

    def _end_turn(self) -> None:
        self._turn += 1

    def connection_lost(self, exc: Exception | None) -> None:
        """Keep why."""
        self.error = exc
        self.ended.set()


@asynccontextmanager
async def answered(
    *answers: bytes, reader: Reader, clock: Callable[[], float] = time.monotonic
) -> AsyncIterator[tuple[AskingTransport, asyncio.Event]]:
    """Yield a connection to a server that sends one more answer whenever it is asked."""

    async def serve(asked: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            writer.write(answer)
            await asked.read(1)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    loop = BoundedLoop(asyncio.get_running_loop(), MOST_BYTES, clock)
    transport, made = await loop.create_connection(lambda: reader, "127.0.0.1", port)
    assert made is reader
    try:
        yield transport, reader.ended
    finally:
        transport.abort()
        server.close()


async def come(reader: Reader, count: int) -> None:
    """Return once so many bytes came."""
    await eventually(lambda: sum(map(len, reader.pieces)) == count)


async def test_an_answer_comes_whole_and_in_turns() -> None:
    """Others have theirs as soon as the time of one is over."""
    reader, content = Reader(), bytes(range(256)) * (MOST_BYTES // 256)
    clock = itertools.count(step=TURN_SECONDS).__next__
    async with answered(content, reader=reader, clock=clock), asyncio.timeout(SECONDS):
        await come(reader, len(content))
    assert b"".join(reader.pieces) == content
    assert max(map(len, reader.pieces)) <= PIECE_BYTES
    assert len(set(reader.turns)) == len(reader.turns)


async def test_what_takes_no_time_comes_in_one_turn() -> None:
    """A busy loop has few turns, and a page of statements has ten seconds."""
    reader, content = Reader(), bytes(MOST_BYTES)
    async with answered(content, reader=reader, clock=lambda: 0.0), asyncio.timeout(SECONDS):
        await come(reader, len(content))
    assert max(map(len, reader.pieces)) <= PIECE_BYTES
    assert len(set(reader.turns)) < MOST_BYTES // PIECE_BYTES


async def test_whatever_is_sent_begins_another_answer() -> None:
    """Many answers together may be longer than one."""
    reader, content = Reader(), bytes(MOST_BYTES)
    async with (
        answered(content, content, content, reader=reader) as (transport, ended),
        asyncio.timeout(SECONDS),
    ):
        for number in range(1, 4):
            await come(reader, number * MOST_BYTES)
            transport.write(b"?")
        await ended.wait()
    assert reader.error is None


async def test_what_comes_at_the_end_is_passed_on_before_it() -> None:
    """A server says why it closes, and closes."""
    reader, content = Reader(), bytes(MOST_BYTES)
    async with answered(content, reader=reader) as (transport, ended), asyncio.timeout(SECONDS):
        transport.write(b"?")
        await ended.wait()
    assert b"".join(reader.pieces) == content


async def test_a_byte_too_many_ends_the_connection() -> None:
    """And it is said why."""
    reader = Reader()
    async with (
        answered(bytes(MOST_BYTES + 1), reader=reader) as (_, ended),
        asyncio.timeout(SECONDS),
    ):
        await ended.wait()
    assert isinstance(reader.error, NoMessageError)


async def test_a_reader_that_fails_ends_the_connection() -> None:
    """In whichever turn: nothing more is given to it."""
    reader = Reader(fails=True)
    async with answered(bytes(MOST_BYTES), reader=reader) as (_, ended), asyncio.timeout(SECONDS):
        await ended.wait()
    assert isinstance(reader.error, IndexError)
    assert len(reader.pieces) == 1


ENDLESS = "the server sends more than was asked for"
GIB = (1024 * MIB).to_bytes(4)
HOSTILE = {
    "notices": (b"", NOTICE, ENDLESS),
    "a GiB": (b"N" + GIB, b"x", "the server announces more than was asked for"),
    "no protocol": (b"", b"\0", "the server does not speak PostgreSQL's protocol"),
}


@pytest.mark.parametrize("in_login", [True, False], ids=["login", "answer"])
@pytest.mark.parametrize("kind", HOSTILE)
def test_a_server_that_answers_without_an_end_is_left(kind: str, in_login: bool) -> None:  # noqa: FBT001 - a case
    """With asyncpg, on the loop of the programs."""
    begin, again, why = HOSTILE[kind]

    async def ask() -> tuple[str, int]:
        async with HostilePostgres(Endless(begin, again, in_login)) as hostile:
            url = read_database_url(f"postgresql://u:p@127.0.0.1:{hostile.port}/d")
            try:
                connection = await connect(url, seconds=SECONDS, most_bytes=MIB)
                await connection.execute("SELECT 1")
            except (DatabaseAwayError, asyncpg.ConnectionDoesNotExistError) as error:
                return reason_of(error), hostile.sent_bytes
            raise AssertionError("it was answered")

    reason, sent = uvloop.run(ask())
    assert reason in {why, ENDLESS}  # whichever is met first
    assert sent < 32 * MIB  # what kernels keep
