"""Who may have how many connections to the operations address."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial

import aiohttp
import pytest
from aiohttp import web

from deploy.dev.processes import free_port
from facade.errors import StartError
from facade.serving.operations_connections import MOST_CONNECTIONS, OperationsConnection
from facade.serving.operations_endpoint import serve_operations
from shared.setting_types import ListenAddress
from shared.stopping import end_tasks
from tests.support.eventually import eventually
from tests.support.held_sockets import held, held_sockets


async def _alive(_request: web.Request) -> web.Response:
    return web.Response(text="alive")


@pytest.fixture
async def port() -> AsyncIterator[int]:
    """Where a server listens that says that it is alive."""
    app, port = web.Application(), free_port()
    app.router.add_get("/healthz", _alive)
    async with serve_operations(app, ListenAddress("127.0.0.1", port)):
        yield port


async def asked(port: int) -> str:
    """Ask on a new connection."""
    async with aiohttp.request("GET", f"http://127.0.0.1:{port}/healthz") as answer:
        return await answer.text()


async def test_a_probe_is_answered_whatever_others_hold(port: int) -> None:
    """The oldest gave way, and there are never more than there may be."""
    async with held_sockets(port, 3 * MOST_CONNECTIONS) as readers:
        assert await asked(port) == "alive"
        await eventually(lambda: held(readers) < MOST_CONNECTIONS)
        assert not held(readers[:MOST_CONNECTIONS])
        assert held(readers[-MOST_CONNECTIONS // 2 :]) == MOST_CONNECTIONS // 2


async def test_the_address_that_has_most_gives_way(port: int) -> None:
    """Somebody with many connections does not cut others'."""
    async with (
        held_sockets(port, 2, addresses=["127.0.0.2"]) as others,
        held_sockets(port, 2 * MOST_CONNECTIONS) as many,
    ):
        await eventually(lambda: held(many) == MOST_CONNECTIONS - len(others))
        assert held(others) == len(others)


async def test_what_waits_for_its_pace_is_answered_before_it_gives_way() -> None:
    """Whoever opens many connections ends no probe that waits."""
    app, port, waiting = web.Application(), free_port(), 0

    async def alive_in_an_hour(request: web.Request) -> web.Response:
        nonlocal waiting
        assert isinstance(request.protocol, OperationsConnection)
        waiting += 1
        await request.protocol.pause(3600.0)
        return web.Response(text="alive")

    app.router.add_get("/healthz", alive_in_an_hour)

    def waits(count: int) -> bool:
        return waiting == count

    async def asks() -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: facade\r\n\r\n")
            return await reader.read()
        finally:
            writer.close()

    async with serve_operations(app, ListenAddress("127.0.0.1", port)):
        probes = list[asyncio.Task[bytes]]()
        for count in range(1, MOST_CONNECTIONS + 3):
            probes.append(asyncio.create_task(asks()))
            await eventually(partial(waits, count))
        assert [(await each)[-5:] for each in probes[:2]] == [b"alive"] * 2
        assert not any(each.done() for each in probes[2:])
        await end_tasks(*probes[2:])


async def test_an_address_in_use_is_an_error(port: int) -> None:
    """Its setting is named by whoever starts it."""
    with pytest.raises(StartError, match="FACADE_OPERATIONS_LISTEN"):
        async with serve_operations(web.Application(), ListenAddress("127.0.0.1", port)):
            pass
