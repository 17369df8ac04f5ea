"""Who may join a download, of which repository, and until when."""

import asyncio
import contextlib
import os
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from attrs import define

from facade.arrivals.announcing import NothingArrivesError
from facade.arrivals.claim_watch import WatchTimes
from facade.arrivals.flight import Flight
from facade.arrivals.gather_budget import GatherBudget
from facade.arrivals.grace import Grace
from facade.arrivals.stream_growth import GrowthTerms
from facade.arrivals.taken_up import NothingThere
from facade.loop.thread_work import in_index_thread
from facade.registries.payer import FREE, FreeDownload
from facade.rights.right import FlightKey, Right
from facade.store.beginnings import BeginningLock, is_begun
from facade.store.file_lock import lock_exclusively
from facade.store.ingest_file import MARKED
from facade.values.piece import PIECE_BYTES
from shared.oci import Kind, RepositoryName
from tests.faults.stored_world import Content, World
from tests.support.eventually import eventually
from tests.support.simulators.behaviour import Answers, Holds, Honest, Stalls

REPOSITORY, SECOND = "team/app", "team/second"
SOME_REPOSITORY = RepositoryName.parse(REPOSITORY)
BLOB = Content("blob", Kind.BLOB, bytes(range(256)) * (2 * PIECE_BYTES // 256))
SMALL = Content("small", Kind.BLOB, b"small")
ENOUGH_SECONDS = 60.0  # for what takes milliseconds
MANIFEST = Content("manifest", Kind.MANIFEST, b'{"layers":[]}')


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """Two facades' stores on one folder, before a registry that has the blob."""
    world = await World.start(tmp_path, 16 * PIECE_BYTES, "g")
    yield world
    await world.stop()


async def test_what_has_moved_to_its_place_is_read_as_stored_and_checked(world: World) -> None:
    """Else who comes between the move and the download's end reads what nobody checks any more."""
    host, process = world.hosts["g"], world.processes[0]
    holds = Holds(PIECE_BYTES)
    host.serve(BLOB, REPOSITORY, holds, None)
    first = asyncio.create_task(process.pull(host, REPOSITORY, BLOB, None))
    await eventually(world.partial(host, BLOB, REPOSITORY).exists)
    await eventually(lambda: world.partial(host, BLOB, REPOSITORY).stat().st_size > 0)
    evictor = os.open(world.layout.evictor_lock, os.O_RDWR | os.O_CREAT)
    assert lock_exclusively(evictor)  # the proven blob waits to be moved
    holds.gate.set()
    assert await first == BLOB.content
    place = world.layout.blob(BLOB.digest)
    place.parent.mkdir(parents=True)
    world.partial(host, BLOB, REPOSITORY).rename(place)
    with place.open("r+b") as file:
        file.write(b"rot")
    late = asyncio.create_task(process.pull(host, REPOSITORY, BLOB, None))
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(asyncio.shield(late), 0.1)
    os.close(evictor)
    assert await late == BLOB.content
    await eventually(lambda: world.is_stored(BLOB))
    assert await process.pull(host, REPOSITORY, BLOB, None) == BLOB.content


async def test_a_flight_that_is_stopped_before_its_first_step_ends(world: World) -> None:
    """Else whoever wants the blob waits for its end, and nobody may begin to bring it again."""
    host, process = world.hosts["g"], world.processes[0]
    host.serve(BLOB, REPOSITORY, Honest(), None)
    right = Right(FlightKey(host.connection.access_key, Kind.BLOB, BLOB.digest), SOME_REPOSITORY)
    beginnings, ended = world.layout.beginnings, list[Flight]()
    lock = BeginningLock.take(beginnings, right.name)
    assert lock is not None
    flight = Flight(
        right,
        host.connection,
        NothingThere(world.layout.flight(right), lock),
        process.store,
        process.rights,
        process.upstreams,
        "",
        ended.append,
        lambda _: None,
        lambda _: None,
        WatchTimes(),
        Grace(),
        GatherBudget(),
        GrowthTerms(),
    )
    flight.take_off()
    async with asyncio.timeout(ENOUGH_SECONDS):
        await flight.land()
    assert ended == [flight]
    assert not is_begun(beginnings, right.name)
    assert await process.pull(host, REPOSITORY, BLOB, None) == BLOB.content
    assert len(host.simulator.pulls) == 1


async def test_wrong_bytes_do_not_stay_if_it_is_stopped_while_it_lets_go(world: World) -> None:
    """Else nobody may begin to bring the blob again, and what was wrong lies there."""
    host, process = world.hosts["g"], world.processes[0]
    holds = Holds(PIECE_BYTES)
    wrong = bytes([BLOB.content[0] ^ 1, *BLOB.content[1:]])
    host.simulator.blob(wrong, repository=REPOSITORY, get=holds, digest=str(BLOB.digest))
    pull = asyncio.create_task(process.pull(host, REPOSITORY, BLOB, None))
    partial = world.partial(host, BLOB, REPOSITORY)
    # Not as soon as the file is there: then whoever takes the folder up may still empty it.
    await eventually(lambda: partial.exists() and partial.stat().st_blocks > 0)
    marked = partial.parent / MARKED
    os.mkfifo(marked)  # to read it takes until somebody writes
    holds.gate.set()
    writer = -1

    def is_read() -> bool:
        nonlocal writer
        with contextlib.suppress(OSError):
            writer = os.open(marked, os.O_WRONLY | os.O_NONBLOCK)
        return writer >= 0

    await eventually(is_read)
    [flight] = [each for each in asyncio.all_tasks() if "Flight._run" in repr(each.get_coro())]
    flight.cancel()
    await asyncio.sleep(0)
    os.close(writer)
    assert await pull is None
    await eventually(lambda: not partial.exists())
    host.serve(BLOB, REPOSITORY, Honest(), None)
    async with asyncio.timeout(ENOUGH_SECONDS):
        assert await world.processes[1].pull(host, REPOSITORY, BLOB, None) == BLOB.content


@pytest.mark.parametrize("other", [0, 1], ids=["this process", "another process"])
async def test_what_was_stored_since_it_was_looked_for_is_not_bought_again(
    world: World, other: int
) -> None:
    """Who finds neither the blob nor its download looks between the two of them."""
    host, process = world.hosts["g"], world.processes[other]
    host.serve(BLOB, REPOSITORY, Honest(), None)
    assert await world.processes[0].pull(host, REPOSITORY, BLOB, None) == BLOB.content
    await eventually(lambda: world.is_stored(BLOB))
    right = Right(FlightKey(host.connection.access_key, Kind.BLOB, BLOB.digest), SOME_REPOSITORY)
    await eventually(lambda: world.processes[0].flights.proven_length(right) is None)  # it is over
    with pytest.raises(NothingArrivesError):
        async with process.flights.join(host.connection, right, FREE):
            pass
    assert len(host.simulator.pulls) == 1
    assert not world.partial(host, BLOB, REPOSITORY).parent.exists()


async def test_who_reads_along_waits_for_nothing_but_its_bytes(world: World) -> None:
    """A look into the index for each of a herd's ranges costs a hop to its only thread."""
    host, process = world.hosts["g"], world.processes[0]
    holds, gate = Holds(PIECE_BYTES), threading.Event()
    host.serve(BLOB, REPOSITORY, holds, None)
    whole = asyncio.create_task(process.pull(host, REPOSITORY, BLOB, None))
    partial = world.partial(host, BLOB, REPOSITORY)
    await eventually(lambda: partial.exists() and partial.stat().st_blocks > 0)  # it has begun
    hangs = asyncio.create_task(in_index_thread(gate.wait))
    try:
        part = asyncio.create_task(process.pull(host, REPOSITORY, BLOB, (0, 1000)))
        await eventually(part.done)
        assert part.result() == BLOB.content[:1000]
    finally:
        gate.set()
    await hangs
    holds.gate.set()
    assert await whole == BLOB.content


@pytest.mark.parametrize("held_at", [-1, PIECE_BYTES], ids=["before its answer", "in its body"])
async def test_readers_of_a_download_that_nobody_stopped_go_on(world: World, held_at: int) -> None:
    """A library may cancel the task that waits for it: its devices were told 503."""
    host, process = world.hosts["g"], world.processes[0]
    holds = Stalls() if held_at < 0 else Holds(held_at)
    host.serve(BLOB, REPOSITORY, holds, None)
    pull = asyncio.create_task(process.pull(host, REPOSITORY, BLOB, None))
    partial = world.partial(host, BLOB, REPOSITORY)
    await eventually(lambda: bool(host.simulator.pulls))
    if held_at >= 0:
        await eventually(lambda: partial.exists() and partial.stat().st_size > 0)
    host.serve(BLOB, REPOSITORY, Honest(), None)
    [flight] = [each for each in asyncio.all_tasks() if "Flight._run" in repr(each.get_coro())]
    flight.cancel()
    assert await pull == BLOB.content


async def test_a_download_that_comes_to_its_end_is_no_error(
    world: World, capfd: pytest.CaptureFixture[str]
) -> None:
    """Nobody has to stop it: the log said of each that it had ended by itself."""
    host, process = world.hosts["g"], world.processes[0]
    host.serve(BLOB, REPOSITORY, Honest(), None)
    assert await process.pull(host, REPOSITORY, BLOB, None) == BLOB.content
    right = Right(FlightKey(host.connection.access_key, Kind.BLOB, BLOB.digest), SOME_REPOSITORY)
    await eventually(lambda: world.is_stored(BLOB))
    await eventually(lambda: process.flights.proven_length(right) is None)  # it is over
    assert '"level":"error"' not in "".join(capfd.readouterr())


async def asked_through(world: World, repository: str) -> list[tuple[str, str | None]]:
    """Return what the registry was asked through a repository."""
    requests = world.hosts["g"].simulator.pulls
    return [(each.method, each.header("Range")) for each in requests if repository in each.path]


@pytest.mark.parametrize("other", [0, 1], ids=["this process", "another process"])
@pytest.mark.parametrize("content", [BLOB, MANIFEST], ids=["blob", "manifest"])
async def test_nobody_waits_for_what_another_repository_is_answered(
    world: World, content: Content, other: int
) -> None:
    """A repository whose registry says nothing, which a device may make up, was waited for."""
    host = world.hosts["g"]
    host.serve(content, REPOSITORY, Stalls(), None)
    host.serve(content, SECOND, Honest(), None)
    hangs = asyncio.create_task(world.processes[0].pull(host, REPOSITORY, content, None))
    await eventually(lambda: bool(host.simulator.pulls))
    assert await world.processes[other].pull(host, SECOND, content, None) == content.content
    assert not hangs.done()
    assert await asked_through(world, SECOND) == [("GET", None)]
    hangs.cancel()
    await asyncio.wait([hangs])


async def test_a_refusal_is_that_repository_s_alone(world: World) -> None:
    """Who asked through another one at the same time was told it, too."""
    host, process = world.hosts["g"], world.processes[0]
    host.serve(BLOB, REPOSITORY, Answers(404), None)
    host.serve(BLOB, SECOND, Honest(), None)
    refused, given = await asyncio.gather(
        process.pull(host, REPOSITORY, BLOB, None), process.pull(host, SECOND, BLOB, None)
    )
    assert (refused, given) == (None, BLOB.content)


@pytest.mark.parametrize("other", [0, 1], ids=["this process", "another process"])
async def test_what_arrives_through_another_repository_is_read_along_with(
    world: World, other: int
) -> None:
    """Once the registry has said yes: its bytes come once."""
    host, holds = world.hosts["g"], Holds(PIECE_BYTES)
    host.serve(BLOB, REPOSITORY, holds, None)
    host.serve(BLOB, SECOND, Stalls(after=0), None)  # no byte comes this way
    first = asyncio.create_task(world.processes[0].pull(host, REPOSITORY, BLOB, None))
    partial = world.partial(host, BLOB, REPOSITORY)
    await eventually(lambda: partial.exists() and partial.stat().st_size > 0)
    second = asyncio.create_task(world.processes[other].pull(host, SECOND, BLOB, None))
    # Not as soon as it has asked: what is stored by then is no arrival, and it asks once more.
    await eventually(lambda: sum(each.flights.followers for each in world.processes) == 2)
    holds.gate.set()
    assert list(await asyncio.gather(first, second)) == [BLOB.content] * 2
    assert await asked_through(world, SECOND) == [("GET", None)]


@pytest.mark.parametrize("processes", [1, 2])
async def test_of_repositories_that_are_answered_at_once_one_brings_it(
    world: World, processes: int
) -> None:
    """A site pulls several images at once that stand on the same layer."""
    host, holds = world.hosts["g"], Holds(PIECE_BYTES)
    names = [f"team/{number}" for number in range(8)]
    for name in names:
        host.serve(BLOB, name, holds, None)
    pulls = [
        asyncio.create_task(
            world.processes[number % processes].pull(host, names[number], BLOB, None)
        )
        for number in range(len(names))
    ]
    await eventually(lambda: len(host.simulator.pulls) == len(names))
    key = FlightKey(host.connection.access_key, BLOB.kind, BLOB.digest)
    await eventually(lambda: len(world.layout.flights(key)) == 1)  # the others' are gone
    holds.gate.set()
    assert await asyncio.gather(*pulls) == [BLOB.content] * len(names)
    # Who reads along with one that then gives way to the other process's asks once more.
    assert len(host.simulator.pulls) <= len(names) * processes


async def test_another_repository_s_answer_is_left_at_its_headers(world: World) -> None:
    """The claim is enough where the connection has brought the bytes; then it is a right."""
    host, process = world.hosts["g"], world.processes[0]
    host.serve(BLOB, REPOSITORY, Honest(), None)
    host.serve(BLOB, SECOND, Stalls(after=0), None)
    assert await process.pull(host, REPOSITORY, BLOB, None) == BLOB.content
    await eventually(lambda: world.is_stored(BLOB))
    for _ in range(2):
        assert await process.pull(host, SECOND, BLOB, None) == BLOB.content
    assert await asked_through(world, SECOND) == [("GET", None)]


async def test_a_length_that_is_not_the_stored_one_claims_nothing(world: World) -> None:
    """Its bytes tell."""
    host, process = world.hosts["g"], world.processes[0]
    host.serve(BLOB, REPOSITORY, Honest(), None)
    host.serve(BLOB, SECOND, Answers(200, body=b"not found"), None)
    assert await process.pull(host, REPOSITORY, BLOB, None) == BLOB.content
    await eventually(lambda: world.is_stored(BLOB))
    assert await process.pull(host, SECOND, BLOB, None) is None
    assert not world.has_right(host, SECOND, BLOB)


async def test_who_finds_that_another_begins_waits_and_then_brings_it_itself(world: World) -> None:
    """It was a process that has died before there was a folder."""
    host, process = world.hosts["g"], world.processes[0]
    host.serve(BLOB, REPOSITORY, Honest(), None)
    right = Right(FlightKey(host.connection.access_key, Kind.BLOB, BLOB.digest), SOME_REPOSITORY)
    beginning = BeginningLock.take(world.layout.beginnings, right.name)
    assert beginning is not None
    pull = asyncio.create_task(process.pull(host, REPOSITORY, BLOB, None))
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(asyncio.shield(pull), 0.2)
    assert not host.simulator.pulls
    beginning.let_go()
    assert await pull == BLOB.content
    assert len(host.simulator.pulls) == 1


@define
class CountedPayer:
    """Pays nothing, and counts how often it was asked to."""

    downloads: int = 0

    def pay_download_nowait(self) -> FreeDownload:
        """Count it."""
        self.downloads += 1
        return FreeDownload()

    async def pay_download(self) -> FreeDownload:
        """Count it."""
        return self.pay_download_nowait()


async def test_a_herd_finds_out_at_once_that_another_process_has_it(world: World) -> None:
    """Not one after the other: each would wake all who wait."""
    host, holds, payer = world.hosts["g"], Holds(PIECE_BYTES), CountedPayer()
    host.serve(BLOB, REPOSITORY, holds, None)
    right = Right(FlightKey(host.connection.access_key, Kind.BLOB, BLOB.digest), SOME_REPOSITORY)
    whole = asyncio.create_task(world.processes[0].pull(host, REPOSITORY, BLOB, None))
    await eventually(lambda: bool(host.simulator.pulls))

    async def join() -> None:
        async with world.processes[1].flights.join(host.connection, right, payer) as arrival:
            assert arrival.length == len(BLOB.content)

    await asyncio.gather(*(join() for _ in range(50)))
    assert payer.downloads == 1
    holds.gate.set()
    assert await whole == BLOB.content


async def test_a_blob_whose_folder_cannot_be_made_is_passed_on(world: World) -> None:
    """The registry has been asked by then, and is asked once more."""
    host, process = world.hosts["g"], world.processes[0]
    host.serve(BLOB, REPOSITORY, Honest(), None)
    host.serve(SMALL, REPOSITORY, Honest(), None)
    assert await process.pull(host, REPOSITORY, SMALL, None) == SMALL.content
    host.simulator.requests.clear()
    folder = world.partial(host, BLOB, REPOSITORY).parent
    folder.touch()  # a file in its place
    assert await process.pull(host, REPOSITORY, BLOB, None) == BLOB.content
    assert len(host.simulator.pulls) == 2
    folder.unlink()
    assert await process.pull(host, REPOSITORY, BLOB, None) == BLOB.content
    await eventually(lambda: world.is_stored(BLOB))
