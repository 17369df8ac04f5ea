"""The admin API's sockets: who is too slow is cut, and a handshake takes a place."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from control_plane.http.open_connections import OpenConnections
from control_plane.http.stranger_pace import StrangerPace
from control_plane.operators.rate_limit import StrangersRate
from control_plane.operators.stranger_lines import StrangerLines
from control_plane.serving.server import serving
from deploy.dev.processes import free_port
from shared.setting_types import ListenAddress
from tests.support.eventually import eventually
from tests.support.held_sockets import held, held_sockets

LARGE = b"x" * (32 * 1024 * 1024)  # more than the kernel keeps for a reader that stopped
REQUEST = b"GET /small HTTP/1.1\r\nHost: x\r\n\r\n"
PATIENT = 3600.0
HASTY = 0.2


def pace_of(burst: int) -> StrangerPace:
    """Return a pace of so many answers at once; all others wait for longer than any test."""
    buckets = (burst, 0.001), (burst, 0.001)
    rate = StrangersRate.of(*buckets, lambda: 0.0, behind_proxy=False)
    return StrangerPace(rate, pause_seconds=PATIENT)


@asynccontextmanager
async def listening(
    connections: OpenConnections, tls: ssl.SSLContext | None = None, *, burst: int = 1000
) -> AsyncIterator[int]:
    """Serve something small, of so many at once, and something large; yield the port."""
    pace = pace_of(burst)

    async def small(request: web.Request) -> web.Response:
        await pace.keep(request)
        return web.Response(text="small")

    async def large(_: web.Request) -> web.Response:
        return web.Response(body=LARGE)

    app = web.Application()
    app.router.add_get("/small", small)
    app.router.add_get("/large", large)
    address = ListenAddress("127.0.0.1", free_port())
    lines = StrangerLines.of(behind_proxy=False)
    async with serving(app, address, tls, connections, lines, drain_seconds=0):
        yield address.port


async def drip(writer: asyncio.StreamWriter) -> None:
    """Send a byte now and then, until the connection is gone.

    Its end may come between two of them: then uvloop has closed the transport, and takes no write.
    """
    while not writer.is_closing():
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.01)
    raise ConnectionResetError


@pytest.mark.parametrize("before", [b"", REQUEST], ids=["a first request", "a later request"])
async def test_a_head_that_does_not_come_is_cut(before: bytes) -> None:
    """Whatever is sent meanwhile: the head is to be whole."""
    async with listening(OpenConnections(head_seconds=HASTY)) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(before)
        if before:
            assert await reader.readuntil(b"small")
        writer.write(b"GET /small HTTP/1.1\r\nX-Half: ")
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            await drip(writer)


async def test_an_answer_that_nobody_reads_is_cut() -> None:
    """It would be kept for ever, and its socket with it."""
    connections = OpenConnections(unread_seconds=HASTY)
    async with listening(connections) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port, limit=1)
        writer.write(REQUEST.replace(b"small", b"large"))
        await eventually(lambda: connections.count == 1)
        await eventually(lambda: connections.count == 0)
        writer.transport.abort()


async def test_an_idle_connection_between_requests_awaits_no_head() -> None:
    """It has the time of a kept connection."""
    connections = OpenConnections(head_seconds=HASTY)
    async with listening(connections) as port:
        kept, keeping = await asyncio.open_connection("127.0.0.1", port)
        keeping.write(REQUEST)
        assert await kept.readuntil(b"small")
        async with held_sockets(port, 1) as half:
            await eventually(lambda: held(half) == 0)  # this one was cut meanwhile
        keeping.write(REQUEST)
        assert await kept.readuntil(b"small")
        keeping.transport.abort()


async def test_half_a_handshake_takes_a_place_and_gives_way(
    server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    """Whoever comes is let in, and no place is lost."""
    connections = OpenConnections(8, 4)
    async with listening(connections, server_tls) as port:
        async with held_sockets(port, 20, b"\x16\x03\x01") as readers:
            await eventually(lambda: held(readers) == 4)
            reader, writer = await asyncio.open_connection("localhost", port, ssl=client_tls)
            writer.write(REQUEST)
            assert await reader.readuntil(b"small")
            assert connections.count == 4
            writer.transport.abort()
        await eventually(lambda: connections.count == 0)


async def test_what_is_no_handshake_leaves_no_place_taken(server_tls: ssl.SSLContext) -> None:
    """Plain HTTP at an HTTPS port."""
    connections = OpenConnections(8, 4)
    async with listening(connections, server_tls) as port, held_sockets(port, 3, REQUEST) as ended:
        await eventually(lambda: held(ended) == 0)
        await eventually(lambda: connections.count == 0)


async def test_handshakes_are_given_up_at_the_end(server_tls: ssl.SSLContext) -> None:
    """A stop waits for nobody who says nothing."""
    connections = OpenConnections()
    async with listening(connections, server_tls) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        await eventually(lambda: connections.count == 1)
    await eventually(lambda: connections.count == 0)
    writer.transport.abort()


async def test_beyond_its_burst_a_stranger_waits_and_gives_way() -> None:
    """Its connections are in nobody's way, and none is kept beyond its end."""
    connections = OpenConnections(8, 3)
    async with listening(connections, burst=1) as port:
        async with held_sockets(port, 1, REQUEST) as (answered,):
            assert await answered.readuntil(b"small")
        async with held_sockets(port, 3, REQUEST) as waiting:
            await eventually(lambda: sum(each.gives_way for each in connections) == 3)
            async with held_sockets(port, 2, REQUEST):
                await eventually(lambda: held(waiting) == 1)
                assert connections.count == 3
        await eventually(lambda: connections.count == 0)
