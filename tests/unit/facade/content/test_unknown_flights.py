"""Blobs of unknown length on their way into the store: followed, taken over, kept once proven."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from attrs import define, evolve

from facade.arrivals.arrival import Arrival, ArrivalEndedError
from facade.arrivals.claimed_room import MAX_ROOM_AHEAD_BYTES
from facade.arrivals.want import Want
from facade.content.arriving_pieces import ArrivingPieces, ReadFailure
from facade.registries.payer import FREE
from facade.rights.right import Right
from facade.store.announcement import Announcement
from facade.store.arriving_file import DATA
from facade.store.ingest_file import OwnedIngest, is_owned
from facade.values.piece import PIECE_BYTES, Piece
from shared.oci import Digest, RepositoryName
from tests.support.eventually import eventually
from tests.support.simulators.behaviour import Answers, Behaviour, Holds, NoLength, Ranged
from tests.support.simulators.registry import RegistrySimulator
from tests.unit.facade.conftest import Connect
from tests.unit.facade.content.downloads import LARGE
from tests.unit.facade.content.machine import APP, CONNECTION, Machine, Process, right_to

MIDDLE = 3 * PIECE_BYTES
UNTOLD = NoLength(head_length=False)
STAYS = Ranged(names_length=False, names_total=False, breaks_at=MIDDLE, then="stay")


@pytest.fixture
async def machine(connect: Connect, tmp_path: Path) -> AsyncIterator[Machine]:
    """A machine that runs nothing yet."""
    async with RegistrySimulator() as registry:
        machine = Machine(registry, connect, tmp_path)
        yield machine
        await machine.stop()


def served(machine: Machine, get: Behaviour, content: bytes = LARGE) -> Right:
    """Serve a blob whose length nobody tells."""
    return right_to(machine.registry.blob(content, get=get, head=Answers(405)))


class WithoutStoreError(Exception):
    """The store has no more of it, and an answer would go on from upstream."""


def elsewhere(_: ReadFailure, _offset: int, _end: int | None) -> AsyncIterator[Piece]:
    """Go on from upstream: not here."""
    raise WithoutStoreError


@define
class Reader:
    """A device's pull through a process, as far as the store goes."""

    process: Process
    key: Right
    body: bytes = b""
    announced: int | None = -1

    async def read(self) -> bytes:
        """Read to the end, or raise."""
        async with self.process.flights.join(CONNECTION, self.key, FREE) as arrival:
            self.announced = arrival.length
            await self.follow(arrival)
        return self.body

    async def follow(self, arrival: Arrival) -> None:
        """Read what arrives to its end, or raise."""
        async for piece in ArrivingPieces(arrival, Want.whole(None), elsewhere):
            self.body += bytes(piece)
            if arrival.length is None:  # not proven
                assert len(self.body) <= arrival.reached - PIECE_BYTES


async def kept(process: Process, key: Right) -> bytes:
    """Return what is stored of a digest, held against its checksums."""
    blob = await process.store.open_blob(key.key.digest)
    assert blob is not None
    body = b""
    while len(body) < blob.length:
        body += bytes(await blob.read(len(body), blob.length))
    blob.close()
    return body


async def test_it_is_kept_once_it_is_proven(machine: Machine) -> None:
    """With its length, its checksums, and the right to it."""
    key, process = served(machine, UNTOLD), machine.process()
    reader = Reader(process, key)
    assert await reader.read() == LARGE
    assert reader.announced is None
    await eventually(lambda: process.store.has(key.key.digest))
    assert await kept(process, key) == LARGE
    assert process.rights.proven(key) is not None


async def test_its_length_is_known_with_its_proof(machine: Machine) -> None:
    """Also while it is on its way to its place; for the repository that it came through."""
    holds = Holds(MIDDLE, names_length=False)
    key, process = served(machine, holds), machine.process()
    reader = Reader(process, key)
    reading = asyncio.create_task(reader.read())
    await eventually(lambda: bool(reader.body))
    assert process.flights.proven_length(key) is None
    holds.gate.set()
    assert await reading == LARGE
    length = process.flights.proven_length(key)
    assert length == len(LARGE) or process.store.has(key.key.digest)
    assert (
        process.flights.proven_length(evolve(key, repository=RepositoryName("team/other"))) is None
    )


async def test_everybody_reads_along_with_one_download(machine: Machine) -> None:
    """Also in another process; the last piece comes with the proof."""
    holds = Holds(MIDDLE, names_length=False)
    key = served(machine, holds)
    one, other = machine.process(), machine.process()
    readers = [Reader(process, key) for process in (one, one, other, other)]
    reading = [asyncio.create_task(readers[0].read())]
    await eventually(lambda: bool(readers[0].body))
    reading += [asyncio.create_task(reader.read()) for reader in readers[1:]]
    await eventually(lambda: all(len(reader.body) >= PIECE_BYTES for reader in readers))
    assert not any(task.done() for task in reading)
    holds.gate.set()
    assert await asyncio.gather(*reading) == [LARGE] * 4
    gets = [each for each in machine.registry.requests if each.header("Range") is None]
    assert [each.method for each in gets].count("GET") == 1


async def test_wrong_bytes_end_for_nobody(machine: Machine) -> None:
    """And nothing of them is kept."""
    key = right_to(str(Digest.of(b"other")))
    machine.registry.blob(LARGE, get=UNTOLD, head=Answers(405), digest=str(key.key.digest))
    one, other = machine.process(), machine.process()
    readers = [Reader(process, key) for process in (one, other)]
    ended = await asyncio.gather(*(each.read() for each in readers), return_exceptions=True)
    assert all(isinstance(each, Exception) for each in ended)
    assert all(len(reader.body) <= len(LARGE) - PIECE_BYTES for reader in readers)
    assert not one.store.has(key.key.digest)
    assert not one.store.layout.flight(key).exists()


async def test_what_a_dead_process_left_is_taken_over(machine: Machine) -> None:
    """By whoever reads along, from the byte reached; nothing comes twice."""
    key = served(machine, STAYS)
    one, other = machine.process(), machine.process()
    reader = Reader(one, key)
    reading = asyncio.create_task(reader.read())
    data = one.store.layout.flight(key) / DATA
    await eventually(lambda: data.exists() and data.stat().st_size == MIDDLE)
    late = Reader(other, key)
    late_reading = asyncio.create_task(late.read())
    await eventually(lambda: len(late.body) >= PIECE_BYTES)
    await one.stop()
    with pytest.raises(ArrivalEndedError):
        await reading
    assert await late_reading == LARGE
    assert machine.registry.requests[-1].header("Range") == f"bytes={MIDDLE}-"
    await eventually(lambda: other.store.has(key.key.digest))
    assert await kept(other, key) == LARGE


def leave(folder: Path, content: bytes, *, is_proven: bool = False) -> None:
    """Leave what came, or what came besides, as a process does that is killed."""
    ingest = OwnedIngest.acquire(folder)
    assert ingest is not None
    ingest.announce(None, APP, room=len(content))
    left = sum(map(len, ingest.left()))
    ingest.append([content[left:]])
    if is_proven:
        ingest.prove()
    ingest.release()


@pytest.mark.parametrize("when", ["before its proof", "behind it"])
async def test_what_was_left_whole_is_kept_by_the_next_one(machine: Machine, when: str) -> None:
    """Nobody knew how long it would be: the digest says that it is all there."""
    key, process = served(machine, UNTOLD), machine.process()
    leave(process.store.layout.flight(key), LARGE, is_proven=when == "behind it")
    assert await Reader(process, key).read() == LARGE
    await eventually(lambda: process.store.has(key.key.digest))
    assert await kept(process, key) == LARGE


async def test_the_quota_counts_what_comes(machine: Machine) -> None:
    """And a little ahead of it: room is made for it as for any other blob, and evicted for."""
    holds = Holds(MIDDLE, names_length=False)
    key, process = served(machine, holds), machine.process()
    reading = asyncio.create_task(Reader(process, key).read())
    folder = process.store.layout.flight(key)
    await eventually(lambda: (folder / DATA).exists() and (folder / DATA).stat().st_size >= MIDDLE)
    announced = Announcement.read(folder)
    assert announced is not None
    assert announced.length is None
    assert MIDDLE <= announced.room <= 2 * MIDDLE <= MIDDLE + MAX_ROOM_AHEAD_BYTES
    holds.gate.set()
    assert await reading == LARGE


@pytest.mark.parametrize("quota", [PIECE_BYTES, len(LARGE) - 1])
async def test_what_does_not_fit_is_given_up_in_the_middle(machine: Machine, quota: int) -> None:
    """Those who read go on without the store; nothing of it stays."""
    machine.quota = quota
    key, process = served(machine, UNTOLD), machine.process()
    reader = Reader(process, key)
    with pytest.raises(WithoutStoreError):
        await reader.read()
    assert LARGE.startswith(reader.body)
    await eventually(lambda: not process.store.layout.flight(key).exists())
    assert not process.store.has(key.key.digest)


async def test_what_fits_exactly_is_kept(machine: Machine) -> None:
    """Room ahead is only asked for where there is some."""
    machine.quota = len(LARGE)
    key, process = served(machine, UNTOLD), machine.process()
    assert await Reader(process, key).read() == LARGE
    await eventually(lambda: process.store.has(key.key.digest))


async def test_a_file_that_lost_its_end_is_no_shorter_blob(machine: Machine) -> None:
    """How long it is its writer says, not the disk: nobody is sent a beginning as the whole."""
    key = served(machine, STAYS)
    one, other = machine.process(), machine.process()
    folder, late = one.store.layout.flight(key), Reader(other, key)
    reading = asyncio.create_task(Reader(one, key).read())
    await eventually(lambda: Announcement.read(folder) is not None)
    async with other.flights.join(CONNECTION, key, FREE) as arrival:
        await one.stop()
        with pytest.raises(ArrivalEndedError):
            await reading
        await eventually(lambda: not is_owned(folder))  # its readers have closed it, too
        leave(folder, LARGE, is_proven=True)
        os.truncate(folder / DATA, len(LARGE) - 10)
        with pytest.raises(WithoutStoreError):
            await late.follow(arrival)
    assert late.body == b""
