"""One arrival, filled in any order, by whatever mixture of readers, processes and registries."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from facade.arrivals.arrival import ArrivalEndedError
from facade.content.source import PullInProgress
from facade.registries.payer import FREE
from facade.store.ingest_file import OwnedIngest
from facade.values.byte_range import ByteRanges, Span
from facade.values.piece import PIECE_BYTES
from facade.values.pull_path import Pull
from shared.oci import RepositoryName
from tests.faults.mixtures import (
    BLOB,
    LENGTH,
    MIXTURES,
    REPOSITORY,
    WORKERS,
    Asked,
    bought,
    pulled,
    right,
    serve,
    serve_wrong,
)
from tests.faults.stored_world import Unverified, World
from tests.support.eventually import eventually
from tests.support.simulators.behaviour import (
    Answers,
    Behaviour,
    BreaksAt,
    BreaksEvery,
    Holds,
    Honest,
    InTurn,
    Ranged,
    Slow,
)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """Two facades' stores on one folder, before a registry that has the blob."""
    world = await World.start(tmp_path, 64 * PIECE_BYTES, "g")
    yield world
    await world.stop()


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("mixture", MIXTURES)
async def test_each_gets_its_bytes(world: World, mixture: str, processes: int) -> None:
    """In whatever order they come; and what is stored then is right."""
    serve(world, Slow(PIECE_BYTES // 4, 0.002))
    asked = MIXTURES[mixture]
    assert await pulled(world, asked, processes) == right(asked)
    assert await pulled(world, [None]) == [BLOB.content]
    await eventually(lambda: world.is_stored(BLOB))


@pytest.mark.parametrize("processes", [1, 2])
async def test_workers_buy_each_byte_once(world: World, processes: int) -> None:
    """Ranges that fit together are asked for; what brings the rest ends where others begin."""
    serve(world, Slow(PIECE_BYTES // 4, 0.002))
    asked: list[Asked] = [*WORKERS, *WORKERS, (20 * PIECE_BYTES, LENGTH)]
    assert None not in await pulled(world, asked, processes)
    assert await pulled(world, [None]) == [BLOB.content]
    await world.settled()
    simulator = world.hosts["g"].simulator
    await eventually(lambda: simulator.answered == len(simulator.requests))
    if processes == 1:
        assert bought(world) <= 1.02 * LENGTH
    assert simulator.written_bytes <= 1.02 * LENGTH + PIECE_BYTES


async def test_parts_that_are_expected_are_fetched_together(world: World) -> None:
    """Else many small ones, of one request, would take a round trip each."""
    holds = Holds(0)
    serve(world, holds)
    host, process = world.hosts["g"], world.processes[0]
    spans = [Span(place * 5 * PIECE_BYTES, 100, LENGTH) for place in range(4)]
    pull = Pull(host.simulator.host, RepositoryName.parse(REPOSITORY), BLOB.kind, BLOB.digest)
    first = ByteRanges(((0, 99),))
    asked = PullInProgress(pull, host.connection, process.upstreams, FREE, first)
    async with process.content.blob(asked) as blob:
        blob.expect(spans)
        await eventually(lambda: len(host.simulator.pulls) == len(spans))  # and no byte has come
        holds.gate.set()
        for span in reversed(spans):
            pieces = [bytes(each) async for each in (await blob.part(span)).pieces]
            assert b"".join(pieces) == BLOB.content[span.first : span.end]
    await world.settled()
    assert bought(world) <= len(spans) * PIECE_BYTES


async def test_two_bytes_do_not_buy_the_blob(world: World) -> None:
    """Nor does a range: what has come of it stays, and is not bought again."""
    serve(world, Honest())
    assert await pulled(world, [(0, 2)]) == [BLOB.content[:2]]
    far = (10 * PIECE_BYTES, 11 * PIECE_BYTES)
    assert await pulled(world, [far]) == [BLOB.content[slice(*far)]]
    await world.settled()
    assert bought(world) <= 3 * PIECE_BYTES
    spent = bought(world)
    assert await pulled(world, [far]) == [BLOB.content[slice(*far)]]
    assert bought(world) - spent <= 32 * 1024  # an answer that says that it may be read
    before = len(world.hosts["g"].simulator.pulls)
    assert await pulled(world, [None]) == [BLOB.content]
    assert bought(world) <= 1.02 * LENGTH
    assert len(world.hosts["g"].simulator.pulls) > before


async def test_what_lies_anywhere_survives_a_crash(world: World) -> None:
    """It is found again, and only gaps are bought."""
    serve(world, Honest())
    spans: list[Asked] = [(0, 2 * PIECE_BYTES), (9 * PIECE_BYTES, 14 * PIECE_BYTES)]
    assert None not in await pulled(world, spans)
    await world.crash()
    world.hosts["g"].simulator.requests.clear()
    assert await pulled(world, [None]) == [BLOB.content]
    assert bought(world) <= LENGTH - 7 * PIECE_BYTES + 4 * 32 * 1024


@pytest.mark.parametrize("at_first", [0, 1, 2])
@pytest.mark.parametrize("mixture", MIXTURES)
async def test_a_registry_that_gives_more_of_a_range_than_was_asked_for_gives_the_whole(
    world: World, mixture: str, at_first: int
) -> None:
    """It is one that cannot do ranges, and not one that has other bytes."""
    serve(world, InTurn((*[Ranged()] * at_first, Ranged(ignores_ends=True))))
    asked = MIXTURES[mixture]
    one_by_one = [await pulled(world, [each]) for each in asked[:2]]
    assert [each for (each,) in one_by_one] == right(asked[:2])
    assert await pulled(world, asked) == right(asked)


@pytest.mark.parametrize("mixture", MIXTURES)
@pytest.mark.parametrize(
    "get",
    [
        BreaksAt(7 * PIECE_BYTES + 5, times=2),
        BreaksAt(7 * PIECE_BYTES + 5, ranges="ignored"),
        BreaksAt(3 * PIECE_BYTES, ranges="other_total"),
        BreaksEvery(6 * PIECE_BYTES + 1),
        Ranged(refuses="all"),
        Ranged(refuses="all", refusal_names_total=False),
        Ranged(refuses="open"),
        Ranged(described="multipart"),
        Ranged(described="nothing"),
        Ranged(at_most=PIECE_BYTES),
        Ranged(names_total=False),
        Ranged(breaks_at=12 * PIECE_BYTES, times=3),
        InTurn((Ranged(), Ranged(refuses="all"), Ranged())),
        InTurn((Ranged(), Answers(503), Answers(404), Ranged())),
    ],
    ids=str,
)
async def test_whatever_a_registry_makes_of_ranges_nothing_is_mixed(
    world: World, mixture: str, get: Behaviour
) -> None:
    """A clean end has the right bytes; and a later honest answer is got."""
    serve(world, get)
    asked = MIXTURES[mixture]
    if get == BreaksAt(3 * PIECE_BYTES, ranges="other_total") and asked[0] == (LENGTH - 99, LENGTH):
        # The last bytes that it tells of never come: that takes a minute where they are first.
        asked = [None, *asked]
    async with asyncio.timeout(60):
        bodies = await begun_by_the_first(world, asked)
    for span, body in zip(asked, bodies, strict=True):
        assert body in (None, BLOB.content[slice(*span) if span else slice(None)])
    serve(world, Honest())
    await world.settled()
    await world.restart()
    assert await pulled(world, [None]) == [BLOB.content]


async def begun_by_the_first(world: World, asked: list[Asked]) -> list[bytes | None]:
    """Pull all of these at once, once the registry has been asked on behalf of the first."""
    first = asyncio.create_task(pulled(world, asked[:1]))
    await eventually(lambda: bool(world.hosts["g"].simulator.pulls))
    others = await pulled(world, asked[1:])
    return [*await first, *others]


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("mixture", MIXTURES)
@pytest.mark.parametrize("place", [0, 7 * PIECE_BYTES + 1, 16 * PIECE_BYTES, LENGTH - 1])
async def test_a_wrong_byte_anywhere_ends_no_whole_answer(
    world: World, mixture: str, place: int, processes: int
) -> None:
    """No piece of it stays, and one honest retry is right."""
    serve_wrong(world, place, Slow(PIECE_BYTES, 0.002))
    bodies = await pulled(world, [*MIXTURES[mixture], None], processes)
    assert bodies[-1] is None
    for span, body in zip(MIXTURES[mixture], bodies, strict=False):
        is_marked = span is not None and isinstance(body, Unverified)
        assert body is None or is_marked, "a clean end that was not marked"
    await world.settled()
    assert not world.is_stored(BLOB)
    serve(world, Honest())
    await world.restart()  # what came wrong is not asked for again at once
    asked = [*MIXTURES[mixture], None]
    assert await pulled(world, asked) == right(asked)


async def test_a_running_range_of_a_blob_that_turns_out_wrong_is_cut(world: World) -> None:
    """Although all its bytes have come."""
    host, process = world.hosts["g"], world.processes[0]
    holds = Holds(LENGTH - 1)
    serve_wrong(world, LENGTH - 1, holds)
    whole = asyncio.create_task(process.pull(host, REPOSITORY, BLOB, None))
    partial = world.partial(host, BLOB, REPOSITORY)
    await eventually(lambda: partial.exists() and partial.stat().st_size > 19 * PIECE_BYTES)
    pull = Pull(host.simulator.host, RepositoryName.parse(REPOSITORY), BLOB.kind, BLOB.digest)
    asked = PullInProgress(pull, host.connection, process.upstreams, FREE)
    async with process.content.blob(asked) as blob:
        part = await blob.part(Span(0, 8 * PIECE_BYTES, LENGTH))
        assert not part.is_verified
        assert bytes(await anext(part.pieces))
        holds.gate.set()
        assert await whole is None
        with pytest.raises(ArrivalEndedError):
            async for _ in part.pieces:
                pass


async def test_old_partials_are_gone_on_with(world: World) -> None:
    """Those of the version before have their beginning, and perhaps less than a piece more."""
    serve(world, Honest())
    path = world.partial(world.hosts["g"], BLOB, REPOSITORY)
    ingest = OwnedIngest.acquire(path.parent)
    assert ingest is not None
    ingest.announce(LENGTH, RepositoryName.parse(REPOSITORY))
    ingest.append([BLOB.content[: 5 * PIECE_BYTES + 100]])
    ingest.release()
    assert await pulled(world, [None]) == [BLOB.content]
    assert bought(world) == LENGTH - 5 * PIECE_BYTES


async def test_other_bytes_than_those_that_came_first(world: World) -> None:
    """A registry without ranges that sends another beginning the second time."""
    serve(world, BreaksAt(9 * PIECE_BYTES, ranges="other_beginning"))
    assert await pulled(world, [None]) == [None]
