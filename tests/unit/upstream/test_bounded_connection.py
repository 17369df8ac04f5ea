"""However an answer comes, it is the same answer."""

import asyncio
from typing import Final

import aiohttp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typing_extensions import override

from shared.pace import Pace
from shared.upstream.bounded_connection import BoundedConnection, OneConnectionAtATime
from shared.upstream.framing import FRAMED_SLICE_BYTES, HEAD_SLICE_BYTES
from shared.upstream.kept_connections import KeptConnections
from shared.upstream.large_reads import ReadMemory

EARLY: Final = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n"
HEAD: Final = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
CONTENT: Final = bytes(range(256)) * 24
PLAIN_HEAD: Final = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(CONTENT)
SPLITS: Final = st.lists(st.integers(1, 3000), max_size=40)
PACES: Final = st.sampled_from([20_000.0, 1e9])  # bytes of framing a second
PIECES: Final = st.lists(st.binary(min_size=1, max_size=2000), max_size=40)


class _Wire(asyncio.Transport):
    """Gives a connection bytes, as long as it reads."""

    def __init__(self, connection: BoundedConnection, content: bytes, splits: list[int]) -> None:
        super().__init__()
        self._connection = connection
        self._content = content
        self._splits = splits
        self._is_read = True
        connection.connection_made(self)

    def give(self) -> None:
        """Give the next bytes, in the splits' sizes and at last all in one; then the end."""
        if not self._is_read:
            return
        count = self._splits.pop() if self._splits else len(self._content)
        given, self._content = self._content[:count], self._content[count:]
        if given:
            self._connection.data_received(given)
        else:
            self._is_read = False
            self._connection.connection_lost(None)

    @override
    def pause_reading(self) -> None:
        self._is_read = False

    @override
    def resume_reading(self) -> None:
        self._is_read = True

    @override
    def is_closing(self) -> bool:
        return False

    @override
    def close(self) -> None:
        self._is_read = False

    @override
    def abort(self) -> None:
        self._is_read = False


def bounded(loop: asyncio.AbstractEventLoop, pace: Pace) -> BoundedConnection:
    """Return a connection that nobody shares anything with."""
    turns = OneConnectionAtATime(loop)
    return BoundedConnection(loop, pace, turns, KeptConnections(), ReadMemory())


async def _read(answer: bytes, splits: list[int], bytes_per_second: float) -> bytes:
    """Return the body of an answer that comes in the splits."""
    loop = asyncio.get_running_loop()
    pace = Pace(bytes_per_second, 100, loop.time)
    connection = bounded(loop, pace)
    wire = _Wire(connection, answer, splits)
    connection.set_response_params(read_bufsize=1024, read_until_eof=True)
    while not len(connection):
        wire.give()
        await asyncio.sleep(0)
    _, body = await connection.read()
    content = b""
    while not body.at_eof():
        wire.give()
        content += body.read_nowait()
        await asyncio.sleep(0)
    connection.close()
    return content


@settings(deadline=None, max_examples=60)
@given(
    pieces=PIECES, splits=SPLITS, early=st.integers(0, 10), pace=st.sampled_from([20_000.0, 1e9])
)
def test_chunks_are_the_same_however_they_come(
    pieces: list[bytes], splits: list[int], early: int, pace: float
) -> None:
    """In one read or in many, at any pace of framing, read in time or late, with what is behind."""
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    answer = EARLY * early + HEAD + chunks + b"0\r\n\r\n"
    assert asyncio.run(_read(answer, splits, pace)) == b"".join(pieces)


@settings(deadline=None, max_examples=60)
@given(
    content=st.binary(min_size=1, max_size=9000),
    splits=SPLITS,
    framing=st.sampled_from(["counted", "closed"]),
)
def test_a_plain_body_is_the_same_however_it_comes(
    content: bytes, splits: list[int], framing: str
) -> None:
    """With its length, or without."""
    length = b"Content-Length: %d\r\n" % len(content) if framing == "counted" else b""
    surplus = b"HTTP/1.1 200 OK\r\n" if framing == "counted" else b""
    answer = b"HTTP/1.1 200 OK\r\n" + length + b"\r\n" + content
    assert asyncio.run(_read(answer + surplus, splits, 1e9)) == content


async def test_in_a_turn_of_the_loop_one_connection_goes_on() -> None:
    """After a while in which the loop had no time, the pauses of all of them are over."""
    turns = OneConnectionAtATime(asyncio.get_running_loop())
    assert [turns.take() for _ in range(5)] == [True, False, False, False, False]
    await asyncio.sleep(0)
    assert [turns.take() for _ in range(2)] == [True, False]


async def test_a_reader_of_many_small_chunks_does_not_parse_more_by_reading() -> None:
    """Aiohttp resumes for each chunk that is read, whether or not it had paused."""
    loop = asyncio.get_running_loop()
    pace = Pace(1, 1, loop.time)  # nothing is earned in the time of a test
    connection = bounded(loop, pace)
    chunks = b"6\r\nABCDEF\r\n" * 100_000
    wire = _Wire(connection, HEAD + chunks, [])
    connection.set_response_params(read_bufsize=64 * 1024)
    wire.give()
    _, body = await connection.read()
    while body.read_nowait():
        pass
    assert 0 < body.total_bytes <= HEAD_SLICE_BYTES + FRAMED_SLICE_BYTES
    connection.close()


def _connected() -> BoundedConnection:
    loop = asyncio.get_running_loop()
    pace = Pace(1e9, 100, loop.time)
    connection = bounded(loop, pace)
    _Wire(connection, b"", [])
    return connection


async def _begun(connection: BoundedConnection, answer: bytes) -> aiohttp.StreamReader:
    """Ask, and return the body of the answer that begins with these bytes."""
    connection.set_response_params(read_bufsize=1024)
    connection.data_received(answer)
    _, body = await connection.read()
    return body


async def test_a_plain_body_is_handed_over_as_it_came() -> None:
    """A copy of each piece would take as long as the kernel takes to give it."""
    connection = _connected()
    body = await _begun(connection, PLAIN_HEAD)
    first, second = bytes(CONTENT[:1000]), bytes(CONTENT[1000:])
    connection.data_received(first)
    assert body.read_nowait() is first
    connection.data_received(second)
    assert body.read_nowait() is second
    assert body.at_eof()


async def test_what_comes_of_a_plain_body_while_nobody_reads_is_read_later() -> None:
    """Whoever reads has enough, and a record of TLS that was decrypted already still comes."""
    connection = _connected()
    body = await _begun(connection, PLAIN_HEAD + CONTENT[:4000])
    connection.data_received(CONTENT[4000:] + b"surplus")
    read = body.read_nowait()
    while not body.at_eof():
        read += await body.readany()
    assert read == CONTENT
    assert connection.should_close


async def test_after_a_plain_body_a_connection_is_asked_again() -> None:
    """The answer to each request is parsed anew."""
    connection = _connected()
    for _ in range(2):
        body = await _begun(connection, PLAIN_HEAD + CONTENT[:10])
        connection.data_received(CONTENT[10:])
        assert body.read_nowait() == CONTENT
        assert body.at_eof()
        assert not connection.should_close
    connection.close()


async def test_the_end_of_a_connection_is_no_end_of_a_plain_body() -> None:
    """A body that is there can be read; one of which something is missing is broken."""
    whole, broken = _connected(), _connected()
    body = await _begun(whole, PLAIN_HEAD + CONTENT[:10])
    whole.data_received(CONTENT[10:])
    whole.connection_lost(None)
    assert body.read_nowait() == CONTENT
    body = await _begun(broken, PLAIN_HEAD + CONTENT[:10])
    broken.data_received(CONTENT[10:-1])
    broken.connection_lost(None)
    assert body.read_nowait() == CONTENT[:-1]
    with pytest.raises(aiohttp.ClientPayloadError):
        await body.readany()
