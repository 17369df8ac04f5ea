"""What a dead owner left is gone on with, whatever its registry says of it by now."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from facade.arrivals.arrival import ArrivalEndedError
from facade.arrivals.want import Want
from facade.registries.payer import FREE
from facade.rights.right import Right
from facade.store.ingest_file import OwnedIngest
from facade.values.piece import PIECE_BYTES
from shared.oci import OCTET_STREAM
from shared.upstream.errors import CredentialRefusedError, NotInRegistryError, UpstreamError
from tests.support.eventually import eventually
from tests.support.simulators.behaviour import Answers, Behaviour, FewerBytes, Honest, InTurn
from tests.support.simulators.registry import RegistrySimulator
from tests.unit.facade.conftest import Connect
from tests.unit.facade.content.downloads import LARGE
from tests.unit.facade.content.machine import APP, CONNECTION, Machine, Process, right_to

LEFT = 3 * PIECE_BYTES
THE_REST = ("GET", f"bytes={LEFT}-{len(LARGE) - 1}")


@pytest.fixture
async def machine(connect: Connect, tmp_path: Path) -> AsyncIterator[Machine]:
    """A machine that runs nothing yet."""
    async with RegistrySimulator() as registry:
        machine = Machine(registry, connect, tmp_path)
        yield machine
        await machine.stop()


def left_over(process: Process, right: Right) -> None:
    """Leave the beginning of the blob, as a process does that was killed."""
    ingest = OwnedIngest.acquire(process.store.layout.flight(right))
    assert ingest is not None
    ingest.announce(len(LARGE), APP, room=LEFT)
    ingest.append([LARGE[:LEFT]])
    ingest.release()


async def read(process: Process, right: Right) -> bytes:
    """Return what a device may be sent, to the end."""
    async with process.flights.join(CONNECTION, right, FREE) as arrival:
        body, want = b"", Want.whole(len(LARGE))
        arrival.want(want)
        while want.at < len(LARGE):
            end = await arrival.sendable(want)
            body += bytes(await arrival.read(want.at, end - want.at))
            want.at = end
    return body


async def taken_over(machine: Machine, get: Behaviour) -> tuple[bytes, Process, Right]:
    """Have a process take it over; return what a device may be sent."""
    right = right_to(machine.registry.blob(LARGE, get=get, head=Answers(401)))
    process = machine.process()
    left_over(process, right)
    return await read(process, right), process, right


def asked(machine: Machine) -> list[tuple[str, str | None]]:
    """Return what the registry was asked."""
    return [(each.method, each.header("Range")) for each in machine.registry.requests]


async def test_the_rest_is_asked_for_and_proves_the_right(machine: Machine) -> None:
    """By a GET, as a pull goes: some registries refuse every HEAD."""
    body, process, right = await taken_over(machine, Honest())
    assert body == LARGE
    assert asked(machine) == [THE_REST]
    await eventually(lambda: process.store.has(right.key.digest))
    membership = process.rights.proven(right)
    assert membership is not None
    assert membership.media_type == OCTET_STREAM


@pytest.mark.parametrize(
    "status, error",
    [(404, NotInRegistryError), (403, CredentialRefusedError), (500, UpstreamError)],
)
async def test_who_may_not_read_it_reads_nothing_of_what_was_left(
    status: int, error: type[UpstreamError], machine: Machine
) -> None:
    """It is on the disk, and nobody has shown a right to it."""
    with pytest.raises(error):
        await taken_over(machine, Answers(status))
    assert asked(machine) == [THE_REST]


@pytest.mark.parametrize("broken", [FewerBytes(then="reset"), FewerBytes()])
async def test_what_is_denied_meanwhile_ends_its_readers(
    broken: Behaviour, machine: Machine
) -> None:
    """The registry's answer may be another one after a break."""
    with pytest.raises(ArrivalEndedError):
        await taken_over(machine, InTurn((broken, Answers(404))))
    assert len(asked(machine)) == 2


@pytest.mark.parametrize("broken", [FewerBytes(then="reset"), FewerBytes()])
async def test_what_breaks_then_is_resumed_as_in_the_middle(
    broken: Behaviour, machine: Machine
) -> None:
    """Readers have begun: it is not given up at the first try."""
    body, _, _ = await taken_over(machine, InTurn((broken, Answers(503), Honest())))
    assert body == LARGE
    assert len(asked(machine)) == 3


async def test_another_content_meanwhile_ends_nothing_cleanly(machine: Machine) -> None:
    """No wrong byte: the digest decides."""
    right = right_to(machine.registry.blob(LARGE))
    process = machine.process()
    left_over(process, right)
    other = LARGE[:-1] + b"?"
    machine.registry.blob(other, digest=str(right.key.digest))
    with pytest.raises(ArrivalEndedError):
        await read(process, right)
    assert not process.store.has(right.key.digest)


async def test_it_may_be_stopped_while_it_is_hashed(machine: Machine) -> None:
    """What was left stays for the next one."""
    right = right_to(machine.registry.blob(LARGE))
    process = machine.process()
    left_over(process, right)
    async with process.flights.join(CONNECTION, right, FREE):
        await process.flights.land()
    assert await asyncio.to_thread(process.store.layout.flight(right).exists)
    assert await read(process, right) == LARGE
