"""Who starts a download pays for it while it runs; who reads along, in whichever process, does not.

Two stores on one folder stand for two processes: their locks exclude one another all the same.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from attrs import define, field

from facade.arrivals.arrival import Arrival
from facade.arrivals.flights import Flights
from facade.arrivals.want import Want
from facade.registries.device_allowance import CostLimits, TooManyDownloadsError
from facade.registries.payer import FREE, PaidDownload, Payer, Payers, PaysDownloads
from facade.rights.right import Right
from facade.values.piece import PIECE_BYTES
from tests.support.eventually import eventually
from tests.support.simulators.behaviour import Holds
from tests.support.simulators.registry import RegistrySimulator
from tests.unit.facade.conftest import Connect
from tests.unit.facade.content.machine import CONNECTION, Machine, right_to

CONTENT = random.Random(17).randbytes(2 * PIECE_BYTES)  # noqa: S311 - any bytes will do


@define
class Counted:
    """A payer that counts."""

    payer: Payer
    paid: int = 0

    def pay_download_nowait(self) -> PaidDownload | None:
        """Pay, if nothing has to be waited for."""
        paid = self.payer.pay_download_nowait()
        self.paid += paid is not None
        return paid

    async def pay_download(self) -> PaidDownload:
        """Pay."""
        self.paid += 1
        return await self.payer.pay_download()


@define
class Late:
    """A payer that has to wait before it may pay."""

    payer: Payer
    may_pay: asyncio.Event = field(factory=asyncio.Event, init=False)

    def pay_download_nowait(self) -> None:
        """Pay nothing yet."""

    async def pay_download(self) -> PaidDownload:
        """Wait, and pay."""
        await self.may_pay.wait()
        return await self.payer.pay_download()


@define
class PayingMachine(Machine):
    """A machine whose registry holds back a blob's end."""

    held: Holds = field(factory=lambda: Holds(PIECE_BYTES), kw_only=True)

    def key(self) -> Right:
        """Serve the blob; return what its download serves."""
        return right_to(self.registry.blob(CONTENT, get=self.held))


@pytest.fixture
async def machine(connect: Connect, tmp_path: Path) -> AsyncIterator[PayingMachine]:
    """A machine that runs nothing yet."""
    async with RegistrySimulator() as registry:
        machine = PayingMachine(registry, connect, tmp_path)
        yield machine
        await machine.stop()


@pytest.fixture
def one_download() -> Callable[[], Counted]:
    """Make devices that may run one download."""
    payers = Payers.within(CostLimits(misses_per_minute=0, downloads=1), max_wait=0.05)
    return lambda: Counted(payers.payer("device"))


async def read(flights: Flights, key: Right, payer: PaysDownloads) -> bytes:
    """Read a blob to its end."""
    async with flights.join(CONNECTION, key, payer) as arrival:
        return bytes(await arrival.read(0, await whole(arrival)))


async def whole(arrival: Arrival) -> int:
    """Return the length once all of it may be read."""
    length = arrival.length or 0
    want = Want.whole(length)
    arrival.want(want)
    while want.at < length:
        want.at = await arrival.sendable(want)
    return length


async def test_the_one_that_starts_it_pays_while_it_runs(
    machine: PayingMachine, one_download: Callable[[], Counted]
) -> None:
    """And may start another when it has ended, however many read along."""
    key, flights = machine.key(), machine.process().flights
    starter, reader = one_download(), Counted(FREE)
    reading = [asyncio.create_task(read(flights, key, starter))]
    await eventually(lambda: len(machine.registry.requests) == 1)
    reading += [asyncio.create_task(read(flights, key, reader)) for _ in range(3)]
    with pytest.raises(TooManyDownloadsError):
        await starter.payer.pay_download()
    machine.held.gate.set()
    assert await asyncio.gather(*reading) == [CONTENT] * 4
    assert (starter.paid, reader.paid) == (1, 0)
    await flights.land()
    (await starter.payer.pay_download()).end()


async def test_reading_along_with_another_process_is_free(
    machine: PayingMachine, one_download: Callable[[], Counted]
) -> None:
    """Also for a device that may start nothing any more."""
    key, one, other = machine.key(), machine.process().flights, machine.process().flights
    starter = Counted(FREE)
    first = asyncio.create_task(read(one, key, starter))
    files = machine.folder.glob
    await eventually(lambda: any(path.stat().st_size for path in files("ingest/*/data")))
    exhausted = one_download()
    running = await exhausted.payer.pay_download()
    second = asyncio.create_task(read(other, key, exhausted))
    await eventually(lambda: other.followers == 1)
    machine.held.gate.set()
    assert await asyncio.gather(*[first, second]) == [CONTENT] * 2
    assert (starter.paid, exhausted.paid) == (1, 0)
    assert len(machine.registry.requests) == 1
    running.end()


async def test_what_does_not_begin_is_paid_back(
    machine: PayingMachine, one_download: Callable[[], Counted]
) -> None:
    """Whoever waits to pay finds that another has begun it, and reads along."""
    key, flights = machine.key(), machine.process().flights
    device = one_download().payer
    payer = Late(device)
    late = asyncio.create_task(read(flights, key, payer))
    await asyncio.sleep(0)
    early = asyncio.create_task(read(flights, key, FREE))
    await eventually(lambda: len(machine.registry.requests) == 1)
    payer.may_pay.set()
    machine.held.gate.set()
    assert await asyncio.gather(*[late, early]) == [CONTENT] * 2
    assert len(machine.registry.requests) == 1
    (await device.pay_download()).end()


async def test_who_pays_at_once_and_follows_another_process_has_it_back(
    machine: PayingMachine, one_download: Callable[[], Counted]
) -> None:
    """It pays before it looks, because mostly nobody else brings it."""
    key, one, other = machine.key(), machine.process().flights, machine.process().flights
    first = asyncio.create_task(read(one, key, FREE))
    files = machine.folder.glob
    await eventually(lambda: any(path.stat().st_size for path in files("ingest/*/data")))
    follower = one_download()
    second = asyncio.create_task(read(other, key, follower))
    await eventually(lambda: other.followers == 1)
    (await follower.payer.pay_download()).end()  # while it follows
    machine.held.gate.set()
    assert await asyncio.gather(*[first, second]) == [CONTENT] * 2
    assert len(machine.registry.requests) == 1
    assert follower.paid == 1
