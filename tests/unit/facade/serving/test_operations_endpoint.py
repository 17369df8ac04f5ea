"""Who may have how many connections to the operations address."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial

import aiohttp
import pytest
from aiohttp import web
from attrs import define, field

from deploy.dev.processes import free_port
from facade.errors import StartError
from facade.serving.operations_connections import (
    HURRIED_AT_ONCE,
    HURRIED_PER_SECOND,
    MOST_CONNECTIONS,
    OperationsConnection,
)
from facade.serving.operations_endpoint import serve_operations
from shared.accept_loop import FULL_PAUSE_SECONDS
from shared.setting_types import ListenAddress
from shared.stopping import end_tasks
from tests.support.clock import Clock
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


@define
class Waiting:
    """A server whose every answer waits for an hour, and clients of it."""

    clock: Clock
    port: int = field(factory=free_port)
    asked: int = 0

    async def answer(self, request: web.Request) -> web.Response:
        """Answer in an hour, or when it gives way."""
        assert isinstance(request.protocol, OperationsConnection)
        self.asked += 1
        await request.protocol.pause(3600.0)
        return web.Response(text="alive")

    async def ask(self) -> bytes:
        """Ask on a new connection; return what comes until its end."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: facade\r\n\r\n")
            return await reader.read()
        finally:
            writer.close()

    def has_been_asked(self, times: int) -> bool:
        """Tell whether that many questions were read."""
        return self.asked == times

    async def asked_one_by_one(self, times: int) -> list[asyncio.Task[bytes]]:
        """Ask so often more, each time once the one before was read."""
        asking = list[asyncio.Task[bytes]]()
        for count in range(self.asked + 1, self.asked + times + 1):
            asking.append(asyncio.create_task(self.ask()))
            await eventually(partial(self.has_been_asked, count))
        return asking


@pytest.fixture
async def waiting() -> AsyncIterator[Waiting]:
    """Serve it, with a clock that stands still."""
    made, app = Waiting(Clock()), web.Application()
    app.router.add_get("/healthz", made.answer)
    async with serve_operations(app, ListenAddress("127.0.0.1", made.port), made.clock):
        yield made


async def test_what_waits_for_its_pace_is_answered_before_it_gives_way(waiting: Waiting) -> None:
    """Whoever opens many connections ends no probe that waits."""
    probes = await waiting.asked_one_by_one(MOST_CONNECTIONS + 2)
    assert [(await each)[-5:] for each in probes[:2]] == [b"alive"] * 2
    assert not any(each.done() for each in probes[2:])
    await end_tasks(*probes[2:])


async def test_newcomers_hurry_answers_at_a_pace(waiting: Waiting) -> None:
    """Beyond it they wait in the kernel's queue, however many there are; then they have their turn.

    Each answer would else be given at once to whoever comes in more loops than there are places.
    """
    probes = await waiting.asked_one_by_one(MOST_CONNECTIONS + HURRIED_AT_ONCE)
    newcomers = [asyncio.create_task(waiting.ask()) for _ in range(10)]
    await asyncio.gather(*probes[:HURRIED_AT_ONCE])
    await asyncio.sleep(2 * FULL_PAUSE_SECONDS)  # it has looked for a place again
    assert waiting.has_been_asked(MOST_CONNECTIONS + HURRIED_AT_ONCE)
    waiting.clock.now += len(newcomers) / HURRIED_PER_SECOND
    await eventually(
        partial(waiting.has_been_asked, MOST_CONNECTIONS + HURRIED_AT_ONCE + len(newcomers))
    )
    await end_tasks(*probes, *newcomers)


async def test_an_address_in_use_is_an_error(port: int) -> None:
    """Its setting is named by whoever starts it."""
    with pytest.raises(StartError, match="FACADE_OPERATIONS_LISTEN"):
        async with serve_operations(web.Application(), ListenAddress("127.0.0.1", port)):
            pass
