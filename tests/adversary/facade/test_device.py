"""A device with a good certificate that does its worst, while another asks for a warm manifest."""

import asyncio
from contextlib import AbstractAsyncContextManager

import pytest

from shared.outside_bytes import Party
from tests.adversary.bounds import patient
from tests.adversary.facade.attacked import AttackedFacade
from tests.adversary.guards import bounds, check
from tests.adversary.programs import as_device, running
from tests.support.eventually import eventually
from tests.support.facade_process import Device, device_session
from tests.support.facade_states import pull_path
from tests.support.simulators.behaviour import Answers

pytestmark = pytest.mark.attack
LOOPS = 8
COLD_PULLS = 100
PATTERNS = 256
LARGE = 64 * 1024 * 1024
REFUSALS = 8000  # of one attack at the least, however long that takes
MAX_LOG_BYTES = 2 * 1024 * 1024  # of them; with a line for each, more
REFUSED_SECONDS = patient(60.0)
NOWHERE = "/v2/nowhere.example/app/manifests/latest"


def flood(
    device: Device, path: str, *, pipelined: int = 1, ranges: str | None = None
) -> AbstractAsyncContextManager[None]:
    """Have a process ask for a path on many connections meanwhile."""
    return running(
        "flood",
        *(str(device.facade.port), path),
        *as_device(device),
        *("--pipelined", str(pipelined)),
        *([] if ranges is None else ["--ranges", ranges]),
    )


@bounds(
    "facade.answers.repeated_refusals.TOLD_AT_ONCE",
    "facade.answers.repeated_refusals.OF_ONE_DEVICE_AT_ONCE",
)
@pytest.mark.parametrize("pipelined", [1, 100])
async def test_a_device_that_asks_as_fast_as_it_can(
    attacked: AttackedFacade, pipelined: int
) -> None:
    """20,000 a second took a core, and wrote 33 GB an hour."""
    before = len(attacked.facade.log_text)
    name = f"32 connections, {pipelined} requests at once on each"
    async with (
        attacked.watched(name, Party.DEVICE) as attack,
        flood(attacked.attacker(), NOWHERE, pipelined=pipelined),
    ):
        await attack.to_its_end()
        await eventually(
            lambda: attacked.metric("facade_refused_total") > REFUSALS, REFUSED_SECONDS
        )
    assert len(attacked.facade.log_text) - before < MAX_LOG_BYTES


@check(
    "facade/registries/failing_paths.py",
    "            sum(1 for devices in devices_of if devices - {left_out}) >= DIGESTS_TO_OPEN\n",
    "            sum(1 for devices in devices_of if devices - {left_out}) >= 0\n",
)
async def test_a_device_that_asks_for_a_path_that_fails(attacked: AttackedFacade) -> None:
    """157 of 158 cold pulls of other devices at that connection were answered 503."""
    url = f"https://localhost:{attacked.facade.port}"
    bad = url + attacked.blob(b"bad", get=Answers(500), head=Answers(500))
    good = [url + attacked.blob(f"good {each}".encode()) for each in range(COLD_PULLS)]
    await attacked.connect()
    async with (
        device_session(attacked.attacker().tls()) as session,
        device_session(attacked.attacker("another").tls()) as another,
        attacked.watched("one path that answers 500, 8 loops", Party.DEVICE) as attack,
    ):

        async def loop() -> None:
            while attack.goes_on:
                async with session.get(bad) as answer:
                    assert answer.status == 503

        loops = [asyncio.create_task(loop()) for _ in range(LOOPS)]
        statuses = []
        for each in good:
            async with another.get(each) as answer:
                statuses.append(answer.status)
                await answer.read()
        await asyncio.gather(*loops)
    assert statuses == [200] * COLD_PULLS


@check(
    "shared/repository_pattern.py",
    "        matched = self._begins\n",
    "        matched = self._begins * (sum(range(10_000_000)) > 0)\n",
)
async def test_a_device_that_asks_for_a_name_that_many_patterns_nearly_fit(
    attacked: AttackedFacade,
) -> None:
    """395 ms for each refused pull, with nastier patterns 9 s."""
    patterns = ["/".join(["**", "*"] * 40 + [f"z{each}"]) for each in range(PATTERNS)]
    await attacked.connect(repositories=patterns)
    repository = "/".join(["a"] * 60)
    digest = f"sha256:{'0' * 64}"
    path = pull_path(attacked.registry, digest, kind="manifests", repository=repository)
    async with (
        attacked.watched("256 patterns with stars", Party.DEVICE) as attack,
        flood(attacked.attacker(), path),
    ):
        await attack.to_its_end()


def one_byte_ranges(count: int, stride: int) -> str:
    """Return what asks for so many single bytes, each in another piece of the store's."""
    return "bytes=" + ",".join(f"{at * stride}-{at * stride}" for at in range(count))


RANGES = {
    "1,024 of one byte": one_byte_ranges(1024, LARGE // 1024),
    "as many as 32 KiB hold": one_byte_ranges(2000, 100),
    "32 KiB of nonsense": "bytes=" + "x-" * 16_000,
    "the whole, a hundred times": "bytes=" + ",".join(["0-"] * 100),
}


@bounds(
    "facade.serving.config.device_requests_per_second",
    "facade.pulls.blob_body.STEPS_A_TURN",
    "facade.pulls.blob_body.PARTS_A_STEP",
    "facade.values.byte_range.MAX_OVERLAPPING",
    "facade.values.byte_range.MAX_RANGES",
)
@pytest.mark.parametrize("kind", RANGES)
async def test_a_device_that_asks_for_a_thousand_ranges(
    attacked: AttackedFacade, kind: str
) -> None:
    """The smallest parts of a stored blob, on 32 connections, and what is no range at all."""
    path = attacked.blob(bytes(LARGE))
    await attacked.connect()
    assert (await attacked.attacker("first").get(path)).status == 200
    async with (
        attacked.watched(f"ranges: {kind}", Party.DEVICE) as attack,
        flood(attacked.attacker(), path, ranges=RANGES[kind]),
    ):
        await attack.to_its_end()
