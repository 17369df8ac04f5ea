"""One device asks for a path that always fails: nobody else's pull is refused for it."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import aiohttp
import pytest

from facade.registries.failing_paths import DIGESTS_OF_A_DEVICE, FAILURES_OF_A_DIGEST
from tests.support.eventually import eventually
from tests.support.facade_process import Facade, device_session
from tests.support.facade_states import connect, pull_path
from tests.support.simulators.behaviour import Answers
from tests.support.simulators.registry import RegistrySimulator
from tests.support.statement_writer import StatementWriter
from tests.system.facade.stores import store_settings

LOOPS = 8
VICTIM_PULLS = 20


@pytest.fixture(scope="module")
def facade_settings(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """A facade that keeps what it fetches."""
    return store_settings(tmp_path_factory.mktemp("cache"))


async def ask(session: aiohttp.ClientSession, facade: Facade, path: str) -> tuple[int, str | None]:
    """Return the status of the answer, and when to come again."""
    async with session.get(f"https://localhost:{facade.port}{path}") as answer:
        await answer.read()
        return answer.status, answer.headers.get("Retry-After")


@asynccontextmanager
async def attack(facade: Facade, paths: list[str]) -> AsyncIterator[list[tuple[int, str | None]]]:
    """Have one device ask for paths again and again meanwhile; give what it is answered."""
    attacker = facade.device(facade.files.device_ca.issue_device(device="attacker"))
    answers: list[tuple[int, str | None]] = []
    async with device_session(attacker.tls()) as session:

        async def loop(first: int) -> None:
            numbers = itertools.count(first)
            while True:
                path = paths[next(numbers) % len(paths)]
                answers.append(await ask(session, facade, path))

        loops = [asyncio.create_task(loop(number)) for number in range(LOOPS)]
        try:
            yield answers
        finally:
            for each in loops:
                each.cancel()
            await asyncio.gather(*loops, return_exceptions=True)


@pytest.mark.parametrize(
    "kind, bad, reason", [("manifests", 1, "digest_failing"), ("blobs", 30, "device_failing")]
)
async def test_cold_pulls_of_other_devices_go_on(
    facade: Facade,
    writer: StatementWriter,
    upstream: RegistrySimulator,
    kind: str,
    bad: int,
    reason: str,
) -> None:
    """157 of 158 were answered 503 for 40 s, by a damaged manifest without any malice."""
    make = upstream.blob if kind == "blobs" else upstream.manifest
    contents = [f'{{"schemaVersion":2,"bad":{number}}}'.encode() for number in range(bad)]
    failing = [make(each, get=Answers(500), head=Answers(500)) for each in contents]
    good = [
        upstream.blob(f'{{"schemaVersion":2,"good":{each}}}'.encode())
        for each in range(VICTIM_PULLS)
    ]
    await connect(facade, writer, upstream)
    paths = [pull_path(upstream, each, kind=kind) for each in failing]
    statuses = []
    async with attack(facade, paths) as answers, device_session(facade.device().tls()) as victim:
        await eventually(lambda: len(answers) > 10 * LOOPS)
        for digest in good:
            status, _ = await ask(victim, facade, pull_path(upstream, digest, kind="blobs"))
            statuses.append(status)
    assert statuses == [200] * VICTIM_PULLS
    assert {status for status, _ in answers} == {503}
    assert all(retry_after for _, retry_after in answers)
    asked = [each for each in upstream.pulls if any(one in each.path for one in failing)]
    assert len(asked) < DIGESTS_OF_A_DEVICE * 2 * FAILURES_OF_A_DIGEST + LOOPS
    assert reason in facade.not_asked()
    assert not facade.log_lines(event="circuit opened")
