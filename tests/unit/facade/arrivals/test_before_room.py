"""What happens between the first bytes that a device is given and the room for them.

Whoever leaves, stops, or dies then leaves nothing behind, and whoever comes reads the same.
"""

import asyncio
from typing import Literal

import pytest

from facade.arrivals.arrival import ArrivalEndedError
from facade.registries.spender import spending
from facade.store.announcement import ANNOUNCEMENT
from facade.values.piece import PIECE_BYTES, WrongBytesError
from shared.upstream.errors import UpstreamError
from tests.faults.mixtures import BLOB, LENGTH, REPOSITORY, Account, serve
from tests.faults.stored_files import partials
from tests.faults.stored_world import World
from tests.support.eventually import eventually
from tests.support.simulators.behaviour import (
    Behaviour,
    BreaksAt,
    Honest,
    InTurn,
    OtherBytes,
    Ranged,
)
from tests.unit.facade.arrivals.before_room import nobody_makes_room, pieces

OTHER = "team/other"
BREAKS = Ranged(breaks_at=PIECE_BYTES + 1)


async def test_who_leaves_then_leaves_nothing(world: World) -> None:
    """What was about to be written is, and then the arrival ends: it has no bytes of the quota."""
    serve(world, Honest())
    given = pieces(world)
    with nobody_makes_room(world):
        assert await anext(given)
        await given.aclose()
    await world.settled()
    assert not world.is_stored(BLOB)
    assert await world.processes[1].pull(world.hosts["g"], REPOSITORY, BLOB, None) == BLOB.content


async def test_a_drain_then_ends_the_answer_and_leaves_nothing(world: World) -> None:
    """The answer is not ended cleanly."""
    serve(world, Honest())
    given = pieces(world)
    with nobody_makes_room(world):
        assert await anext(given)
        await world.processes[0].flights.land()
        with pytest.raises(ArrivalEndedError):
            async for _ in given:
                pass
    assert not partials(world.folder)


@pytest.mark.parametrize("repository", [REPOSITORY, OTHER])
@pytest.mark.parametrize("process", [0, 1])
async def test_who_comes_then_reads_the_same(world: World, repository: str, process: int) -> None:
    """Through the same repository or another one, in this process or another one."""
    host, account = world.hosts["g"], Account()
    serve(world, Honest())
    host.serve(BLOB, OTHER, Honest(), None)
    with spending(account):
        given = pieces(world)
        with nobody_makes_room(world):
            body = await anext(given)
            asked = len(host.simulator.pulls)
            other = asyncio.create_task(world.processes[process].pull(host, repository, BLOB, None))
            if repository == OTHER:
                await eventually(lambda: len(host.simulator.pulls) > asked)
        assert body + b"".join([piece async for piece in given]) == BLOB.content
        assert await other == BLOB.content
    assert account.spent <= LENGTH + 4 * PIECE_BYTES


@pytest.mark.parametrize(
    "then",
    [
        InTurn((BREAKS, OtherBytes())),
        BreaksAt(PIECE_BYTES + 1, ranges="other_beginning"),
        BreaksAt(PIECE_BYTES + 1, ranges="other_length"),
        BreaksAt(PIECE_BYTES + 1, ranges="other_total"),
        BreaksAt(PIECE_BYTES + 1, ranges="wrong"),
        BreaksAt(PIECE_BYTES + 1, ranges="ignored"),
    ],
)
async def test_bytes_of_two_answers_end_cleanly_only_if_they_were_right(
    world: World, then: Behaviour
) -> None:
    """The first answer breaks behind its first bytes, and the next one is another."""
    serve(world, then)
    given, body = pieces(world), b""
    try:
        with nobody_makes_room(world):
            body = await anext(given)
        body += b"".join([piece async for piece in given])
    except (UpstreamError, WrongBytesError, ArrivalEndedError):
        assert not world.is_stored(BLOB)
    else:
        assert body == BLOB.content
    await world.settled()


async def test_who_dies_then_leaves_nothing_that_is_believed(world: World) -> None:
    """Whoever starts on what is left brings it."""
    serve(world, Honest())
    given = pieces(world)
    with nobody_makes_room(world):
        assert await anext(given)
        await world.crash()
    await given.aclose()
    assert await world.processes[0].pull(world.hosts["g"], REPOSITORY, BLOB, None) == BLOB.content


@pytest.mark.parametrize("wrong", ["none", "first"])
async def test_a_range_that_was_begun_then_is_hashed_if_there_is_no_room(
    world: World, wrong: Literal["none", "first"]
) -> None:
    """It joined whoever goes first, and its rest comes from another answer."""
    serve(world, InTurn((Ranged(wrong=wrong), Honest())))
    whole, part = pieces(world), pieces(world, 3 * PIECE_BYTES)
    with nobody_makes_room(world):
        assert await anext(whole)
        body = await anext(part)
        (world.partial(world.hosts["g"], BLOB, REPOSITORY).parent / f"{ANNOUNCEMENT}.new").mkdir()
    if wrong == "none":
        assert body + b"".join([piece async for piece in part]) == BLOB.content[: 3 * PIECE_BYTES]
    else:
        with pytest.raises(WrongBytesError):
            async for _ in part:
                pass
    await whole.aclose()
    await world.settled()
    assert not world.is_stored(BLOB)
