"""Who may read what is stored: proven by whom, proven again when, and ended by what."""

import asyncio
import secrets
import sqlite3
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from attrs import frozen

from deploy.dev.processes import free_port
from facade.rights.background_proofs import PROOF_HOLDS_SECONDS
from facade.rights.rights import NOTICED_WITHIN_SECONDS
from facade.values.piece import PIECE_BYTES
from shared.oci import OCI_INDEX, OCI_MANIFEST, Digest
from shared.statement import ConnectionApproval
from tests.support.device_stream import device_stream
from tests.support.eventually import eventually
from tests.support.facade_database import FacadeDatabase
from tests.support.facade_process import Answer, Device, Facade
from tests.support.facade_states import CANARY_TOKEN, connect, pull_path, write_and_wait
from tests.support.simulators.behaviour import Answers, Behaviour, Holds, Slow, WebPage
from tests.support.simulators.registry import RegistrySimulator
from tests.support.statement_writer import StatementWriter
from tests.system.facade.conftest import StartFacade
from tests.system.facade.stores import store_settings
from tests.system.facade.test_store import stored, successful_gets, without_id

PIECES = 40  # of a blob that takes a while to read
SLOW_MANIFEST = Slow(8, 0.05)  # long enough that others ask, too
HERD = 8
NOWHERE = "postgresql://facade@127.0.0.1:{port}/nowhere"


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The module's cache folder."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def facade_settings(cache: Path) -> Mapping[str, str]:
    """A facade that keeps what it fetches."""
    return store_settings(cache)


@pytest.fixture
def manifest() -> bytes:
    """A manifest of the test's own: what is stored is stored for the whole module."""
    return b'{"schemaVersion":2,"config":{},"layers":[],"of":"%s"}' % secrets.token_hex(8).encode()


@pytest.fixture
def blob() -> bytes:
    """A blob of the test's own."""
    return secrets.token_bytes(5000)


@pytest.fixture(params=["blobs", "manifests"])
def kept(request: pytest.FixtureRequest, manifest: bytes, blob: bytes) -> "Kept":
    """A content of the test's own, as a blob and as a manifest."""
    return Kept("manifests", manifest) if request.param == "manifests" else Kept("blobs", blob)


@frozen
class Kept:
    """A content that is to be stored."""

    kind: str
    content: bytes

    @property
    def digest(self) -> str:
        """What names it."""
        return str(Digest.of(self.content))

    def served_by(self, upstream: RegistrySimulator, **how: Any) -> str:
        """Have a registry serve it; return its digest."""
        put = upstream.manifest if self.kind == "manifests" else upstream.blob
        return put(self.content, **how)

    async def pulled_by(self, device: Device, upstream: RegistrySimulator) -> Answer:
        """Pull it."""
        return await device.get(pull_path(upstream, self.digest, kind=self.kind))

    async def is_given_to(self, device: Device, upstream: RegistrySimulator) -> bool:
        """Tell whether the facade gives it now."""
        return (await self.pulled_by(device, upstream)).status == 200

    async def stored_for(
        self, facade: Facade, writer: StatementWriter, upstream: RegistrySimulator, **fields: Any
    ) -> tuple[Device, ConnectionApproval]:
        """Connect a registry that serves it; return a device that has read it."""
        self.served_by(upstream)
        approval = await connect(facade, writer, upstream, **fields)
        device = facade.device()
        assert (await self.pulled_by(device, upstream)).body == self.content
        await stored(facade, self.digest)
        return device, approval


async def test_a_herd_is_one_fetch_of_a_manifest(
    facade: Facade, writer: StatementWriter, upstream: RegistrySimulator, manifest: bytes
) -> None:
    """Every rollout begins with one manifest that a thousand devices ask for at once."""
    upstream.manifest(manifest, get=SLOW_MANIFEST)
    await connect(facade, writer, upstream)
    pulled = Kept("manifests", manifest)
    answers = await asyncio.gather(
        *(pulled.pulled_by(facade.device(), upstream) for _ in range(HERD))
    )
    assert {(each.status, each.body) for each in answers} == {(200, manifest)}
    assert {each.headers["Content-Type"] for each in answers} == {OCI_MANIFEST}
    assert len(successful_gets(upstream)) == 1


async def test_who_asked_first_for_a_manifest_may_leave(
    facade: Facade, writer: StatementWriter, upstream: RegistrySimulator, manifest: bytes
) -> None:
    """The fetch belongs to everybody who waits for it."""
    digest = upstream.manifest(manifest, get=SLOW_MANIFEST)
    await connect(facade, writer, upstream)
    device, path = facade.device(), pull_path(upstream, digest, kind="manifests")
    first = asyncio.create_task(device.get(path))
    await eventually(lambda: len(successful_gets(upstream)) == 1)
    second = asyncio.create_task(device.get(path))
    await asyncio.sleep(0.05)  # it has joined, or comes late: both are right
    first.cancel()
    await asyncio.wait([first])
    assert (await second).body == manifest
    assert len(successful_gets(upstream)) == 1


async def test_a_failed_fetch_of_a_manifest_is_everybodys_and_is_not_remembered(
    facade: Facade, writer: StatementWriter, upstream: RegistrySimulator, manifest: bytes
) -> None:
    """A herd is not five failures that open the circuit breaker."""
    kept = Kept("manifests", manifest)
    kept.served_by(upstream, get=Answers(500))
    await connect(facade, writer, upstream)
    answers = await asyncio.gather(
        *(kept.pulled_by(facade.device(), upstream) for _ in range(HERD))
    )
    assert {each.status for each in answers} == {503}
    assert len(successful_gets(upstream)) < HERD
    kept.served_by(upstream)
    await eventually(lambda: kept.is_given_to(facade.device(), upstream))


async def test_two_processes_fetch_a_manifest_once(
    own_writer: StatementWriter,
    own_database: FacadeDatabase,
    start_facade: StartFacade,
    upstream: RegistrySimulator,
    tmp_path: Path,
    manifest: bytes,
) -> None:
    """They share the cache folder and nothing else. Several: one looks as the other lets go."""
    several = [Kept("manifests", manifest + b"\n" * count) for count in range(8)]
    for kept in several:
        kept.served_by(upstream, get=SLOW_MANIFEST)
    settings = store_settings(tmp_path / "cache")
    first = start_facade(own_writer, own_database.facade_url, settings)
    second = start_facade(own_writer, own_database.facade_url, settings)
    approval = await connect(first, own_writer, upstream)
    await write_and_wait(second, own_writer, approval)
    answers = await asyncio.gather(
        *(
            kept.pulled_by(each.device(), upstream)
            for kept in several
            for each in (first, second, first, second)
        )
    )
    assert {each.status for each in answers} == {200}
    assert [each.body for each in answers] == [kept.content for kept in several for _ in range(4)]
    assert len(successful_gets(upstream)) == len(several)


async def test_another_repository_brings_a_manifest_of_its_own(
    facade: Facade, writer: StatementWriter, upstream: RegistrySimulator, manifest: bytes
) -> None:
    """What is stored is not every repository's; then it is kept for that one, too."""
    kept = Kept("manifests", manifest)
    device, _ = await kept.stored_for(facade, writer, upstream)
    path = pull_path(upstream, kept.digest, kind="manifests", repository="team/other")
    assert (await device.get(path)).error_code == "MANIFEST_UNKNOWN"
    upstream.manifest(manifest, repository="team/third")
    fetched = len(successful_gets(upstream))
    path = pull_path(upstream, kept.digest, kind="manifests", repository="team/third")
    for _ in range(2):
        answer = await device.get(path)
        assert (answer.body, answer.headers["Content-Type"]) == (manifest, OCI_MANIFEST)
    assert len(successful_gets(upstream)) == fetched + 1


def questions(upstream: RegistrySimulator, digest: str) -> list[tuple[str, dict[str, str]]]:
    """Return what the registry was asked for a digest, whole, and forget it."""
    asked = [(each.method, dict(each.headers)) for each in upstream.pulls if digest in each.path]
    upstream.requests.clear()
    return asked


CHALLENGE = (("WWW-Authenticate", 'Basic realm="simulator"'),)
# How a registry says no: some with a login page that is as good as any blob, until it is read.
DENIALS: dict[str, Behaviour] = {
    **{f"a {status}": Answers(status, CHALLENGE) for status in (401, 403, 404, 405)},
    "a web page": WebPage(),
    "a long web page": WebPage(b"<!doctype html>" * PIECE_BYTES),
    "another length": Answers(200, (("Content-Type", "application/json"),), b"{}"),
    "gzip": Answers(200, (("Content-Encoding", "gzip"),), b"no"),
}


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("denial", DENIALS)
async def test_who_has_no_right_sees_no_trace_of_what_is_stored(
    facade: Facade,
    writer: StatementWriter,
    upstream: RegistrySimulator,
    kept: Kept,
    method: str,
    denial: str,
) -> None:
    """The same questions as for what nobody has: the time told what another repository has."""
    device, _ = await kept.stored_for(facade, writer, upstream)
    denied = DENIALS[denial]
    nobodys = f"sha256:{secrets.token_hex(32)}"
    asked, answered = [], []
    for number, each in enumerate((kept.digest, nobodys)):
        repository = f"team/denied-{number}"  # a refusal is remembered for its repository
        kept.served_by(upstream, repository=repository, digest=each, get=denied, head=denied)
        upstream.requests.clear()
        path = pull_path(upstream, each, kind=kept.kind, repository=repository)
        answered.append(await ended(device, path, method))
        asked.append(questions(upstream, each))
    assert asked[0] == asked[1]
    assert asked[0]
    assert answered[0] == answered[1]


async def ended(device: Device, path: str, method: str) -> object:
    """Return how a request ended: what it was answered, or that it was cut."""
    try:
        answer = await device.get(path, method=method)
    except aiohttp.ClientError as error:
        return type(error)
    return answer.status, without_id(answer) if answer.status >= 400 and answer.body else None


async def test_who_has_no_right_sees_no_trace_of_what_arrives(
    facade: Facade, writer: StatementWriter, upstream: RegistrySimulator, blob: bytes
) -> None:
    """Of a download by another repository, too."""
    held = Holds(1000)
    arriving = upstream.blob(blob, get=held)
    await connect(facade, writer, upstream)
    device = facade.device()
    begun = asyncio.create_task(device.get(pull_path(upstream, arriving)))
    await eventually(lambda: len(successful_gets(upstream)) == 1)
    asked, answered = [], []
    for each in (arriving, f"sha256:{secrets.token_hex(32)}"):
        upstream.requests.clear()
        path = pull_path(upstream, each, repository="team/denied")
        answered.append(without_id(await device.get(path)))
        asked.append(questions(upstream, each))
    assert asked[0] == asked[1]
    assert asked[0]
    assert answered[0] == answered[1]
    held.gate.set()
    assert (await begun).body == blob


@pytest.mark.parametrize("head", [Answers(403), Answers(404), Answers(405)])
async def test_another_repository_without_head_brings_its_own_manifest(
    head: Answers,
    facade: Facade,
    writer: StatementWriter,
    upstream: RegistrySimulator,
    manifest: bytes,
) -> None:
    """Some registries have none: what GET is answered decides."""
    kept = Kept("manifests", manifest)
    device, _ = await kept.stored_for(facade, writer, upstream)
    upstream.manifest(manifest, repository="team/third", head=head)
    path = pull_path(upstream, kept.digest, kind="manifests", repository="team/third")
    assert (await device.get(path)).body == manifest


async def test_a_head_that_says_another_media_type_proves_nothing(
    facade: Facade, writer: StatementWriter, upstream: RegistrySimulator, manifest: bytes
) -> None:
    """Two media types are two meanings of the same bytes (CVE-2021-41190)."""
    kept = Kept("manifests", b'{"mediaType":"%s",' % OCI_MANIFEST.encode() + manifest[1:])
    device, _ = await kept.stored_for(facade, writer, upstream)
    upstream.manifest(kept.content, repository="team/third", media_type=OCI_INDEX)
    path = pull_path(upstream, kept.digest, kind="manifests", repository="team/third")
    assert (await device.get(path)).status == 502


async def test_a_registry_that_claims_everything_gains_nothing(
    facade: Facade,
    writer: StatementWriter,
    upstream: RegistrySimulator,
    bystander: RegistrySimulator,
    kept: Kept,
) -> None:
    """HEAD says 200 to whatever is asked: the stored digest looks as one that nobody has."""
    device, _ = await kept.stored_for(facade, writer, upstream)
    await connect(facade, writer, bystander)
    nobodys = f"sha256:{secrets.token_hex(32)}"
    for each in (kept.digest, nobodys):
        kept.served_by(bystander, get=Answers(404), head=Answers(200), digest=each)
    theirs = await kept.pulled_by(device, bystander)
    never = await device.get(pull_path(bystander, nobodys, kind=kept.kind))
    assert theirs.status == 404
    assert without_id(theirs) == without_id(never)
    assert kept.content not in theirs.body
    path = pull_path(bystander, kept.digest, kind=kept.kind)
    ranged = await device.get(path, Range="bytes=0-0")
    assert (ranged.status, without_id(ranged)) == (404, without_id(theirs))
    assert (await kept.pulled_by(device, upstream)).body == kept.content


async def test_a_claim_while_it_arrives_is_no_right_afterwards(
    facade: Facade,
    writer: StatementWriter,
    upstream: RegistrySimulator,
    bystander: RegistrySimulator,
    blob: bytes,
) -> None:
    """A connection begins to bring a digest, claims it for a second repository, and lies."""
    kept = Kept("blobs", blob)
    held = Holds(1000)
    bystander.blob(b"-" + blob[1:], get=held, digest=kept.digest)
    bystander.blob(blob, repository="team/second", get=Answers(404), head=Answers(200))
    await connect(facade, writer, bystander)
    device = facade.device()
    begun = asyncio.create_task(kept.pulled_by(device, bystander))
    await eventually(lambda: len(successful_gets(bystander)) == 1)
    second = pull_path(bystander, kept.digest, repository="team/second")
    assert (await device.get(second)).status == 404
    held.gate.set()
    assert (await begun).status == 502
    assert any("team/second" in each.path for each in bystander.pulls)
    await kept.stored_for(facade, writer, upstream)
    assert (await device.get(second)).status in (404, 502)


async def test_an_old_right_is_proven_again_while_it_is_used(
    facade: Facade, writer: StatementWriter, upstream: RegistrySimulator, cache: Path, kept: Kept
) -> None:
    """The reader is served from the store meanwhile; one question tells that all is as it was."""
    device, _ = await kept.stored_for(facade, writer, upstream)
    await age(cache, kept)
    upstream.requests.clear()
    reads = await asyncio.gather(*(kept.pulled_by(device, upstream) for _ in range(4)))
    assert {each.body for each in reads} == {kept.content}
    await eventually(lambda: is_young(cache, kept))
    assert (await kept.pulled_by(device, upstream)).status == 200
    asked = [(each.method, each.header("Range")) for each in upstream.pulls]
    assert asked == [("HEAD", None) if kept.kind == "manifests" else ("GET", "bytes=0-0")]


@pytest.mark.parametrize("status, answered", [(403, 502), (404, 404), (410, 404), (451, 403)])
async def test_a_denied_get_ends_the_right(
    facade: Facade,
    writer: StatementWriter,
    upstream: RegistrySimulator,
    cache: Path,
    blob: bytes,
    status: int,
    answered: int,
) -> None:
    """The next pull is one of a digest that nobody stores, until upstream gives it again."""
    kept = Kept("blobs", blob)
    device, _ = await kept.stored_for(facade, writer, upstream)
    kept.served_by(upstream, get=Answers(status))
    await age(cache, kept)
    assert (await kept.pulled_by(device, upstream)).body == kept.content
    await eventually(lambda: not access_keys(cache, kept))
    denied = await kept.pulled_by(device, upstream)
    assert denied.status == answered
    if answered != 404:  # which is remembered for half a minute
        kept.served_by(upstream)
        await eventually(lambda: kept.is_given_to(device, upstream))


async def test_a_refused_head_alone_ends_nothing(
    facade: Facade,
    writer: StatementWriter,
    upstream: RegistrySimulator,
    cache: Path,
    manifest: bytes,
) -> None:
    """Some registries have none: GET decides."""
    kept = Kept("manifests", manifest)
    device, _ = await kept.stored_for(facade, writer, upstream)
    kept.served_by(upstream, head=Answers(404))
    await age(cache, kept)
    assert (await kept.pulled_by(device, upstream)).status == 200
    await eventually(lambda: is_young(cache, kept))


@pytest.mark.parametrize("behaviour", [Answers(503), None])
async def test_an_upstream_that_is_away_ends_nothing(
    facade: Facade,
    writer: StatementWriter,
    upstream: RegistrySimulator,
    cache: Path,
    blob: bytes,
    behaviour: Behaviour | None,
) -> None:
    """What is stored and was proven goes on being served."""
    kept = Kept("blobs", blob)
    device, _ = await kept.stored_for(facade, writer, upstream)
    if behaviour is None:
        await upstream.__aexit__()
    else:
        kept.served_by(upstream, get=behaviour)
    await age(cache, kept)
    assert (await kept.pulled_by(device, upstream)).body == blob
    tried = {"event": "right to read not proven again, tried later", "digest": kept.digest}
    await eventually(lambda: bool(facade.log_lines(**tried)))
    assert access_keys(cache, kept)
    assert (await kept.pulled_by(device, upstream)).body == blob


async def test_a_new_secret_ends_the_right(
    facade: Facade, writer: StatementWriter, upstream: RegistrySimulator, cache: Path, blob: bytes
) -> None:
    """It may see less than the one before, so upstream is asked anew."""
    kept = Kept("blobs", blob)
    device, approval = await kept.stored_for(facade, writer, upstream)
    await rotate(facade, writer, upstream, approval)
    await eventually(lambda: not access_keys(cache, kept))
    kept.served_by(upstream, get=Answers(403))
    assert (await kept.pulled_by(device, upstream)).status == 502
    assert CANARY_TOKEN not in facade.log_text


async def test_a_running_pull_survives_a_new_secret(
    facade: Facade, writer: StatementWriter, upstream: RegistrySimulator, blob: bytes
) -> None:
    """It was authorised when it began."""
    held = Holds(1000)
    digest = upstream.blob(blob, get=held)
    approval = await connect(facade, writer, upstream)
    device = facade.device()
    running = asyncio.create_task(device.get(pull_path(upstream, digest)))
    await eventually(lambda: len(successful_gets(upstream)) == 1)
    await rotate(facade, writer, upstream, approval)
    held.gate.set()
    assert (await running).body == blob


async def test_a_new_scope_keeps_the_right(
    facade: Facade, writer: StatementWriter, upstream: RegistrySimulator, kept: Kept
) -> None:
    """Upstream is asked nothing: the same credential may see the same."""
    device, approval = await kept.stored_for(facade, writer, upstream)
    scope = {"connection_id": approval.connection_id, "fleets": ("line-a", "line-b")}
    await connect(facade, writer, upstream, **scope)
    upstream.requests.clear()
    assert (await kept.pulled_by(device, upstream)).body == kept.content
    assert upstream.requests == []


async def test_a_revocation_ends_the_right_at_once(
    facade: Facade, writer: StatementWriter, upstream: RegistrySimulator, cache: Path, blob: bytes
) -> None:
    """The same registry, connected again, has to bring the bytes again."""
    kept = Kept("blobs", blob)
    device, approval = await kept.stored_for(facade, writer, upstream)
    await write_and_wait(facade, writer, writer.revocation(approval.connection_id))
    await eventually(lambda: not access_keys(cache, kept))
    await connect(facade, writer, upstream)
    upstream.requests.clear()
    assert (await kept.pulled_by(device, upstream)).body == kept.content
    assert len(successful_gets(upstream)) == 1


async def test_a_revocation_ends_the_right_also_while_the_facade_is_stopped(
    own_writer: StatementWriter,
    own_database: FacadeDatabase,
    start_facade: StartFacade,
    upstream: RegistrySimulator,
    bystander: RegistrySimulator,
    tmp_path: Path,
    manifest: bytes,
    blob: bytes,
) -> None:
    """At the start, once the database says what serves; before that nothing is ended."""
    cache = tmp_path / "cache"
    facade = start_facade(own_writer, own_database.facade_url, store_settings(cache))
    ended, kept = Kept("blobs", blob), Kept("manifests", manifest)
    device, approval = await ended.stored_for(facade, own_writer, upstream)
    await kept.stored_for(facade, own_writer, bystander)
    facade.stop()
    await own_writer.revoke(approval.connection_id)
    database_url = facade.environment["FACADE_DATABASE_URL"]
    facade.environment["FACADE_DATABASE_URL"] = NOWHERE.format(port=free_port())
    facade.restart()
    assert (await ended.pulled_by(device, upstream)).body == blob
    await asyncio.sleep(1.0)  # longer than it looks for the database
    assert access_keys(cache, ended)
    facade.stop()
    facade.environment["FACADE_DATABASE_URL"] = database_url
    facade.restart()
    await eventually(lambda: not access_keys(cache, ended))
    assert access_keys(cache, kept)
    assert (await ended.pulled_by(device, upstream)).status == 404
    assert (await kept.pulled_by(device, bystander)).body == manifest


async def test_a_stream_of_the_store_outlives_its_right(
    facade: Facade, writer: StatementWriter, upstream: RegistrySimulator, cache: Path, blob: bytes
) -> None:
    """Denied in the middle of an answer: the answer was authorised, the next one is not."""
    kept = Kept("blobs", blob * PIECES * 50)
    device, _ = await kept.stored_for(facade, writer, upstream)
    kept.served_by(upstream, get=Answers(403))
    await age(cache, kept)
    path = pull_path(upstream, kept.digest)
    async with device_stream(facade.port, device.tls(), path) as stream:
        await eventually(lambda: not access_keys(cache, kept))
        assert await stream.body() == kept.content
    assert (await kept.pulled_by(device, upstream)).status == 502


async def rotate(
    facade: Facade,
    writer: StatementWriter,
    upstream: RegistrySimulator,
    approval: ConnectionApproval,
) -> None:
    """Approve another version of the connection's secret."""
    await connect(facade, writer, upstream, connection_id=approval.connection_id, secret_version=2)


async def age(cache: Path, kept: Kept) -> None:
    """Have the last proof of every right to a content be older than it holds."""
    await eventually(lambda: bool(access_keys(cache, kept)))
    before = time.time() - PROOF_HOLDS_SECONDS - 1
    with closing(sqlite3.connect(cache / "index.sqlite3", isolation_level=None)) as index:
        index.execute(
            "UPDATE memberships SET proven_at = ? WHERE digest = ?", (before, kept.digest)
        )
    await asyncio.sleep(1.1 * NOTICED_WITHIN_SECONDS)


def is_young(cache: Path, kept: Kept) -> bool:
    """Tell whether all rights to a content were proven in the last minute."""
    rights = memberships(cache, kept)
    return bool(rights) and all(proven_at > time.time() - 60 for _, proven_at in rights)


def access_keys(cache: Path, kept: Kept) -> set[str]:
    """Return the access keys that have a right to a content."""
    return {access_key for access_key, _ in memberships(cache, kept)}


def memberships(cache: Path, kept: Kept) -> list[tuple[str, float]]:
    """Return access key and time of the proof of every right to a content."""
    with closing(sqlite3.connect(cache / "index.sqlite3")) as index:
        query = "SELECT access_key, proven_at FROM memberships WHERE digest = ?"
        return index.execute(query, (kept.digest,)).fetchall()
