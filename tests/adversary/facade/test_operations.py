"""Somebody who reaches the operations address, while a device asks for a warm manifest."""

import asyncio
import contextlib
import time
from typing import Final

import aiohttp
import pytest

from shared.outside_bytes import Party
from tests.adversary.bounds import Allowed
from tests.adversary.facade.attacked import AttackedFacade
from tests.adversary.guards import bounds, check
from tests.bench.process_cost import open_sockets
from tests.support.held_sockets import held_sockets

pytestmark = pytest.mark.attack

HALF_REQUESTS: Final = 900
MOST_SOCKETS: Final = 200  # the operations address's 64, and all else of the facade
LOOPS: Final = 64  # as many as there may be connections
MORE_LOOPS: Final = 100  # each newcomer finds no place, and the oldest is answered early
HURRIED_AT_ONCE, HURRIED_PER_SECOND = 16, 200
AT_ONCE, PER_SECOND, PAUSE_SECONDS = 1000, 200, 0.5  # how they are answered
# The victim's own answers; scrapes, a quarter of a core; and the answers that carry them. The first
# thousand come as fast as they are asked for, 64 in a turn of the loop.
ASKED: Final = Allowed(cores=0.7, worked_p99_seconds=0.1)


@bounds("facade.serving.operations_connections.MOST_CONNECTIONS")
async def test_half_requests_at_the_operations_address(attacked: AttackedFacade) -> None:
    """As many as there were descriptors, and then no device was let in. Probes are answered."""
    facade, most = attacked.facade, 0
    async with attacked.watched("half requests at operations", Party.STRANGER) as attack:
        while attack.goes_on:
            async with held_sockets(facade.operations_port, HALF_REQUESTS):
                assert facade.is_ready()
                most = max(most, open_sockets([facade.child.pid]))
    assert most < MOST_SOCKETS


SCRAPED: Final = (
    check(
        "facade/serving/operations_pace.py",
        "        await self._pause(max(0.0, self._rests_until - self._clock()))\n",
        "",
    ),
)


@bounds(
    "facade.serving.operations_pace.ANSWERED_PER_SECOND",
    "facade.serving.operations_pace.ANSWERED_AT_ONCE",
)
@pytest.mark.parametrize(
    "path", ["/healthz", "/readyz", pytest.param("/metrics", marks=SCRAPED, id="/metrics")]
)
async def test_whoever_asks_operations_in_loops(attacked: AttackedFacade, path: str) -> None:
    """Each answer takes time from devices; nobody is refused, because a probe may be among them."""
    url, answers, began = f"http://127.0.0.1:{attacked.facade.operations_port}{path}", 0, 0.0
    connector = aiohttp.TCPConnector(limit=LOOPS)

    async def ask_for_ever() -> None:
        nonlocal answers
        while attack.goes_on:
            async with session.get(url) as answer:
                assert answer.status == 200
                await answer.read()
            answers += 1

    async with (
        aiohttp.ClientSession(connector=connector) as session,
        attacked.watched(f"{path} in 64 loops", Party.STRANGER, ASKED) as attack,
    ):
        began = time.monotonic()
        await asyncio.gather(*(ask_for_ever() for _ in range(LOOPS)))
        seconds = time.monotonic() - began
    assert answers <= AT_ONCE + (PER_SECOND + LOOPS / PAUSE_SECONDS) * seconds + LOOPS


@check(
    "facade/serving/operations_connections.py",
    "        return self._hurried.wait_for(1) == 0\n",
    "        return True\n",
)
@bounds(
    "facade.serving.operations_connections.HURRIED_AT_ONCE",
    "facade.serving.operations_connections.HURRIED_PER_SECOND",
)
async def test_more_loops_than_there_are_connections(attacked: AttackedFacade) -> None:
    """Each on a new connection, for which another one is answered early: at a pace, too."""
    url, answers = f"http://127.0.0.1:{attacked.facade.operations_port}/healthz", 0

    async def ask_for_ever() -> None:
        nonlocal answers
        while attack.goes_on:
            with contextlib.suppress(aiohttp.ClientError):  # it gave way before it had asked
                async with session.get(url) as answer:
                    await answer.read()
                answers += 1

    connector = aiohttp.TCPConnector(limit=MORE_LOOPS, force_close=True)
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        attacked.watched("/healthz in 100 loops", Party.STRANGER, ASKED) as attack,
    ):
        began = time.monotonic()
        await asyncio.gather(*(ask_for_ever() for _ in range(MORE_LOOPS)))
        seconds = time.monotonic() - began
    at_once = AT_ONCE + HURRIED_AT_ONCE + MORE_LOOPS
    assert answers <= at_once + (PER_SECOND + LOOPS / PAUSE_SECONDS + HURRIED_PER_SECOND) * seconds
