"""What a registry does not have, or sends wrong, it is not asked for by every device of a fleet."""

import asyncio
import random
from collections.abc import Mapping

import pytest

from facade.values.piece import PIECE_BYTES
from tests.support.device_stream import End
from tests.support.eventually import eventually
from tests.support.facade_database import FacadeDatabase
from tests.support.facade_process import Answer, Device, Facade
from tests.support.facade_states import USERNAME, connect, pull_path
from tests.support.forgotten import Forgotten
from tests.support.simulators.behaviour import Answers, Honest, OtherBytes, Stalls
from tests.support.simulators.login import BasicLogin
from tests.support.simulators.registry import RegistrySimulator
from tests.support.simulators.wire import RecordedRequest
from tests.support.statement_writer import StatementWriter
from tests.system.facade.conftest import StartFacade
from tests.system.facade.pulls import outcome_of
from tests.system.facade.stores import store_settings

FLEET = 100
REMEMBERED_SECONDS = 3  # what is missing, where a test waits for its end
MISSING = f"sha256:{'5' * 64}"
MANIFEST = b'{"schemaVersion":2,"config":{},"layers":[]}'
LARGE = random.Random(11).randbytes(4 * PIECE_BYTES)  # noqa: S311 - any bytes will do


@pytest.fixture(scope="module")
def facade_settings(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """A facade that keeps what it fetches, and remembers for longer than a fleet takes to ask."""
    cache = tmp_path_factory.mktemp("cache")
    return store_settings(cache) | {"FACADE_REMEMBER_MISSING": "10m"}


@pytest.fixture
def device(facade: Facade) -> Device:
    """A good device."""
    return facade.device()


async def fleet_asks(facade: Facade, path: str, method: str = "GET") -> list[Answer]:
    """Have a fleet ask at once."""
    ca = facade.files.device_ca
    devices = [facade.device(ca.issue_device(device=f"press-{each}")) for each in range(FLEET)]
    return await asyncio.gather(*(device.get(path, method=method) for device in devices))


def asked_with_credential(upstream: RegistrySimulator) -> list[RecordedRequest]:
    """Return the requests for content, without those by which a login was found to be needed."""
    return [request for request in upstream.pulls if request.header("Authorization") is not None]


@pytest.mark.parametrize("kind", ["blobs", "manifests"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_fleet_that_asks_for_what_is_missing_is_one_request(
    facade: Facade, writer: StatementWriter, upstream: RegistrySimulator, kind: str, method: str
) -> None:
    """A rollout of a wrong digest: a thousand devices, and they all try again."""
    await connect(facade, writer, upstream)
    path = pull_path(upstream, MISSING, kind=kind)
    answers = await fleet_asks(facade, path, method)
    assert {answer.status for answer in answers} == {404}
    expected = {"blobs": "BLOB_UNKNOWN", "manifests": "MANIFEST_UNKNOWN"}[kind]
    assert (await facade.device().get(path)).error_code == expected
    assert len(asked_with_credential(upstream)) == 1
    assert "missing" in facade.not_asked()


async def test_an_absence_is_of_one_repository_and_one_kind(
    facade: Facade, writer: StatementWriter, upstream: RegistrySimulator, device: Device
) -> None:
    """It says nothing of any other place."""
    elsewhere = upstream.blob(b"content", repository="team/other")
    await connect(facade, writer, upstream)
    assert (await device.get(pull_path(upstream, elsewhere))).status == 404
    there = pull_path(upstream, elsewhere, repository="team/other")
    assert (await device.get(there)).body == b"content"


async def test_an_absence_ends_with_the_access_key(
    facade: Facade, writer: StatementWriter, upstream: RegistrySimulator, device: Device
) -> None:
    """Another secret may see more: whoever rotates it does not wait for half a minute."""
    approval = await connect(facade, writer, upstream)
    late = pull_path(upstream, upstream.blob(b"late", get=Answers(404)))
    assert (await device.get(late)).status == 404
    upstream.blob(b"late")
    assert (await device.get(late)).status == 404
    upstream.login = BasicLogin(USERNAME, "another token")
    rotated = {"token": "another token", "secret_version": 2}
    await connect(facade, writer, upstream, connection_id=approval.connection_id, **rotated)
    assert (await device.get(late)).body == b"late"


@pytest.mark.parametrize("status", [401, 403, 429, 500, 503])
async def test_what_may_be_there_is_asked_for_again(
    facade: Facade,
    writer: StatementWriter,
    upstream: RegistrySimulator,
    device: Device,
    status: int,
) -> None:
    """A refusal, a limit or a failure is not an absence, and never answered as one."""
    digest = upstream.blob(b"content", get=Answers(status))
    await connect(facade, writer, upstream)
    assert (await device.get(pull_path(upstream, digest))).status != 404
    upstream.blob(b"content")

    async def is_served() -> bool:
        answer = await device.get(pull_path(upstream, digest))
        assert answer.status != 404
        return answer.status == 200

    if status not in (401, 403):  # a refused credential is left alone for its own half a minute
        await eventually(is_served)


@pytest.mark.parametrize("kind", ["blobs", "manifests"])
async def test_wrong_bytes_are_not_downloaded_for_every_device(
    facade: Facade,
    writer: StatementWriter,
    upstream: RegistrySimulator,
    device: Device,
    kind: str,
) -> None:
    """A corrupted object of many GiB, and a fleet that tries again as soon as it is cut."""
    serve = upstream.blob if kind == "blobs" else upstream.manifest
    content = MANIFEST + b" " * random.Random(kind).randrange(9)  # noqa: S311 - for a digest
    digest = serve(content, get=OtherBytes())
    await connect(facade, writer, upstream)
    path = pull_path(upstream, digest, kind=kind)
    assert (await device.get(path)).status == 502
    told = await device.get(path)
    assert (told.status, told.error_code) == (502, "UNAVAILABLE")
    assert 1 <= int(told.headers["Retry-After"]) <= 60
    assert (await device.get(path, method="HEAD")).status == 502
    for _ in range(20):
        assert (await device.get(path)).status == 502
    gets = [request for request in asked_with_credential(upstream) if request.method == "GET"]
    assert len(gets) <= 8  # one at first, and what a slow machine's seconds allow
    assert "wrong_bytes" in facade.not_asked()
    serve(content, get=Honest())

    async def is_right() -> bool:
        return (await device.get(path)).body == content

    await eventually(is_right)


async def test_a_large_blob_that_came_wrong_is_refused_before_its_headers(
    facade: Facade, writer: StatementWriter, upstream: RegistrySimulator, device: Device
) -> None:
    """The first one is cut before its last piece; who comes next is told at once."""
    digest = upstream.blob(LARGE, get=OtherBytes())
    await connect(facade, writer, upstream)
    first = await outcome_of(device, pull_path(upstream, digest))
    assert (first.status, first.end) == (200, End.RESET)
    assert first.received < len(LARGE)

    async def is_refused() -> bool:
        """At once, or when a slow machine has brought it again: each time it is for longer."""
        again = await outcome_of(device, pull_path(upstream, digest))
        return (again.status, again.error_code) == (502, "UNAVAILABLE")

    await eventually(is_refused)


async def test_a_facade_that_keeps_nothing_remembers_too(
    start_facade: StartFacade,
    own_writer: StatementWriter,
    own_database: FacadeDatabase,
    upstream: RegistrySimulator,
) -> None:
    """What is missing, for as long as is configured; what came wrong; and who is silent is slow."""
    settings = {"FACADE_REMEMBER_MISSING": f"{REMEMBERED_SECONDS}s"}
    facade = start_facade(own_writer, own_database.facade_url, settings)
    await connect(facade, own_writer, upstream)
    device, late = facade.device(), upstream.blob(b"late", get=Answers(404))
    forgotten = Forgotten.after(REMEMBERED_SECONDS)
    pulls = (device.get(pull_path(upstream, late)) for _ in range(20))
    assert {answer.status for answer in await asyncio.gather(*pulls)} == {404}
    assert len(asked_with_credential(upstream)) <= 1 + forgotten.times
    upstream.blob(b"late")

    async def is_found() -> bool:
        return (await device.get(pull_path(upstream, late))).status == 200

    await eventually(is_found)
    wrong = pull_path(upstream, upstream.blob(b"wrong", get=OtherBytes()))
    assert (await device.get(wrong)).status == 502
    assert "Retry-After" in (await device.get(wrong)).headers
    assert facade.stop() == 0
    facade.environment["FACADE_UPSTREAM_TIMEOUT"] = "1s"  # too short for twenty pulls at once
    facade.restart()
    silent = [
        pull_path(upstream, upstream.blob(b"silent", get=Stalls(), head=Stalls())),
        pull_path(upstream, upstream.manifest(b"{}", get=Stalls()), kind="manifests"),
    ]
    for answer in await asyncio.gather(*(device.get(path) for path in silent)):
        assert (answer.status, answer.error_code) == (504, "UNAVAILABLE")
        assert 1 <= int(answer.headers["Retry-After"]) <= 60
    assert (await device.get(silent[0], method="HEAD")).status == 504
