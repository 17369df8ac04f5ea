"""Ranges of a blob of which nobody knows yet how long it is: each takes one round trip."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest

from facade.arrivals.arrival import ArrivalEndedError
from facade.arrivals.early_readers import MAX_EARLY
from facade.content.source import PullInProgress
from facade.registries.payer import FREE
from facade.values.byte_range import ByteRanges, Span
from facade.values.piece import PIECE_BYTES, WrongBytesError
from facade.values.pull_path import Pull
from shared.oci import Kind, RepositoryName
from shared.upstream.errors import UpstreamError
from tests.faults.mixtures import BLOB, LENGTH, REPOSITORY, Asked, bought, pulled, right, serve
from tests.faults.stored_world import Content, World
from tests.support.eventually import eventually
from tests.support.simulators.behaviour import (
    Answers,
    Behaviour,
    BreaksAt,
    Holds,
    Honest,
    InTurn,
    Ranged,
    Stalls,
)

FAR: Final[list[Asked]] = [
    (place * 4 * PIECE_BYTES + 5, place * 4 * PIECE_BYTES + PIECE_BYTES // 4) for place in range(5)
]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """A machine before a registry that has just given a range of another blob."""
    world = await World.start(tmp_path, 64 * PIECE_BYTES, "g")
    await show(world)
    yield world
    await world.stop()


async def show(world: World, get: Behaviour | None = None) -> None:
    """Let the registry answer a range of another blob, and forget that it was asked."""
    host, shown = world.hosts["g"], Content("shown", Kind.BLOB, repr(get).encode() * PIECE_BYTES)
    host.serve(shown, REPOSITORY, get or Honest(), None)
    assert await world.processes[0].pull(host, REPOSITORY, shown, (0, 2)) == shown.content[:2]
    await world.settled()
    host.simulator.requests.clear()


def asked_for(world: World) -> int:
    """Return how many requests for the blob the registry has been sent."""
    pulls = world.hosts["g"].simulator.pulls
    return sum(each.path.endswith(str(BLOB.digest)) for each in pulls)


async def let_them_join(world: World) -> None:
    """Return when all who began before wait for the registry: who begins later has been answered.

    One thread looks for the rights of all of them, in turn.
    """
    host, later = world.hosts["g"], Content("later", Kind.BLOB, b"later" * PIECE_BYTES)
    host.serve(later, REPOSITORY, Honest(), None)
    assert await world.processes[0].pull(host, REPOSITORY, later, None) == later.content


async def test_each_range_is_asked_for_before_the_first_answer(world: World) -> None:
    """None waits for the answer to another; and nothing is asked for twice."""
    holds = Holds(holds_head=True)
    serve(world, holds)
    pulls = asyncio.create_task(pulled(world, FAR))
    await eventually(lambda: asked_for(world) == len(FAR))
    holds.gate.set()
    assert await pulls == right(FAR)
    await world.settled()
    assert asked_for(world) == len(FAR)
    assert bought(world) <= (len(FAR) - 1) * (PIECE_BYTES // 4 + 32 * 1024) + PIECE_BYTES
    assert await pulled(world, [None]) == [BLOB.content]
    assert bought(world) <= 1.02 * LENGTH


@pytest.mark.parametrize("ranges", ["refused", "ignored"])
async def test_a_registry_that_gives_no_ranges_is_asked_once(world: World, ranges: str) -> None:
    """Each answer would be the whole."""
    ignores, refuses = BreaksAt(0, times=0, ranges="ignored"), Ranged(refuses="all")
    await show(world, ignores if ranges == "ignored" else refuses)
    holds = Holds(holds_head=True)
    serve(world, holds)
    pulls = asyncio.create_task(pulled(world, FAR))
    await eventually(lambda: asked_for(world) == 1)
    await let_them_join(world)
    assert asked_for(world) == 1
    holds.gate.set()
    assert await pulls == right(FAR)


async def test_no_more_are_asked_for_than_come_at_once(world: World) -> None:
    """The others wait for the first answer."""
    holds = Holds(holds_head=True)
    serve(world, holds)
    most = MAX_EARLY + 1
    spans: list[Asked] = [
        (begin, begin + 9) for begin in range(0, (most + 3) * PIECE_BYTES, PIECE_BYTES)
    ]
    pulls = asyncio.create_task(pulled(world, spans))
    await eventually(lambda: asked_for(world) == most)
    holds.gate.set()
    assert await pulls == right(spans)


async def test_what_others_ask_for_is_not_asked_for_again(world: World) -> None:
    """Neither what the first answer brings, nor another range that is asked for."""
    holds = Holds(holds_head=True)
    serve(world, holds)
    pulls = list[asyncio.Task[list[bytes | None]]]()
    apart: list[Asked] = [
        (0, 2 * PIECE_BYTES),
        (9 * PIECE_BYTES, 11 * PIECE_BYTES),
        (8 * PIECE_BYTES, 10 * PIECE_BYTES),
    ]
    for number, span in enumerate(apart, start=1):
        pulls.append(asyncio.create_task(pulled(world, [span])))
        await eventually(lambda: asked_for(world) == number)  # noqa: B023 - awaited here
    within: list[Asked] = [
        (PIECE_BYTES, 3 * PIECE_BYTES),
        (9 * PIECE_BYTES + 7, 9 * PIECE_BYTES + 8),
    ]
    pulls.append(asyncio.create_task(pulled(world, within)))
    await let_them_join(world)
    assert asked_for(world) == len(apart)
    holds.gate.set()
    bodies = [body for each in pulls for body in await each]
    assert bodies == right([*apart, *within])
    await world.settled()
    assert bought(world) <= 6 * PIECE_BYTES + 32 * 1024


async def test_who_leaves_asks_for_no_more(world: World) -> None:
    """Its range is let go of, and the others get theirs."""
    holds = Holds(holds_head=True)
    serve(world, holds)
    first = asyncio.create_task(pulled(world, FAR[:1]))
    await eventually(lambda: asked_for(world) == 1)
    leaves = asyncio.create_task(pulled(world, FAR[1:2]))
    await eventually(lambda: asked_for(world) == 2)
    leaves.cancel()
    await asyncio.gather(leaves, return_exceptions=True)
    others = asyncio.create_task(pulled(world, FAR[1:3]))  # the same range again
    await eventually(lambda: asked_for(world) == 4)
    holds.gate.set()
    assert await first == right(FAR[:1])
    assert await others == right(FAR[1:3])


async def test_a_blob_that_is_shorter_than_they_ask_for(world: World) -> None:
    """Who asks behind its end is told so by its length."""
    holds = Holds(holds_head=True)
    serve(world, holds)
    behind = (LENGTH + 5 * PIECE_BYTES, LENGTH + 6 * PIECE_BYTES)
    pulls = asyncio.create_task(pulled(world, [FAR[0], FAR[1], behind]))
    await eventually(lambda: asked_for(world) == 3)
    holds.gate.set()
    [near, far, _] = await pulls
    assert [near, far] == right(FAR[:2])


async def test_what_lies_behind_the_end_is_let_go_of_at_once(world: World) -> None:
    """Also an answer that a registry should not have given, and while the rest still comes."""
    first, rest = Holds(holds_head=True), Holds()
    serve(world, InTurn((first, Stalls(after=1), rest)))
    simulator = world.hosts["g"].simulator
    behind = (LENGTH + 5 * PIECE_BYTES, LENGTH + 6 * PIECE_BYTES)
    begins = asyncio.create_task(pulled(world, FAR[:1]))
    await eventually(lambda: asked_for(world) == 1)  # its answer is the first one's
    other = asyncio.create_task(pulled(world, [behind]))
    await eventually(lambda: asked_for(world) == 2)
    first.gate.set()
    try:
        await eventually(lambda: asked_for(world) == 3 and simulator.open_connections == 1)
    finally:
        rest.gate.set()
        near = await begins
        await other
    assert near == right(FAR[:1])


async def test_once_a_blob_of_unknown_length_arrives_no_range_is_asked_for(tmp_path: Path) -> None:
    """Nobody could use it: the blob comes from its beginning on."""
    world = await World.start(tmp_path, 1024 * PIECE_BYTES, "g")
    holds, host = Holds(2 * PIECE_BYTES, names_length=False), world.hosts["g"]
    serve(world, holds)
    pulls = [asyncio.create_task(pulled(world, FAR[:1]))]
    arrives = world.partial(host, BLOB, REPOSITORY)
    await eventually(lambda: arrives.exists() and arrives.stat().st_size >= PIECE_BYTES)
    shown = Content("shown", Kind.BLOB, b"shown" * PIECE_BYTES)
    host.serve(shown, REPOSITORY, Honest(), None)
    assert await world.processes[0].pull(host, REPOSITORY, shown, (0, 2)) == shown.content[:2]
    before = asked_for(world)
    pulls.append(asyncio.create_task(pulled(world, FAR[1:])))
    await let_them_join(world)
    after = asked_for(world)
    holds.gate.set()
    assert [body for each in pulls for body in await each] == right(FAR)
    await world.stop()
    assert after == before


@pytest.mark.parametrize("status", [404, 503])
async def test_all_are_told_what_is_wrong(world: World, status: int) -> None:
    """A failure is everybody's, and an honest registry is asked again later."""
    serve(world, Answers(status))
    assert await pulled(world, FAR) == [None] * len(FAR)
    await world.settled()
    serve(world, Honest())
    await world.restart()
    assert await pulled(world, FAR) == right(FAR)


@pytest.mark.parametrize(
    "others",
    [
        Answers(503),
        Answers(404),
        Ranged(total_off=1),
        Ranged(refuses="all"),
        Ranged(described="nothing"),
        Ranged(at_most=PIECE_BYTES // 8),
        BreaksAt(9 * PIECE_BYTES, ranges="ignored"),
        BreaksAt(9 * PIECE_BYTES, ranges="wrong"),
    ],
    ids=str,
)
@pytest.mark.parametrize("first", [Honest(), None], ids=["first is honest", "first is like them"])
async def test_answers_that_do_not_fit_are_not_mixed(
    world: World, first: Behaviour | None, others: Behaviour
) -> None:
    """Whatever becomes of those that were asked for early, what ends cleanly is right."""
    turns = (first, others, others, Honest()) if first else (others, others, Honest())
    serve(world, InTurn(turns))
    async with asyncio.timeout(60):
        bodies = await pulled(world, FAR)
    for span, body in zip(FAR, bodies, strict=True):
        assert body in (None, BLOB.content[slice(*span)] if span else None)
    serve(world, Honest())
    await world.settled()
    await world.restart()
    assert await pulled(world, [None]) == [BLOB.content]


async def last_bytes(world: World, count: int, of: Content = BLOB) -> bytes | None:
    """Pull so many of the last bytes, as a footer is read; None if that failed."""
    host, process = world.hosts["g"], world.processes[0]
    pull = Pull(host.simulator.host, RepositoryName.parse(REPOSITORY), of.kind, of.digest)
    asked = PullInProgress(
        pull, host.connection, process.upstreams, FREE, ByteRanges(((None, count),))
    )
    try:
        async with process.content.blob(asked) as blob:
            length = blob.length or 0
            part = await blob.part(Span(length - count, count, length))
            return b"".join([bytes(each) async for each in part.pieces])
    except (ArrivalEndedError, UpstreamError, WrongBytesError):
        return None


@pytest.mark.parametrize("count", [1, 4711, 32 * 1024, PIECE_BYTES + 1, LENGTH])
async def test_last_bytes_take_one_answer(world: World, count: int) -> None:
    """It says how long the blob is, too. The rest is bought once."""
    serve(world, Honest())
    assert await last_bytes(world, count) == BLOB.content[-count:]
    await world.settled()
    [request] = world.hosts["g"].simulator.pulls
    assert request.header("Range") == f"bytes=-{max(count, PIECE_BYTES) + 32 * 1024 - 1}"
    world.hosts["g"].simulator.requests.clear()
    assert await pulled(world, [None]) == [BLOB.content]
    assert bought(world) <= max(0, LENGTH - count) + 32 * 1024


@pytest.mark.parametrize(
    "get",
    [
        Ranged(refuses="suffix"),
        Ranged(refuses="suffix", refusal_names_total=False),
        Ranged(refuses="all"),
        Ranged(names_total=False),
        Ranged(total_off=1),
        Ranged(at_most=PIECE_BYTES // 8),
        Ranged(described="nothing"),
        Ranged(described="multipart"),
        BreaksAt(0, times=0, ranges="honoured"),
        BreaksAt(0, times=0, ranges="ignored"),
        BreaksAt(LENGTH - 99),
        InTurn((Answers(503), Honest())),
    ],
    ids=str,
)
async def test_whatever_a_registry_makes_of_last_bytes(world: World, get: Behaviour) -> None:
    """What ends cleanly is right; and who gives none is not asked for them again."""
    serve(world, get)
    async with asyncio.timeout(60):
        body = await last_bytes(world, 4711)
    assert body in (None, BLOB.content[-4711:])
    can_be_had = (Ranged(refuses="suffix"), BreaksAt(0, times=0, ranges="honoured"))
    if get in can_be_had:
        assert body is not None
        await world.settled()
        other = Content("other", Kind.BLOB, BLOB.content[::-1])
        world.hosts["g"].simulator.requests.clear()
        world.hosts["g"].serve(other, REPOSITORY, get, None)
        assert await last_bytes(world, 9, other) == other.content[-9:]
        asked = [each.header("Range") or "" for each in world.hosts["g"].simulator.pulls]
        assert not any(each.startswith("bytes=-") for each in asked)
    serve(world, Honest())
    await world.settled()
    await world.restart()
    assert await pulled(world, [None]) == [BLOB.content]
