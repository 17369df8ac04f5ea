"""Readers of a blob that nobody else brings have its first bytes before the store has room for it.

They belong to the registry's answer that brought them: no other bytes are ever joined to them, but
those that make the digest with them.
"""

import asyncio
import contextlib
from typing import Literal

import pytest

from facade.rights.right import FlightKey
from facade.store.announcement import ANNOUNCEMENT, Announcement
from facade.store.bringing import BringingShare
from facade.values.piece import PIECE_BYTES, WrongBytesError
from tests.faults.mixtures import BLOB, REPOSITORY, serve
from tests.faults.stored_world import World
from tests.support.eventually import eventually
from tests.support.simulators.behaviour import Honest, InTurn, Ranged
from tests.unit.facade.arrivals.before_room import nobody_makes_room, pieces

RESETS_IN_THE_BEGINNING = Ranged(breaks_at=PIECE_BYTES + 1)


async def test_the_first_bytes_do_not_wait_for_room(world: World) -> None:
    """A device waited until others had made room, for bytes that were there."""
    serve(world, Honest())
    given = pieces(world)
    with nobody_makes_room(world):
        first = await anext(given)
    assert first + b"".join([piece async for piece in given]) == BLOB.content
    await eventually(lambda: world.is_stored(BLOB))
    assert len(world.hosts["g"].simulator.pulls) == 1


@pytest.mark.parametrize("wrong", ["none", "first"])
async def test_what_was_given_is_hashed_if_there_is_no_room_after_all(
    world: World, wrong: Literal["none", "first"]
) -> None:
    """The rest comes from another answer of the registry."""
    serve(world, InTurn((Ranged(wrong=wrong), Honest())))
    given = pieces(world)
    with nobody_makes_room(world):
        body = await anext(given)
        (world.partial(world.hosts["g"], BLOB, REPOSITORY).parent / f"{ANNOUNCEMENT}.new").mkdir()
    if wrong == "none":
        assert body + b"".join([piece async for piece in given]) == BLOB.content
    else:
        with pytest.raises(WrongBytesError):
            await anext(each async for each in given if not each)
    await world.settled()
    assert not world.is_stored(BLOB)


async def test_an_answer_that_breaks_after_its_first_bytes_is_gone_on_from(world: World) -> None:
    """While it waits for room, too."""
    serve(world, RESETS_IN_THE_BEGINNING)
    given = pieces(world)
    with nobody_makes_room(world):
        first = await anext(given)
    assert first + b"".join([piece async for piece in given]) == BLOB.content


async def test_who_is_not_alone_waits_for_one_who_has_given_something(world: World) -> None:
    """Else both would bring it: that one is not announced yet, and whoever looks finds nothing."""
    host, process = world.hosts["g"], world.processes[0]
    serve(world, Honest())
    key = FlightKey(host.connection.access_key, BLOB.kind, BLOB.digest)
    share = BringingShare.take(world.layout.beginnings, key.name)
    assert share.goes_first()
    pull = asyncio.create_task(process.pull(host, REPOSITORY, BLOB, None))
    await eventually(lambda: bool(host.simulator.pulls))
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(asyncio.shield(pull), 0.5)
    assert Announcement.read(world.partial(host, BLOB, REPOSITORY).parent) is None
    share.has_gone()
    assert await pull == BLOB.content
    share.let_go()
    assert len(host.simulator.pulls) == 1
