"""Who is the only one that brings a blob when its registry answers may not have been all the while.

Whoever has begun and ended since has brought it: then nobody brings it again.
"""

import asyncio
import contextlib
from typing import Final

import pytest

from facade.registries.spender import spending
from facade.rights.right import FlightKey
from facade.store.bringing import BringingShare
from facade.values.piece import PIECE_BYTES
from tests.faults.mixtures import BLOB, LENGTH, Account
from tests.faults.stored_world import World
from tests.support.eventually import eventually
from tests.support.simulators.behaviour import Holds, Honest

SLOW, QUICK = "team/slow", "team/quick"
IN_FLIGHT_BYTES: Final = 4 * PIECE_BYTES  # that had come when somebody looked


@pytest.mark.parametrize("process", [0, 1])
async def test_what_another_repository_has_brought_meanwhile_is_not_brought_again(
    world: World, process: int
) -> None:
    """It began when one was asking its registry, and was stored when that one answered."""
    host, holds, account = world.hosts["g"], Holds(holds_head=True), Account()
    host.serve(BLOB, SLOW, holds, None)
    host.serve(BLOB, QUICK, Honest(), None)
    with spending(account):
        slow = asyncio.create_task(world.processes[0].pull(host, SLOW, BLOB, None))
    await eventually(lambda: bool(host.simulator.pulls))
    assert await world.processes[process].pull(host, QUICK, BLOB, None) == BLOB.content
    await eventually(lambda: world.is_stored(BLOB))
    holds.gate.set()
    assert await slow == BLOB.content
    assert account.spent <= IN_FLIGHT_BYTES < LENGTH


async def test_what_was_stored_while_one_waited_for_another_is_not_brought_again(
    world: World,
) -> None:
    """It was not there when it was looked for, and by the time the other one was done it was."""
    host, account, process = world.hosts["g"], Account(), world.processes[0]
    for repository in (SLOW, QUICK):
        host.serve(BLOB, repository, Honest(), None)
    assert await process.pull(host, QUICK, BLOB, None) == BLOB.content
    await eventually(lambda: world.is_stored(BLOB))
    await world.settled()
    stored = world.layout.blob(BLOB.digest)
    aside = stored.rename(world.scratch / "aside")
    key = FlightKey(host.connection.access_key, BLOB.kind, BLOB.digest)
    share = BringingShare.take(world.layout.beginnings, key.name)
    await eventually(share.goes_first)  # once who has brought it has let go of it
    with spending(account):
        pull = asyncio.create_task(process.pull(host, SLOW, BLOB, None))
    await eventually(lambda: len(host.simulator.pulls) > 1)
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(asyncio.shield(pull), 0.5)
    aside.rename(stored)
    share.let_go()
    assert await pull == BLOB.content
    assert account.spent <= IN_FLIGHT_BYTES < LENGTH


async def test_who_had_brought_it_before_it_was_evicted_reads_what_others_have_brought(
    world: World,
) -> None:
    """The right to it is no reason to bring it again."""
    host, holds, account = world.hosts["g"], Holds(holds_head=True), Account()
    for repository in (SLOW, QUICK):
        host.serve(BLOB, repository, Honest(), None)
        assert await world.processes[0].pull(host, repository, BLOB, None) == BLOB.content
        await eventually(lambda: world.is_stored(BLOB))
        await world.settled()
    world.layout.blob(BLOB.digest).unlink()
    host.serve(BLOB, SLOW, holds, None)
    asked = len(host.simulator.pulls)
    with spending(account):
        slow = asyncio.create_task(world.processes[0].pull(host, SLOW, BLOB, None))
    await eventually(lambda: len(host.simulator.pulls) > asked)
    assert await world.processes[1].pull(host, QUICK, BLOB, None) == BLOB.content
    await eventually(lambda: world.is_stored(BLOB))
    holds.gate.set()
    assert await slow == BLOB.content
    assert account.spent <= IN_FLIGHT_BYTES < LENGTH
