"""Pieces reach a device whole, or its connection is reset; who does not read is cut."""

import asyncio
import socket
import ssl
import time
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web
from attrs import define, field

from deploy.dev.device_ca import CertificateAuthority, CertificateFiles
from facade.devices.aborted_pull import PullAbortedError
from facade.pulls.relay import relay
from facade.values.piece import Piece, WrongBytesError
from shared.upstream.errors import BrokenBodyError, UpstreamError
from tests.support.device_servers import DeviceServers
from tests.support.device_stream import End, device_stream
from tests.support.eventually import PATIENCE_SECONDS, eventually

PIECE = b"x" * 65536
ENDLESS = 1 << 40
SMALL_RECEIVE_BUFFER = 32 * 1024


@define
class Relayed:
    """A server that relays pieces to whoever asks, and what became of it."""

    pieces: Callable[[], AsyncIterator[Piece]]
    length: int
    window_seconds: float = 60.0
    refused: list[Exception] = field(factory=list)  # before anything was sent
    aborted: list[type[BaseException]] = field(factory=list)  # types alone: frames hold the pieces
    port: int = 0

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        response = web.StreamResponse()
        response.content_length = self.length
        try:
            await relay(request, response, self.pieces(), window_seconds=self.window_seconds)
        except (UpstreamError, WrongBytesError) as error:
            self.refused.append(error)
            return web.Response(status=502, body=b"refused")
        except BaseException as error:
            self.aborted.append(type(error))
            raise
        return response


Serve = Callable[[Relayed], Awaitable[Relayed]]


@pytest.fixture
async def serve(
    device_ca: CertificateAuthority, server_certificate: CertificateFiles
) -> AsyncIterator[Serve]:
    """Serve with the device endpoint's own protocol and TLS."""
    async with DeviceServers.open(device_ca, server_certificate) as servers:

        async def serve(relayed: Relayed) -> Relayed:
            _, relayed.port = servers.begin(relayed.handle)
            return relayed

        yield serve


@pytest.fixture
def device_tls(
    tmp_path: Path, device_ca: CertificateAuthority, server_ca: CertificateAuthority
) -> ssl.SSLContext:
    """A device's side of TLS."""
    files = device_ca.issue_device().write(tmp_path, "device")
    context = ssl.create_default_context(cadata=server_ca.pem.decode())
    context.load_cert_chain(files.certificate, files.key)
    return context


def pieces_of(
    *pieces: bytes, then: BaseException | None = None
) -> Callable[[], AsyncIterator[bytes]]:
    """Give these pieces, and then raise."""

    async def give() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece
        if then is not None:
            raise then

    return give


async def test_pieces_arrive_whole(serve: Serve, device_tls: ssl.SSLContext) -> None:
    """Of any size, the empty one included, and on one connection one answer after the other."""
    sizes = [0, 1, 65536, 3, 1_000_000, 0, 7]
    relayed = await serve(Relayed(pieces_of(*(b"x" * size for size in sizes)), sum(sizes)))
    async with device_stream(relayed.port, device_tls, "/") as stream:
        assert await stream.end() is End.WHOLE
    assert relayed.aborted == []


async def test_the_head_goes_with_the_first_piece(serve: Serve, device_tls: ssl.SSLContext) -> None:
    """In one TLS record, and so in one system call; a body without a byte has its head alone."""
    relayed = await serve(Relayed(pieces_of(b"whole"), 5))
    record = await asyncio.to_thread(first_record, relayed.port, device_tls)
    assert record.startswith(b"HTTP/1.1 200 OK\r\n")
    assert record.endswith(b"\r\n\r\nwhole")
    empty = await serve(Relayed(pieces_of(), 0))
    record = await asyncio.to_thread(first_record, empty.port, device_tls)
    assert record.endswith(b"\r\n\r\n")
    assert record.count(b"\r\n\r\n") == 1


def first_record(port: int, tls: ssl.SSLContext) -> bytes:
    """Ask, and return the content of the first TLS record of the answer: OpenSSL reads one."""
    with (
        socket.create_connection(("127.0.0.1", port)) as raw,
        tls.wrap_socket(raw, server_hostname="localhost") as device,
    ):
        device.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        return device.recv(64 * 1024)


@pytest.mark.parametrize("error", [WrongBytesError("wrong"), BrokenBodyError("broken")])
async def test_what_fails_before_the_first_piece_was_never_begun(
    error: Exception, serve: Serve, device_tls: ssl.SSLContext
) -> None:
    """So that the handler can still answer with another status."""
    relayed = await serve(Relayed(pieces_of(then=error), 10))
    async with device_stream(relayed.port, device_tls, "/") as stream:
        assert (stream.status, await stream.body()) == (502, b"refused")
    assert relayed.refused == [error]


@pytest.mark.parametrize("error", [WrongBytesError("wrong"), BrokenBodyError("broken")])
async def test_what_fails_later_is_a_reset(
    error: Exception, serve: Serve, device_tls: ssl.SSLContext
) -> None:
    """Never an end that looks whole."""
    given = [PIECE] * 64
    relayed = await serve(Relayed(pieces_of(*given, then=error), 65 * len(PIECE)))
    async with device_stream(relayed.port, device_tls, "/") as stream:
        assert stream.status == 200
        assert await stream.end() is End.RESET
        assert stream.received <= 64 * len(PIECE)
    assert relayed.aborted == [PullAbortedError]


async def test_a_reset_drops_what_waits_to_be_sent(
    serve: Serve, device_tls: ssl.SSLContext
) -> None:
    """A device that reads slowly is not served the rest of bytes that turned out wrong."""
    relayed = Relayed(pieces_of(), ENDLESS)
    failed = asyncio.Event()

    async def fail_when_full() -> AsyncIterator[bytes]:
        for _ in range(4):
            yield PIECE
        await failed.wait()
        raise WrongBytesError("wrong")

    relayed.pieces = fail_when_full
    await serve(relayed)
    async with device_stream(
        relayed.port, device_tls, "/", receive_buffer=SMALL_RECEIVE_BUFFER
    ) as stream:
        failed.set()
        await eventually(lambda: bool(relayed.aborted))
        assert await stream.end() is End.RESET


async def test_a_device_that_stops_reading_is_cut(serve: Serve, device_tls: ssl.SSLContext) -> None:
    """Within the window, with little taken from the registry for it."""
    given = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal given
        while True:
            given += len(PIECE)
            yield PIECE

    relayed = await serve(Relayed(endless, ENDLESS, window_seconds=0.5))
    async with device_stream(
        relayed.port, device_tls, "/", receive_buffer=SMALL_RECEIVE_BUFFER
    ) as stream:
        await eventually(lambda: bool(relayed.aborted))
        taken = given
        await asyncio.sleep(0.1)
        assert given == taken
        assert await stream.end() is End.RESET
    # What the kernel takes for a socket is not ours: at most 4 MiB (tcp_wmem) and the device's.
    assert taken <= 8 << 20


async def test_a_device_that_reads_a_little_goes_on(
    serve: Serve, device_tls: ssl.SSLContext
) -> None:
    """Slower than a piece in a window, for many windows, whatever the sizes of the pieces."""

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 1024
            yield b"x" * 512 * 1024

    # So long a window that a busy machine keeps nobody from reading for all of it.
    relayed = await serve(Relayed(endless, ENDLESS, window_seconds=1.5))
    await asyncio.to_thread(read_slowly, relayed.port, device_tls, reads=250)


def read_slowly(port: int, tls: ssl.SSLContext, *, reads: int) -> None:
    """Read some 270 KiB a second; raise `ConnectionError` where the connection is cut.

    Blocking, with small buffers: asyncio's TLS would read half a megabyte ahead.
    """
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_RECEIVE_BUFFER)
    raw.connect(("127.0.0.1", port))
    with tls.wrap_socket(raw, server_hostname="localhost") as device:
        device.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        for _ in range(reads):
            assert device.recv(8 * 1024)
            time.sleep(0.03)


async def test_a_registry_that_pauses_is_not_the_device_s_fault(
    serve: Serve, device_tls: ssl.SSLContext
) -> None:
    """With nothing waiting to be sent there is nothing that the device could take."""

    async def pausing() -> AsyncIterator[bytes]:
        yield PIECE
        await asyncio.sleep(0.5)
        yield PIECE

    relayed = await serve(Relayed(pausing, 2 * len(PIECE), window_seconds=0.1))
    async with device_stream(relayed.port, device_tls, "/") as stream:
        assert await stream.end() is End.WHOLE


async def test_a_device_that_leaves_ends_its_pull(serve: Serve, device_tls: ssl.SSLContext) -> None:
    """The registry is not read for nobody."""
    is_closed = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        try:
            while True:
                yield PIECE
                await asyncio.sleep(0)
        finally:
            is_closed.set()

    relayed = await serve(Relayed(endless, ENDLESS))
    async with device_stream(relayed.port, device_tls, "/") as stream:
        await stream.take(1000)
    async with asyncio.timeout(PATIENCE_SECONDS):
        await is_closed.wait()
    assert len(relayed.aborted) == 1


async def test_no_piece_is_kept_once_it_was_given(serve: Serve, device_tls: ssl.SSLContext) -> None:
    """Neither the first one nor a later one: a device may take hours for the rest."""
    kept: list[int] = []

    async def pieces() -> AsyncIterator[memoryview]:
        given: list[weakref.ref[memoryview]] = []
        for _ in range(4):
            kept.append(sum(each() is not None for each in given))
            piece = memoryview(PIECE)
            given.append(weakref.ref(piece))
            yield piece
            del piece

    relayed = await serve(Relayed(pieces, 4 * len(PIECE)))
    async with device_stream(relayed.port, device_tls, "/") as stream:
        assert await stream.end() is End.WHOLE
    assert kept == [0, 0, 0, 0]
