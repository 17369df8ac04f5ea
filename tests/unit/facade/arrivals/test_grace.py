"""How far a download goes on when its devices have left: for several, or as much again for one."""

import asyncio
import math
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facade.arrivals.flights import Flights
from facade.arrivals.grace import GRACE_BYTES, GRACE_DEVICES, GRACE_FACTOR, Grace
from facade.arrivals.want import Ends, Want
from facade.registries.payer import FREE
from facade.rights.right import Right
from facade.values.byte_range import ByteRanges
from facade.values.piece import PIECE_BYTES
from tests.support.eventually import eventually
from tests.support.simulators.behaviour import Holds, Slow
from tests.support.simulators.registry import RegistrySimulator
from tests.unit.facade.conftest import Connect
from tests.unit.facade.content.downloads import LARGE
from tests.unit.facade.content.machine import CONNECTION, Machine, Process, right_to

CAME: Final = 2 * PIECE_BYTES  # when the devices leave
LONG: Final = LARGE * 8
assert len(LONG) > 4 * CAME


@given(
    devices=st.integers(1, 5),
    reached=st.integers(0, 4 * GRACE_BYTES),
    wanted=st.integers(0, 2**40) | st.just(math.inf),
)
def test_nobody_has_more_fetched_than_was_asked_for(
    devices: int, reached: int, wanted: float
) -> None:
    """And one device alone no more than as much again as it waited for."""
    end = Grace().end(devices, reached, wanted)
    assert 0 <= end <= wanted
    if devices < GRACE_DEVICES:
        assert end <= GRACE_FACTOR * reached
        assert end == 0 or reached >= GRACE_BYTES


@pytest.fixture
async def machine(connect: Connect, tmp_path: Path) -> AsyncIterator[Machine]:
    """A machine that runs nothing yet."""
    async with RegistrySimulator() as registry:
        machine = Machine(registry, connect, tmp_path)
        yield machine
        await machine.stop()


async def leave(flights: Flights, key: Right, devices: list[str], wanted: int | None) -> None:
    """Have devices ask for bytes, and leave when some have come."""

    async def read(device: str) -> None:
        first = ByteRanges(((0, wanted - 1),)) if wanted is not None else None
        async with flights.join(CONNECTION, key, FREE, device, first) as arrival:
            want = _want(wanted)
            arrival.want(want)
            await eventually(lambda: arrival.reached >= min(CAME, wanted or CAME))
            arrival.leave(want)

    await asyncio.gather(*map(read, devices))


async def came(process: Process, key: Right) -> int:
    """Return how many bytes there are when nothing more comes."""
    await process.flights.land()
    data = process.store.layout.flight(key) / "data"
    return data.stat().st_size if data.exists() else len(LONG)


@pytest.mark.parametrize("wanted", [1, None], ids=["a byte", "all"])
@pytest.mark.parametrize("devices", [["one"], ["one", "one", "one"]], ids=["once", "three times"])
async def test_one_device_that_leaves_early_ends_it(
    machine: Machine, devices: list[str], wanted: int | None
) -> None:
    """However often it joined: devices are counted, not joins. What came is kept."""
    holds = Holds(CAME)
    key, process = right_to(machine.registry.blob(LONG, get=holds)), machine.process()
    await leave(process.flights, key, devices, wanted)
    holds.gate.set()
    assert CAME - PIECE_BYTES <= await came(process, key) <= CAME


async def test_who_leaves_when_it_is_let_in_wants_nothing_more(machine: Machine) -> None:
    """Before anybody has noted what it wants: else all would be fetched for it while one stays."""
    holds = Holds(CAME)
    key, process = right_to(machine.registry.blob(LONG, get=holds)), machine.process()

    async def glance() -> None:
        async with process.flights.join(CONNECTION, key, FREE, "two", None):
            pass

    glancing = asyncio.create_task(glance())
    async with process.flights.join(CONNECTION, key, FREE, "one", ByteRanges(((0, 0),))) as arrival:
        await glancing
        await eventually(lambda: arrival.reached > 0)
        begun = process.flights._flights[key]._begun  # noqa: SLF001 - nothing else tells
        assert begun is not None
        assert begun.wants  # what the one who stays came for
        assert not any(each.is_all for each in begun.wants)
    holds.gate.set()


async def test_what_a_device_was_given_is_kept_though_another_one_wants_what_lies_far(
    machine: Machine,
) -> None:
    """It was given before it was written. If it never were, the flight would stay for a minute."""
    key, process = right_to(machine.registry.blob(LONG)), machine.process()

    async def glance() -> None:
        async with process.flights.join(CONNECTION, key, FREE, "two", None):
            pass

    glancing, last = asyncio.create_task(glance()), len(LONG) - 1
    while key not in process.flights._flights:  # noqa: SLF001, ASYNC110 - at first it asks for all
        await asyncio.sleep(0)
    far = ByteRanges(((last, last),))
    async with process.flights.join(CONNECTION, key, FREE, "one", far) as arrival:
        await glancing
        want = Want(last, last + 1, Ends.WITH_ITS_BYTES, is_all=False)
        arrival.want(want)
        assert await arrival.sendable(want) == last + 1
        begun = process.flights._flights[key]._begun  # noqa: SLF001 - nothing else tells
        assert begun is not None
        await eventually(lambda: not begun.is_ahead)
        assert begun.come.run_end(0) > 0
        arrival.leave(want)
    await eventually(lambda: key not in process.flights._flights)  # noqa: SLF001


async def test_two_devices_have_it_go_on(machine: Machine) -> None:
    """A third one asks soon, perhaps."""
    holds = Holds(CAME)
    key, process = right_to(machine.registry.blob(LONG, get=holds)), machine.process()
    await leave(process.flights, key, ["one", "two"], None)
    holds.gate.set()
    await eventually(lambda: process.store.has(key.key.digest))


async def test_it_goes_no_further_than_they_asked(machine: Machine) -> None:
    """One byte earns no gigabytes, whoever asks for it."""
    key = right_to(machine.registry.blob(LONG, get=Slow(PIECE_BYTES, 0.01)))
    process = machine.process()
    await leave(process.flights, key, ["one", "two"], CAME + PIECE_BYTES)
    await eventually(lambda: key not in process.flights._flights)  # noqa: SLF001 - nothing else tells
    assert CAME <= await came(process, key) < len(LONG)


async def test_a_blob_that_is_read_in_one_range_after_the_other_is_kept_in_the_end(
    machine: Machine,
) -> None:
    """Each range is a flight of its own, and nobody ever waits for the proof."""
    key, process = right_to(machine.registry.blob(LONG)), machine.process()
    for first in range(0, len(LONG), CAME):
        end = min(len(LONG), first + CAME)
        asked = ByteRanges(((first, end - 1),))
        async with process.flights.join(CONNECTION, key, FREE, "one", asked) as arrival:
            want = Want(first, end, Ends.WITH_ITS_BYTES, is_all=False)
            arrival.want(want)
            while want.at < end:
                want.at = await arrival.sendable(want)
            arrival.leave(want)
        await eventually(lambda: not process.flights.brings(key))
    await eventually(lambda: process.store.has(key.key.digest))


async def test_one_that_waited_for_much_has_as_much_again(machine: Machine) -> None:
    """It was killed, perhaps, and comes back."""
    key = right_to(machine.registry.blob(LONG, get=Slow(PIECE_BYTES, 0.01)))
    process = machine.process(grace=Grace(least_bytes=CAME))
    await leave(process.flights, key, ["one"], None)
    await eventually(lambda: key not in process.flights._flights)  # noqa: SLF001 - nothing else tells
    assert CAME < await came(process, key) < len(LONG)


async def test_whoever_comes_back_ends_the_grace(machine: Machine) -> None:
    """It is read to its end."""
    holds = Holds(CAME)
    key = right_to(machine.registry.blob(LONG, get=holds))
    process = machine.process()
    await leave(process.flights, key, ["one", "two"], PIECE_BYTES + CAME)
    again = asyncio.create_task(_whole(process.flights, key))
    await asyncio.sleep(0)
    holds.gate.set()
    assert await again == LONG


async def _whole(flights: Flights, key: Right) -> bytes:
    async with flights.join(CONNECTION, key, FREE, "two") as arrival:
        length = arrival.length or 0
        want = Want.whole(length)
        arrival.want(want)
        while want.at < length:
            want.at = await arrival.sendable(want)
        return bytes(await arrival.read(0, length))


def _want(end: int | None) -> Want:
    return Want.whole(len(LONG)) if end is None else Want(0, end, Ends.WITH_ITS_BYTES, is_all=False)
