"""A device that asks as fast as it can is answered so much, and others are not slower for it."""

from collections.abc import Mapping

import pytest

from facade.pulls.device_requests import BURST_SECONDS, RANGES_A_REQUEST
from facade.values.byte_range import MAX_RANGES
from tests.support.facade_process import Facade
from tests.support.facade_states import connect, pull_path
from tests.support.raw_http import RawAnswer, raw_connection, request_bytes
from tests.support.simulators.registry import RegistrySimulator
from tests.support.statement_writer import StatementWriter
from tests.system.facade.stores import store_settings

PER_SECOND = 2
BURST = int(PER_SECOND * BURST_SECONDS)
MANIFEST = b'{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json"}'


@pytest.fixture(scope="module")
def facade_settings(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """A facade that answers few requests of a device, and keeps what it fetches."""
    return {
        **store_settings(tmp_path_factory.mktemp("cache")),
        "FACADE_DEVICE_REQUESTS_PER_SECOND": str(PER_SECOND),
    }


@pytest.mark.parametrize("what", ["warm", "refused"])
async def test_a_device_that_floods_is_told_to_come_later(
    facade: Facade, writer: StatementWriter, upstream: RegistrySimulator, what: str
) -> None:
    """Whatever it asks for: a warm manifest, from memory, or what is refused anyway."""
    digest = upstream.manifest(MANIFEST, media_type="application/vnd.oci.image.manifest.v1+json")
    await connect(facade, writer, upstream)
    path = pull_path(upstream, digest, kind="manifests")
    asked = path if what == "warm" else "/v2/nowhere.example/app/manifests/latest"
    flooding = facade.device(facade.files.device_ca.issue_device(device=f"floods-{what}"))
    async with raw_connection(flooding) as one, raw_connection(flooding) as other:
        answers: list[RawAnswer] = []
        while not answers or answers[-1].status != 429:
            connection = one if len(answers) % 2 else other
            await connection.send(request_bytes(asked.encode()))
            answers.append(await connection.answer(to="GET"))
            assert len(answers) <= 2 * BURST
    answer = answers.pop()
    assert {each.status for each in answers} == {200 if what == "warm" else 404}
    assert len(answers) >= BURST
    assert int(answer.header("Retry-After") or "0") >= 1
    assert b"TOOMANYREQUESTS" in answer.body
    assert (await facade.device().get(path)).status == 200


async def test_many_ranges_are_counted_as_the_requests_that_they_cost(
    facade: Facade, writer: StatementWriter, upstream: RegistrySimulator
) -> None:
    """1,024 parts take as much as some thirty requests, and so many are counted."""
    content = bytes(2 * MAX_RANGES)
    digest = upstream.blob(content)
    await connect(facade, writer, upstream)
    device = facade.device(facade.files.device_ca.issue_device(device="many-ranges"))
    ranges = "bytes=" + ",".join(f"{at}-{at}" for at in range(0, 2 * MAX_RANGES, 2))
    head = request_bytes(
        pull_path(upstream, digest).encode(), headers=f"Range: {ranges}\r\n".encode()
    )
    answered = 0
    async with raw_connection(device) as connection:
        while True:
            await connection.send(head)
            answer = await connection.answer()
            if answer.status == 429:
                break
            assert answer.status == 206
            answered += 1
            assert answered <= BURST
    assert answered >= BURST // (MAX_RANGES // RANGES_A_REQUEST + 1) > 0
    assert answered < 2 * BURST // (MAX_RANGES // RANGES_A_REQUEST)
