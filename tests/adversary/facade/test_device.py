"""A device with a good certificate that does its worst, while another asks for a warm manifest."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from facade.values.byte_range import MAX_RANGES
from shared.outside_bytes import Party
from tests.adversary.watch import Target, Watch
from tests.support.facade_process import Device, Facade, device_session
from tests.support.facade_states import connect, pull_path
from tests.support.simulators.behaviour import Answers
from tests.support.simulators.registry import RegistrySimulator
from tests.support.statement_writer import StatementWriter

pytestmark = pytest.mark.attack
LOOPS = 8
COLD_PULLS = 100
PATTERNS = 256
LARGE = 64 * 1024 * 1024
MAX_LOG_BYTES = 32 * 1024 * 1024  # of one attack: 33 GB an hour are 92 MB in ten seconds
NOWHERE = "/v2/nowhere.example/app/manifests/latest"


@asynccontextmanager
async def flood(
    device: Device, target: str, *, pipelined: int, ranges: str | None = None
) -> AsyncIterator[None]:
    """Have a process ask for a target on many connections meanwhile."""
    flooding = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.adversary.flood", str(device.facade.port), target),
        *("--ca", str(device.facade.files.folder / "server-ca.pem")),
        *("--certificate", str(device.files.certificate), "--key", str(device.files.key)),
        *("--pipelined", str(pipelined)),
        *([] if ranges is None else ["--ranges", ranges]),
    )
    try:
        yield
    finally:
        flooding.kill()
        await flooding.wait()


def attacker(facade: Facade) -> Device:
    """Return a device that is not the victim."""
    return facade.device(facade.files.device_ca.issue_device(device="attacker"))


@pytest.mark.parametrize("pipelined", [1, 100])
async def test_a_device_that_asks_as_fast_as_it_can(
    watch: Watch, target: Target, facade: Facade, pipelined: int
) -> None:
    """20,000 a second took a core, and wrote 33 GB an hour."""
    before = len(facade.log_text)
    name = f"32 connections, {pipelined} requests at once on each"
    async with (
        watch("W5", name, Party.DEVICE, target) as attack,
        flood(attacker(facade), NOWHERE, pipelined=pipelined),
    ):
        await attack.to_its_end()
    assert len(facade.log_text) - before < MAX_LOG_BYTES


async def test_a_device_that_asks_for_a_path_that_fails(
    watch: Watch,
    target: Target,
    facade: Facade,
    own_writer: StatementWriter,
    upstream: RegistrySimulator,
) -> None:
    """157 of 158 cold pulls of other devices at that connection were answered 503."""
    bad = upstream.blob(b"bad", get=Answers(500), head=Answers(500))
    good = [upstream.blob(f"good {each}".encode()) for each in range(COLD_PULLS)]
    await connect(facade, own_writer, upstream)
    attacked = f"https://localhost:{facade.port}{pull_path(upstream, bad)}"
    async with (
        device_session(attacker(facade).tls()) as session,
        device_session(facade.device().tls()) as another,
        watch("V4", "one path that answers 500, 8 loops", Party.DEVICE, target) as attack,
    ):

        async def loop() -> None:
            while attack.goes_on:
                async with session.get(attacked) as answer:
                    assert answer.status == 503

        loops = [asyncio.create_task(loop()) for _ in range(LOOPS)]
        statuses = []
        for digest in good:
            url = f"https://localhost:{facade.port}{pull_path(upstream, digest)}"
            async with another.get(url) as answer:
                statuses.append(answer.status)
                await answer.read()
        await asyncio.gather(*loops)
    assert statuses == [200] * COLD_PULLS


async def test_a_device_that_asks_for_a_name_that_many_patterns_nearly_fit(
    watch: Watch,
    target: Target,
    facade: Facade,
    own_writer: StatementWriter,
    upstream: RegistrySimulator,
) -> None:
    """395 ms for each refused pull, with nastier patterns 9 s."""
    patterns = ["/".join(["**", "*"] * 40 + [f"z{each}"]) for each in range(PATTERNS)]
    await connect(facade, own_writer, upstream, repositories=patterns)
    repository = "/".join(["a"] * 60)
    path = pull_path(upstream, f"sha256:{'0' * 64}", kind="manifests", repository=repository)
    async with (
        watch("V14", "256 patterns with stars", Party.DEVICE, target) as attack,
        flood(attacker(facade), path, pipelined=1),
    ):
        await attack.to_its_end()


def one_byte_ranges(count: int, stride: int) -> str:
    """Return what asks for so many single bytes, each in another piece of the store's."""
    return "bytes=" + ",".join(f"{at * stride}-{at * stride}" for at in range(count))


RANGES = {
    "1,024 of one byte": one_byte_ranges(MAX_RANGES, LARGE // MAX_RANGES),
    "as many as 32 KiB hold": one_byte_ranges(2000, 100),
    "32 KiB of nonsense": "bytes=" + "x-" * 16_000,
    "the whole, a hundred times": "bytes=" + ",".join(["0-"] * 100),
}


@pytest.mark.parametrize("ranges", RANGES.values(), ids=RANGES)
async def test_a_device_that_asks_for_a_thousand_ranges(
    watch: Watch,
    target: Target,
    facade: Facade,
    own_writer: StatementWriter,
    upstream: RegistrySimulator,
    ranges: str,
) -> None:
    """The smallest parts of a stored blob, on 32 connections, and what is no range at all."""
    digest = upstream.blob(bytes(LARGE))
    await connect(facade, own_writer, upstream)
    path = pull_path(upstream, digest)
    assert (await facade.device().get(path)).status == 200
    name = next(each for each in RANGES if RANGES[each] == ranges)
    async with (
        watch("ranges", name, Party.DEVICE, target) as attack,
        flood(attacker(facade), path, pipelined=1, ranges=ranges),
    ):
        await attack.to_its_end()
