"""One upstream fetch for everybody who may read it, over restarts, and never a wrong byte."""

import asyncio
import random
from contextlib import suppress
from pathlib import Path

import aiohttp
import orjson
import pytest

from facade.values.piece import PIECE_BYTES
from shared.oci import OCI_MANIFEST
from tests.support.device_stream import End
from tests.support.eventually import eventually
from tests.support.facade_database import FacadeDatabase
from tests.support.facade_process import Answer, Facade
from tests.support.facade_states import connect, pull_path, write_and_wait
from tests.support.kept_blob import kept_blob
from tests.support.rot import rot
from tests.support.simulators.behaviour import (
    Answers,
    Behaviour,
    BreaksAt,
    Honest,
    OtherBytes,
    Ranged,
    Slow,
)
from tests.support.simulators.registry import RegistrySimulator
from tests.support.simulators.wire import RecordedRequest
from tests.support.statement_writer import StatementWriter
from tests.system.facade.conftest import StartFacade
from tests.system.facade.pulls import outcome_of
from tests.system.facade.stores import store_settings
from tests.system.facade.stores import stored as facade_settings  # noqa: F401 - a fixture

LARGE = random.Random(5).randbytes(20 * PIECE_BYTES + 99)  # noqa: S311 - any bytes will do
SLOW = Slow(PIECE_BYTES, 0.05)  # long enough that others join
MANIFEST = b'{"schemaVersion":2,"config":{},"layers":[]}'


async def test_a_herd_is_one_fetch(
    facade: Facade, writer: StatementWriter, upstream: RegistrySimulator
) -> None:
    """Upstream pays once. A pull-through was measured at 17 times the blob for 16 devices."""
    digest = upstream.blob(LARGE, get=SLOW)
    await connect(facade, writer, upstream)
    devices = [facade.device() for _ in range(12)]
    outcomes = await asyncio.gather(
        *(outcome_of(device, pull_path(upstream, digest)) for device in devices)
    )
    assert {(each.status, each.end, each.digest) for each in outcomes} == {(200, End.WHOLE, digest)}
    assert len(successful_gets(upstream)) == 1


async def test_a_stored_blob_needs_nobody(
    facade: Facade, writer: StatementWriter, upstream: RegistrySimulator
) -> None:
    """GET, HEAD, ranges and 304 are answered while upstream is away."""
    blob = upstream.blob(LARGE)
    manifest = upstream.manifest(MANIFEST, media_type=OCI_MANIFEST)
    await connect(facade, writer, upstream)
    device = facade.device()
    path = pull_path(upstream, blob)
    manifest_path = pull_path(upstream, manifest, kind="manifests")
    first = await device.get(path)
    await device.get(manifest_path)
    await stored(facade, blob)
    upstream.requests.clear()
    again = await device.get(path)
    assert again.body == first.body == LARGE
    assert (await device.get(path, method="HEAD")).headers["Content-Length"] == str(len(LARGE))
    assert (await device.get(path, **{"If-None-Match": f'"{blob}"'})).status == 304
    kept = await device.get(manifest_path)
    assert (kept.body, kept.headers["Content-Type"]) == (MANIFEST, OCI_MANIFEST)
    assert upstream.requests == []


@pytest.mark.parametrize(
    "header,first,count",
    [
        ("bytes=0-9", 0, 10),
        (f"bytes={PIECE_BYTES - 5}-{PIECE_BYTES + 4}", PIECE_BYTES - 5, 10),
        ("bytes=-7", len(LARGE) - 7, 7),
        (f"bytes={len(LARGE) - 1}-", len(LARGE) - 1, 1),
    ],
)
async def test_ranges_are_exact(
    facade: Facade,
    writer: StatementWriter,
    upstream: RegistrySimulator,
    header: str,
    first: int,
    count: int,
) -> None:
    """Of a blob that arrives, of one that is partly there, and of one that is stored."""
    digest = upstream.blob(LARGE)
    await connect(facade, writer, upstream)
    device = facade.device()
    for turn in range(3):
        answer = await device.get(pull_path(upstream, digest), Range=header)
        assert answer.status == 206
        assert answer.headers["Content-Range"] == f"bytes {first}-{first + count - 1}/{len(LARGE)}"
        assert answer.body == LARGE[first : first + count]
        if turn:
            assert (await device.get(pull_path(upstream, digest))).body == LARGE
            await stored(facade, digest)


async def test_a_range_behind_the_end_is_refused_and_if_range_is_honoured(
    facade: Facade, writer: StatementWriter, upstream: RegistrySimulator
) -> None:
    """RFC 9110 sections 13.1.5 and 15.5.17."""
    digest = upstream.blob(b"content")
    await connect(facade, writer, upstream)
    device, path = facade.device(), pull_path(upstream, digest)
    refused = await device.get(path, Range="bytes=7-")
    assert (refused.status, refused.headers["Content-Range"]) == (416, "bytes */7")
    other = await device.get(path, **{"Range": "bytes=1-2", "If-Range": '"sha256:other"'})
    assert (other.status, other.body) == (200, b"content")
    same = await device.get(path, **{"Range": "bytes=1-2", "If-Range": f'"{digest}"'})
    assert (same.status, same.body) == (206, b"on")


async def test_another_connection_has_to_bring_the_bytes_itself(
    facade: Facade,
    writer: StatementWriter,
    upstream: RegistrySimulator,
    bystander: RegistrySimulator,
) -> None:
    """A registry that answers every HEAD with 200 gains nothing of another connection."""
    digest = upstream.blob(LARGE)
    await connect(facade, writer, upstream)
    await connect(facade, writer, bystander)
    device = facade.device()
    assert (await device.get(pull_path(upstream, digest))).status == 200
    await stored(facade, digest)
    unknown = await device.get(pull_path(bystander, digest))
    never = await device.get(pull_path(bystander, f"sha256:{'0' * 64}"))
    assert (unknown.status, unknown.error_code) == (404, "BLOB_UNKNOWN")
    assert without_id(unknown) == without_id(never)
    assert (await device.get(pull_path(upstream, digest))).body == LARGE


async def test_another_connections_wrong_bytes_touch_nobody(
    facade: Facade,
    writer: StatementWriter,
    upstream: RegistrySimulator,
    bystander: RegistrySimulator,
) -> None:
    """What is stored of one registry is not replaced by the lies of another."""
    digest = upstream.blob(LARGE)
    bystander.blob(LARGE, get=OtherBytes())
    await connect(facade, writer, upstream)
    await connect(facade, writer, bystander)
    device = facade.device()
    assert (await device.get(pull_path(upstream, digest))).status == 200
    await stored(facade, digest)
    lied = await outcome_of(device, pull_path(bystander, digest))
    assert lied.end is not End.WHOLE
    assert (await device.get(pull_path(upstream, digest))).body == LARGE


async def test_another_repository_proves_its_own_right_by_an_answer(
    facade: Facade, writer: StatementWriter, upstream: RegistrySimulator
) -> None:
    """Within a connection that delivered the digest that suffices; asked as for any other."""
    digest = upstream.blob(LARGE)
    upstream.blob(LARGE, repository="team/second")
    await connect(facade, writer, upstream)
    device = facade.device()
    await device.get(pull_path(upstream, digest))
    await stored(facade, digest)
    upstream.requests.clear()
    second = await device.get(pull_path(upstream, digest, repository="team/second"))
    assert second.body == LARGE
    (asked,) = upstream.pulls
    assert (asked.method, asked.header("Range")) == ("GET", None)
    third = await device.get(pull_path(upstream, digest, repository="team/third"))
    assert (third.status, third.error_code) == (404, "BLOB_UNKNOWN")


async def test_an_empty_blob_is_served_cold_and_warm(
    facade: Facade, writer: StatementWriter, upstream: RegistrySimulator
) -> None:
    """It has a digest, and no pieces."""
    digest = upstream.blob(b"")
    await connect(facade, writer, upstream)
    device, path = facade.device(), pull_path(upstream, digest)
    for _ in range(2):
        answer = await device.get(path)
        assert (answer.status, answer.body) == (200, b"")
        await stored(facade, digest)
    assert (await device.get(path, Range="bytes=0-")).status == 416


async def test_wrong_bytes_are_not_kept_and_abort_their_followers(
    facade: Facade, writer: StatementWriter, upstream: RegistrySimulator
) -> None:
    """The next attempt begins anew, after a while, and is right."""
    digest = upstream.blob(LARGE, get=OtherBytes())
    await connect(facade, writer, upstream)
    device = facade.device()
    outcomes = await asyncio.gather(
        *(outcome_of(device, pull_path(upstream, digest)) for _ in range(4))
    )
    assert all(each.end is End.RESET and each.received < len(LARGE) for each in outcomes)
    upstream.blob(LARGE)

    async def is_right() -> bool:
        answer = await device.get(pull_path(upstream, digest))
        assert (answer.status, answer.body) == (200, LARGE) or "Retry-After" in answer.headers
        return answer.status == 200

    await eventually(is_right)


async def test_a_range_of_wrong_bytes_is_marked_or_cut(
    facade: Facade, writer: StatementWriter, upstream: RegistrySimulator
) -> None:
    """A closed range ends with its bytes, and is marked; one without an end waits for the proof."""
    content = LARGE
    digest = upstream.blob(content, get=Answers(200, body=b"?" + content[1:]), head=Honest())
    await connect(facade, writer, upstream)
    device, path = facade.device(), pull_path(upstream, digest)
    marked = await device.get(path, Range="bytes=0-9")
    assert (marked.status, marked.headers["Cache-Control"]) == (206, "no-store")
    with pytest.raises(aiohttp.ClientError):
        await device.get(path, Range=f"bytes={PIECE_BYTES}-")


async def test_rot_is_quarantined_and_fetched_again(
    facade: Facade, writer: StatementWriter, upstream: RegistrySimulator, cache: Path
) -> None:
    """A stored byte that changed never ends cleanly."""
    digest = upstream.blob(LARGE[: 5 * PIECE_BYTES])
    await connect(facade, writer, upstream)
    device, path = facade.device(), pull_path(upstream, digest)
    await device.get(path)
    file = await stored(facade, digest)
    rot(file, 3 * PIECE_BYTES)
    assert (await outcome_of(device, path)).end is End.RESET
    assert len(list((cache / "quarantine").iterdir())) == 1
    assert (await device.get(path)).body == LARGE[: 5 * PIECE_BYTES]


async def test_a_rotten_beginning_is_noticed_by_nobody(
    facade: Facade, writer: StatementWriter, upstream: RegistrySimulator
) -> None:
    """Nothing was sent yet, so the answer is brought anew."""
    content = LARGE[PIECE_BYTES:]
    digest = upstream.blob(content)
    await connect(facade, writer, upstream)
    device, path = facade.device(), pull_path(upstream, digest)
    await device.get(path)
    file = await stored(facade, digest)
    for rotten in (bytes([content[0] ^ 1]) + content[1:], content[:-1]):
        file.write_bytes(rotten)
        again = await device.get(path)
        assert (again.status, again.body) == (200, content)
        assert (await stored(facade, digest)).read_bytes() == content


STAYS = Ranged(breaks_at=12 * PIECE_BYTES, then="stay")
SILENT = Ranged(breaks_at=12 * PIECE_BYTES, then="stay", names_length=False, names_total=False)


@pytest.mark.parametrize("behaviour, last", [(STAYS, str(len(LARGE) - 1)), (SILENT, "")])
async def test_a_killed_facade_resumes_its_partial(
    behaviour: Behaviour,
    last: str,
    own_writer: StatementWriter,
    own_database: FacadeDatabase,
    start_facade: StartFacade,
    upstream: RegistrySimulator,
    tmp_path: Path,
) -> None:
    """What had come is hashed again, and only the rest is asked for, whether or not its end is
    known.
    """
    digest = upstream.blob(LARGE, get=behaviour)
    settings = store_settings(tmp_path / "cache")
    facade = start_facade(own_writer, own_database.facade_url, settings)
    await connect(facade, own_writer, upstream)
    device = facade.device()
    pull = asyncio.create_task(outcome_of(device, pull_path(upstream, digest)))
    await eventually(lambda: partial_bytes(tmp_path / "cache") > 2 * PIECE_BYTES)
    facade.child.kill()
    with suppress(asyncio.IncompleteReadError, ConnectionError):  # perhaps before its head
        assert (await pull).end is not End.WHOLE
    upstream.requests.clear()
    facade.restart()
    whole = await outcome_of(device, pull_path(upstream, digest))
    assert (whole.end, whole.digest) == (End.WHOLE, digest)
    ranges = [request.header("Range") for request in successful_gets(upstream)]
    assert len(ranges) == 1
    assert ranges[0] is not None
    first, _, end = ranges[0].removeprefix("bytes=").partition("-")
    assert (int(first) > PIECE_BYTES, end) == (True, last)


async def test_two_processes_fetch_once_and_either_may_die(
    own_writer: StatementWriter,
    own_database: FacadeDatabase,
    start_facade: StartFacade,
    upstream: RegistrySimulator,
    tmp_path: Path,
) -> None:
    """The other's devices notice nothing: it takes over where the dead one had come to."""
    digest = upstream.blob(LARGE, get=STAYS)
    settings = store_settings(tmp_path / "cache")
    first = start_facade(own_writer, own_database.facade_url, settings)
    second = start_facade(own_writer, own_database.facade_url, settings)
    approval = await connect(first, own_writer, upstream)
    await write_and_wait(second, own_writer, approval)
    path = pull_path(upstream, digest)
    dying = asyncio.create_task(outcome_of(first.device(), path))
    await eventually(lambda: partial_bytes(tmp_path / "cache") > PIECE_BYTES)
    following = asyncio.create_task(outcome_of(second.device(), path))
    await eventually(lambda: partial_bytes(tmp_path / "cache") > 4 * PIECE_BYTES)
    assert len(successful_gets(upstream)) == 1
    first.child.kill()
    with suppress(asyncio.IncompleteReadError, ConnectionError):  # perhaps before its head
        assert (await dying).end is not End.WHOLE
    whole = await following
    assert (whole.end, whole.digest) == (End.WHOLE, digest)
    assert [request.header("Range") is None for request in successful_gets(upstream)] == [
        True,
        False,
    ]


async def test_a_break_upstream_is_resumed_once_for_all(
    facade: Facade, writer: StatementWriter, upstream: RegistrySimulator
) -> None:
    """Nobody notices."""
    digest = upstream.blob(LARGE, get=BreaksAt(3 * PIECE_BYTES + 1))
    await connect(facade, writer, upstream)
    device = facade.device()
    outcomes = await asyncio.gather(
        *(outcome_of(device, pull_path(upstream, digest)) for _ in range(3))
    )
    assert {(each.end, each.digest) for each in outcomes} == {(End.WHOLE, digest)}
    assert len(successful_gets(upstream)) == 2


async def test_a_blob_larger_than_the_store_is_passed_on(
    own_writer: StatementWriter,
    own_database: FacadeDatabase,
    start_facade: StartFacade,
    upstream: RegistrySimulator,
    tmp_path: Path,
) -> None:
    """Nothing is kept, and nobody is refused."""
    digest = upstream.blob(LARGE)
    settings = store_settings(tmp_path / "cache", str(len(LARGE) - 1))
    facade = start_facade(own_writer, own_database.facade_url, settings)
    await connect(facade, own_writer, upstream)
    assert (await facade.device().get(pull_path(upstream, digest))).body == LARGE
    assert facade.log_lines(event="not kept")
    assert not list((tmp_path / "cache").glob("blobs/*/*/*"))


async def test_a_revoked_connection_reads_nothing_of_the_store(
    facade: Facade, writer: StatementWriter, upstream: RegistrySimulator
) -> None:
    """Access is decided before the store is asked."""
    digest = upstream.blob(LARGE)
    approval = await connect(facade, writer, upstream)
    device, path = facade.device(), pull_path(upstream, digest)
    await device.get(path)
    await stored(facade, digest)
    await write_and_wait(facade, writer, writer.revocation(approval.connection_id))
    for method in ("GET", "HEAD"):
        assert (await device.get(path, method=method)).status == 404
    assert (await device.get(path, Range="bytes=0-1")).error_code == "NAME_UNKNOWN"
    assert (await device.get(path, **{"If-None-Match": f'"{digest}"'})).status == 404


async def stored(facade: Facade, digest: str) -> Path:
    """Return the stored file once it is in its place, and its arrival is over."""
    return await kept_blob(Path(facade.environment["FACADE_CACHE_DIR"]), digest)


def partial_bytes(cache: Path) -> int:
    """Return how much has come of what arrives."""
    return sum(path.stat().st_size for path in cache.glob("ingest/*/data"))


def successful_gets(upstream: RegistrySimulator) -> list[RecordedRequest]:
    """Return the requests for content that bore the credential."""
    return [
        request
        for request in upstream.pulls
        if request.method == "GET" and request.header("Authorization") is not None
    ]


def without_id(answer: Answer) -> tuple[int, str, str]:
    """Return what an error says, but for its request id."""
    error = orjson.loads(answer.body)["errors"][0]
    return answer.status, error["code"], error["message"]
