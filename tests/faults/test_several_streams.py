"""A blob that comes in several streams at once, from registries that are not up to that."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final, Literal

import pytest
from attrs import evolve

from facade.registries.spender import spending
from facade.values.piece import PIECE_BYTES
from shared.oci import Kind
from tests.faults.extent import extent
from tests.faults.mixtures import (
    BLOB,
    LENGTH,
    MIXTURES,
    REPOSITORY,
    WORKERS,
    Account,
    cut_answers,
    pulled,
    right,
    serve,
    serve_wrong,
)
from tests.faults.stored_files import come, require_right_files
from tests.faults.stored_world import EAGER, Content, Unverified, World
from tests.support.eventually import eventually
from tests.support.simulators.behaviour import (
    Answers,
    Behaviour,
    BreaksAt,
    FewerBytes,
    Holds,
    Honest,
    InTurn,
    OtherBytes,
    Ranged,
    Stalls,
)

SLOW = Ranged(piece_bytes=PIECE_BYTES // 8, pause_seconds=0.003)  # half a second for the blob
SECONDS: Final = 50.0  # for all of a blob: less than the minute that a silent registry has
# Which answer has a wrong byte, and where in it: only some of the spans are known beforehand.
Lie = tuple[int, Literal["first", "last"]]
LIES: list[Lie] = [(0, "last"), (1, "first"), (2, "last"), (3, "first"), (4, "last")]
OTHER = Content("other", Kind.BLOB, BLOB.content[::-1])


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """Two facades' stores on one folder, which widen as soon as they can."""
    world = await World.start(tmp_path, 64 * PIECE_BYTES, "g", growth=EAGER)
    yield world
    await world.stop()


@pytest.fixture
async def impatient(tmp_path: Path) -> AsyncIterator[World]:
    """The same, but what was refused is tried again at once."""
    growth = evolve(EAGER, rest_seconds=0)
    world = await World.start(tmp_path, 64 * PIECE_BYTES, "g", growth=growth)
    yield world
    await world.stop()


def gets(world: World, content: Content = BLOB) -> list[str | None]:
    """Return the ranges that the registry was asked for."""
    return [
        request.header("Range")
        for request in world.hosts["g"].simulator.pulls
        if request.method == "GET" and request.path.endswith(str(content.digest))
    ]


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("mixture", MIXTURES)
async def test_each_gets_its_bytes_and_each_is_bought_once(
    world: World, mixture: str, processes: int
) -> None:
    """But for what had come at once with a stream's last bytes, where it is cut.

    What nobody has read of that lies in kernels, more of it the slower the disk is.
    """
    serve(world, SLOW)
    asked, account = MIXTURES[mixture], Account()
    with spending(account):
        assert await pulled(world, asked, processes) == right(asked)
        assert await pulled(world, [None]) == [BLOB.content]
    await eventually(lambda: world.is_stored(BLOB))
    beside = cut_answers(world) * account.most_at_once
    assert LENGTH <= account.spent <= LENGTH + beside, gets(world)
    assert len(gets(world)) > 2


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("mixture", MIXTURES)
@pytest.mark.parametrize(
    "place", [0, 3 * PIECE_BYTES, 7 * PIECE_BYTES + 1, 16 * PIECE_BYTES, LENGTH - 1]
)
async def test_a_wrong_byte_in_any_segment_ends_no_whole_answer(
    world: World, mixture: str, place: int, processes: int
) -> None:
    """No piece of it stays, and one honest retry is right."""
    serve_wrong(world, place, SLOW)
    asked = [*MIXTURES[mixture], None]
    bodies = await pulled(world, asked, processes)
    assert bodies[-1] is None
    for span, body in zip(asked, bodies, strict=True):
        is_marked = span is not None and isinstance(body, Unverified)
        assert body is None or is_marked, "a clean end that was not marked"
    await world.settled()
    assert not world.is_stored(BLOB)
    assert not world.partial(world.hosts["g"], BLOB, REPOSITORY).exists()
    serve(world, SLOW)
    await world.restart()  # what came wrong is not asked for again at once
    assert await pulled(world, asked) == right(asked)


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("turn, wrong", extent(LIES[1:3], LIES))
@pytest.mark.parametrize("mixture", MIXTURES)
async def test_one_answer_among_several_with_a_wrong_byte_ends_no_whole_answer(
    world: World, mixture: str, turn: int, wrong: Literal["first", "last"], processes: int
) -> None:
    """All else of it fits the others. No piece of it stays, and one honest retry is right.

    Its last byte may never be read, because others bring it sooner; then all is right at once.
    """
    serve(world, InTurn((*[SLOW] * turn, evolve(SLOW, wrong=wrong), SLOW)))
    asked = [*MIXTURES[mixture], None]
    bodies = await pulled(world, asked, processes)
    assert len(gets(world)) > turn
    for wanted, body in zip(right(asked), bodies, strict=True):
        assert body in (None, wanted) or isinstance(body, Unverified), "a clean end that is wrong"
    await world.settled()
    if world.is_stored(BLOB):
        require_right_files(world.folder)
    serve(world, SLOW)
    await world.restart()  # what came wrong is not asked for again at once
    assert await pulled(world, asked) == right(asked)


UNFIT: list[Behaviour] = [
    BreaksAt(0, times=0, ranges="ignored"),
    BreaksAt(0, times=0, ranges="other_beginning"),
    BreaksAt(0, times=0, ranges="other_total"),
    BreaksAt(0, times=0, ranges="wrong"),
    BreaksAt(0, times=0, ranges="other_length"),
    Ranged(refuses="all"),
    Ranged(refuses="all", refusal_names_total=False),
    Ranged(described="multipart"),
    Ranged(described="nothing"),
    Ranged(names_total=False),
    Ranged(names_digest=False),
    Ranged(total_off=1),
    Ranged(total_off=PIECE_BYTES),
    OtherBytes(),
    FewerBytes(PIECE_BYTES),
    Answers(204),
    Answers(401),
]


@pytest.mark.parametrize("unfit", UNFIT, ids=str)
async def test_an_answer_that_does_not_fit_is_not_mixed_in(world: World, unfit: Behaviour) -> None:
    """The blob comes in the stream that it had; and so does the registry's next one."""
    serve(world, InTurn((SLOW, unfit, SLOW)))
    async with asyncio.timeout(SECONDS):
        assert await pulled(world, [None]) == [BLOB.content]
    asked = gets(world)
    assert len(asked) == 2
    assert asked[0] is None
    world.hosts["g"].serve(OTHER, REPOSITORY, SLOW, Honest())
    process = world.processes[0]
    assert await process.pull(world.hosts["g"], REPOSITORY, OTHER, None) == OTHER.content
    if unfit == Answers(401):  # which says nothing about ranges
        assert len(gets(world, OTHER)) > 1
    else:
        assert len(gets(world, OTHER)) == 1


REFUSALS: list[Behaviour] = [Answers(503), Answers(429, (("Retry-After", "60"),)), Answers(404)]


@pytest.mark.parametrize("refusal", REFUSALS, ids=str)
async def test_a_registry_that_gives_no_further_stream_is_left_in_peace(
    world: World, refusal: Behaviour
) -> None:
    """It is not asked again for half a minute, and nothing waits for it."""
    serve(world, InTurn((SLOW, refusal, SLOW)))
    async with asyncio.timeout(SECONDS):
        assert await pulled(world, [None]) == [BLOB.content]
    assert len(gets(world)) == 2


@pytest.mark.parametrize("refusal", REFUSALS, ids=str)
async def test_a_registry_that_refused_a_further_stream_is_asked_again_after_a_rest(
    impatient: World, refusal: Behaviour
) -> None:
    """One refusal in the first second of a blob of many GiB is none for all of its hours."""
    serve(impatient, InTurn((evolve(SLOW, pause_seconds=0.05), refusal, SLOW)))
    async with asyncio.timeout(SECONDS):
        assert await pulled(impatient, [None]) == [BLOB.content]
    assert len(gets(impatient)) > 2


async def test_ranges_come_at_once_again_some_time_after_one_was_refused(impatient: World) -> None:
    """Else the second one waits for the end of the first, however slowly that comes."""
    holds, host, process = Holds(1), impatient.hosts["g"], impatient.processes[0]
    serve(impatient, InTurn((holds, Answers(404), SLOW)))
    first = asyncio.create_task(process.pull(host, REPOSITORY, BLOB, WORKERS[0]))
    await eventually(lambda: len(gets(impatient)) == 1)
    second = asyncio.create_task(process.pull(host, REPOSITORY, BLOB, WORKERS[2]))
    await eventually(second.done)
    assert not first.done()
    assert second.result() == BLOB.content[slice(*WORKERS[2])]
    holds.gate.set()
    assert await first == BLOB.content[slice(*WORKERS[0])]


async def test_each_answer_has_to_have_the_same_validator(world: World) -> None:
    """Of a registry whose answers each have another one, a blob comes in one stream."""
    serve(world, evolve(SLOW, etags=True))
    assert await pulled(world, [None]) == [BLOB.content]
    assert len(gets(world)) == 2


async def test_without_a_validator_there_is_one_stream(world: World) -> None:
    """Nobody could tell whether a second one is about the same bytes."""
    serve(world, evolve(SLOW, names_digest=False))
    assert await pulled(world, [None]) == [BLOB.content]
    assert len(gets(world)) == 1


SICK: list[Behaviour] = [
    Stalls(),
    Ranged(breaks_at=LENGTH // 2, times=1, then="stay"),
    Ranged(piece_bytes=1024, pause_seconds=0.1),
    Ranged(breaks_at=LENGTH // 2, times=1),
]


# With a first stream that never answers nothing has begun, and there are no others.
SICK_TURNS = [(sick, turn) for sick in SICK for turn in range(4) if turn > 0 or sick != Stalls()]


@pytest.mark.parametrize("sick, turn", SICK_TURNS, ids=str)
async def test_a_slow_or_dead_stream_among_several_holds_up_nothing(
    world: World, sick: Behaviour, turn: int
) -> None:
    """What it was to bring comes in another way, long before the registry's own time is over."""
    turns = list[Behaviour]([evolve(SLOW, pause_seconds=0.1)] * 8)
    turns[turn] = sick
    serve(world, InTurn((*turns, SLOW)))
    async with asyncio.timeout(SECONDS):
        assert await pulled(world, [None]) == [BLOB.content]


@pytest.mark.parametrize("missing", [1, 40_000, 100_000])
async def test_the_last_of_several_streams_is_left_too_if_it_is_dead(
    world: World, missing: int
) -> None:
    """Nobody else brings anything by then; it is held against what the others brought."""
    slow = evolve(SLOW, pause_seconds=0.05, times=0)
    dead_at_the_end = evolve(slow, breaks_at=LENGTH - missing, times=1, then="stay")
    serve(world, InTurn((slow, dead_at_the_end)))
    async with asyncio.timeout(SECONDS):
        assert await pulled(world, [None]) == [BLOB.content]


async def test_a_further_stream_that_breaks_and_is_refused_then_holds_up_nothing(
    world: World,
) -> None:
    """The registry wants it to wait for a minute. Another stream brings what it was to bring."""
    slow, refusal = evolve(SLOW, pause_seconds=0.02), Answers(429, (("Retry-After", "60"),))
    breaks = evolve(slow, breaks_at=LENGTH // 2, times=1)
    serve(world, InTurn((slow, breaks, breaks, refusal, refusal, slow)))
    async with asyncio.timeout(SECONDS):
        assert await pulled(world, [None]) == [BLOB.content]


async def test_what_came_in_segments_survives_a_crash(world: World) -> None:
    """Nine tenths of it are not bought again, wherever they lie, unless the disk is behind."""
    serve(world, evolve(SLOW, pause_seconds=0.02))
    first, second = Account(), Account()
    with spending(first):
        pull = asyncio.create_task(pulled(world, [None]))
    partial = world.partial(world.hosts["g"], BLOB, REPOSITORY)

    def is_kept() -> bool:
        kept = come(partial, LENGTH).count if partial.exists() else 0
        return kept > LENGTH // 3 and kept >= 0.9 * first.spent

    await eventually(is_kept)
    had_come = first.spent
    await world.crash([pull])
    serve(world, Honest())
    world.hosts["g"].simulator.requests.clear()
    with spending(second):
        assert await pulled(world, [None]) == [BLOB.content]
    beside = cut_answers(world) * second.most_at_once
    assert second.spent <= LENGTH - 0.9 * had_come + beside


async def test_a_revocation_ends_all_streams_at_once(world: World) -> None:
    """And whoever reads is told."""
    holds = Holds(0)
    serve(world, InTurn((evolve(SLOW, pause_seconds=0.05), *[holds] * 3)))
    host, process = world.hosts["g"], world.processes[0]
    pull = asyncio.create_task(process.pull(host, REPOSITORY, BLOB, None))
    await eventually(lambda: len(gets(world)) >= 2)
    process.work.revoke(host.connection.id)
    assert await pull is None
    simulator = host.simulator
    holds.gate.set()
    await eventually(lambda: simulator.answered == len(simulator.requests))
    await world.settled()
    assert simulator.written_bytes < LENGTH
