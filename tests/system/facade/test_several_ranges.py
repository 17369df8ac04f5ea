"""Several ranges in one request: a part for each, of a stored blob, an arriving one and a cold one.

The parts are read by a parser that is not ours.
"""

import asyncio
import random
from pathlib import Path

import aiohttp
import pytest

from facade.content.far_ranges import NEAR_BYTES
from facade.devices.incoming_requests import MAX_HEADER_FIELD_BYTES, MAX_RANGE_FIELD_BYTES
from facade.store.piece_checksums import CHECKED_BYTES
from facade.values.byte_range import MAX_RANGES, MAX_SMALL_DESCENTS
from facade.values.piece import PIECE_BYTES
from shared.oci import OCI_MANIFEST, OCTET_STREAM
from tests.support.eventually import eventually
from tests.support.facade_database import FacadeDatabase
from tests.support.facade_process import Answer, Facade, device_session
from tests.support.facade_states import connect, pull_path
from tests.support.multipart import range_parts
from tests.support.raw_http import raw_connection, request_bytes
from tests.support.rot import rot
from tests.support.simulators.behaviour import OtherBytes, Slow
from tests.support.simulators.registry import RegistrySimulator
from tests.support.statement_writer import StatementWriter
from tests.system.facade.conftest import StartFacade
from tests.system.facade.stores import store_settings
from tests.system.facade.stores import stored as facade_settings  # noqa: F401 - a fixture
from tests.system.facade.test_store import stored

LARGE = random.Random(9).randbytes(20 * PIECE_BYTES + 99)  # noqa: S311 - any bytes will do
FAR = NEAR_BYTES + 2 * PIECE_BYTES
BIG = random.Random(10).randbytes(FAR + 4 * PIECE_BYTES)  # noqa: S311 - any bytes will do
CRAWL = Slow(PIECE_BYTES, 0.02)
MANIFEST = b'{"schemaVersion":2,"config":{},"layers":[]}'
SENT = 'facade_device_bytes_total{kind="blobs"}'
MULTIPART = 'facade_several_ranges_total{answer="multipart"}'
WHOLE = 'facade_several_ranges_total{answer="whole"}'
UNVERIFIED = "facade_unverified_ranges_total"
ASKED = [(3_000_000, 3_100_000), (5, 5), (6, 9), (0, 3), (1_000_000, 2_000_000)]


def of(asked: list[tuple[int, int]]) -> str:
    """Return the header that asks for ranges, each by its first and last byte."""
    return "bytes=" + ",".join(f"{first}-{last}" for first, last in asked)


def assert_parts(answer: Answer, content: bytes, asked: list[tuple[int, int]]) -> None:
    """Hold the answer against the content: a part for each range, in the order asked."""
    assert answer.status == 206
    assert "Content-Range" not in answer.headers
    assert answer.headers["Content-Length"] == str(len(answer.body))
    parts = range_parts(answer.headers["Content-Type"], answer.body)
    assert [each.content_range for each in parts] == [
        f"bytes {first}-{last}/{len(content)}" for first, last in asked
    ]
    assert {each.media_type for each in parts} == {OCTET_STREAM}
    assert [each.content for each in parts] == [content[first : last + 1] for first, last in asked]


def counted(facade: Facade, metric: str) -> float:
    """Return the value of a metric, named with its labels."""
    lines = facade.operations("/metrics")[1].splitlines()
    (value,) = [line.removeprefix(f"{metric} ") for line in lines if line.startswith(f"{metric} ")]
    return float(value)


async def test_a_stored_blob_is_given_in_parts(
    facade: Facade, writer: StatementWriter, upstream: RegistrySimulator
) -> None:
    """In the order asked, neighbours too; the log and the metrics count the blob's bytes alone."""
    content = LARGE + b"a"
    digest = upstream.blob(content)
    await connect(facade, writer, upstream)
    device, path = facade.device(), pull_path(upstream, digest)
    await device.get(path)
    await stored(facade, digest)
    upstream.requests.clear()
    sent_before, multipart_before = counted(facade, SENT), counted(facade, MULTIPART)
    answer = await device.get(path, Range=of(ASKED))
    assert_parts(answer, content, ASKED)
    assert answer.headers["Docker-Content-Digest"] == digest
    assert answer.headers["Etag"] == f'"{digest}"'
    assert "immutable" in answer.headers["Cache-Control"]
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert upstream.requests == []
    await eventually(lambda: bool(facade.log_lines(event="answered", digest=digest, status=206)))
    (line,) = facade.log_lines(event="answered", digest=digest, status=206)
    given = sum(last + 1 - first for first, last in ASKED)
    assert (line["bytes"], line["source"], line["reason"]) == (given, "store", "")
    assert counted(facade, SENT) == sent_before + given
    assert counted(facade, MULTIPART) == multipart_before + 1


async def test_what_is_asked_for_decides_the_form_of_the_answer(
    facade: Facade, writer: StatementWriter, upstream: RegistrySimulator
) -> None:
    """RFC 9110 sections 13.1.5, 14.2 and 15.3.7; one part is no multipart."""
    content = bytes(range(100))
    digest = upstream.blob(content)
    await connect(facade, writer, upstream)
    device, path = facade.device(), pull_path(upstream, digest)
    assert (await device.get(path)).body == content

    async def get(header: str, **others: str) -> Answer:
        return await device.get(path, Range=header, **others)

    one = await get("bytes=5-9,200-,100-")
    assert (one.status, one.headers["Content-Range"]) == (206, "bytes 5-9/100")
    assert (one.body, one.headers["Content-Type"]) == (content[5:10], OCTET_STREAM)
    none = await get("bytes=200-,100-300,-0")
    assert (none.status, none.headers["Content-Range"]) == (416, "bytes */100")
    for ignored in ("bytes=0-9,5-14,12-20", "bytes=0-,0-,0-", "bytes=0-1,4-3", "bytes=0-1,x"):
        whole = await get(ignored)
        assert (whole.status, whole.body) == (200, content)
        assert whole.headers["Content-Type"] == OCTET_STREAM
    descending = await get(of([(at, at) for at in range(99, 0, -2)]))
    assert (descending.status, descending.body) == (200, content)
    other = await get("bytes=0-1,5-6", **{"If-Range": '"sha256:other"'})
    assert (other.status, other.body) == (200, content)
    same = await get("bytes=0-1,5-6", **{"If-Range": f'"{digest}"'})
    assert_parts(same, content, [(0, 1), (5, 6)])
    known = await get("bytes=0-1,5-6", **{"If-None-Match": f'"{digest}"'})
    assert known.status == 304
    head = await device.get(path, method="HEAD", Range="bytes=0-1,5-6")
    assert (head.status, head.headers["Content-Length"]) == (200, "100")
    assert head.headers["Content-Type"] == OCTET_STREAM


async def test_any_ranges_of_a_stored_blob_are_its_slices(
    facade: Facade, writer: StatementWriter, upstream: RegistrySimulator
) -> None:
    """On one connection, in any order and of any length; the oracle cuts them out itself."""
    source = random.Random(11)  # noqa: S311 - the same ones in each run
    content = LARGE + b"any"
    digest = upstream.blob(content)
    await connect(facade, writer, upstream)
    device, path = facade.device(), pull_path(upstream, digest)
    await device.get(path)
    await stored(facade, digest)
    async with device_session(device.tls()) as session:
        for _ in range(15):
            at, asked = 0, list[tuple[int, int]]()
            while at < len(content) and len(asked) < MAX_RANGES:
                first = at + int(source.expovariate(1 / 50_000))
                last = first + int(source.expovariate(1 / source.choice((3, 3_000, 300_000))))
                at = last + 1
                if last < len(content):
                    asked.append((first, last))
            source.shuffle(asked)
            asked = asked[: source.choice((2, 9, MAX_SMALL_DESCENTS + 1))]
            url = f"https://localhost:{facade.port}{path}"
            async with session.get(url, headers={"Range": of(asked)}) as answer:
                body = await answer.read()
                assert_parts(Answer(answer.status, dict(answer.headers), body), content, asked)


async def test_a_manifest_has_no_ranges(
    facade: Facade, writer: StatementWriter, upstream: RegistrySimulator
) -> None:
    """It is verified before its first byte, and it says so."""
    digest = upstream.manifest(MANIFEST, media_type=OCI_MANIFEST)
    await connect(facade, writer, upstream)
    path = pull_path(upstream, digest, kind="manifests")
    answer = await facade.device().get(path, Range="bytes=0-1,5-6")
    assert (answer.status, answer.body) == (200, MANIFEST)
    assert "Accept-Ranges" not in answer.headers


async def test_as_many_ranges_as_clients_ask_for_are_served(
    facade: Facade, writer: StatementWriter, upstream: RegistrySimulator
) -> None:
    """1,024 in a field of 32 KiB; more are refused, and cost upstream nothing."""
    content = LARGE + b"b"
    digest = upstream.blob(content)
    await connect(facade, writer, upstream)
    device, path = facade.device(), pull_path(upstream, digest)
    many = [(at, at + 9) for at in range(0, 5000 * (MAX_RANGES + 1), 5000)]
    refused = await device.get(path, Range=of(many))
    assert (refused.status, refused.error_code) == (400, "RANGE_INVALID")
    assert upstream.pulls == []
    await device.get(path)
    await stored(facade, digest)
    assert_parts(await device.get(path, Range=of(many[:-1])), content, many[:-1])
    padded = of(many[:-1]).replace(",", "," + " " * 12)
    assert MAX_HEADER_FIELD_BYTES < len(padded) < MAX_RANGE_FIELD_BYTES
    assert_parts(await device.get(path, Range=padded), content, many[:-1])


async def test_the_range_field_alone_may_be_long(
    facade: Facade, writer: StatementWriter, upstream: RegistrySimulator
) -> None:
    """And any other is refused as it was, in the facade's own words."""
    content = LARGE + b"c"
    digest = upstream.blob(content)
    await connect(facade, writer, upstream)
    device, path = facade.device(), pull_path(upstream, digest).encode()
    longest = MAX_RANGE_FIELD_BYTES - len("Range")
    for name, value, status in (
        (b"Range", b"bytes=" + b"x" * (longest - 6), 200),
        (b"range", b"bytes=0-1" + b" " * 20_000 + b",5-6", 206),
        (b"Range", b"bytes=" + b"x," * 16_000, 400),
        (b"Range", b"bytes=" + b"x" * longest, 400),
        (b"X-Range", b"x" * MAX_HEADER_FIELD_BYTES, 400),
        (b"Authorization", b"Bearer " + b"x" * 20_000, 400),
    ):
        async with raw_connection(device) as connection:
            field = name + b": " + value + b"\r\n"
            await connection.send(request_bytes(path, headers=field))
            answer = await connection.answer()
            assert answer.status == status, name
            if status == 400:
                assert answer.error["code"] in {"UNSUPPORTED", "RANGE_INVALID"}
                assert b"xxx" not in answer.body
    assert "xxx" not in facade.log_text


async def test_a_blob_that_arrives_is_given_in_parts_and_marked(
    facade: Facade, writer: StatementWriter, upstream: RegistrySimulator
) -> None:
    """Each part as it comes, and counted: nothing of them is proven when the head is sent."""
    digest = upstream.blob(BIG, get=CRAWL)
    await connect(facade, writer, upstream)
    before = counted(facade, UNVERIFIED)
    asked = [(0, 9), (FAR, FAR + 99), (PIECE_BYTES, 3 * PIECE_BYTES), (500_000, 500_000)]
    answer = await facade.device().get(pull_path(upstream, digest), Range=of(asked))
    assert_parts(answer, BIG, asked)
    assert answer.headers["Cache-Control"] == "no-store"
    assert "Docker-Content-Digest" not in answer.headers
    assert counted(facade, UNVERIFIED) == before + 1


async def test_whoever_forbids_unverified_ranges_gets_proven_parts(
    own_writer: StatementWriter,
    own_database: FacadeDatabase,
    start_facade: StartFacade,
    upstream: RegistrySimulator,
    tmp_path: Path,
) -> None:
    """The answer says that they are the digest's, and ends only once all is proven."""
    content = LARGE + b"d"
    digest, wrong = upstream.blob(content), upstream.blob(BIG, get=OtherBytes())
    settings = store_settings(tmp_path / "cache") | {"FACADE_UNVERIFIED_RANGES": "false"}
    facade = start_facade(own_writer, own_database.facade_url, settings)
    await connect(facade, own_writer, upstream)
    answer = await facade.device().get(pull_path(upstream, digest), Range=of(ASKED))
    assert_parts(answer, content, ASKED)
    assert answer.headers["Docker-Content-Digest"] == digest
    asked = [(0, 9), (PIECE_BYTES, 2 * PIECE_BYTES)]
    try:
        refused = await facade.device().get(pull_path(upstream, wrong), Range=of(asked))
    except aiohttp.ClientError:
        return
    assert refused.status in {502, 503}


async def test_a_facade_that_keeps_nothing_gives_the_whole(
    own_writer: StatementWriter,
    own_database: FacadeDatabase,
    start_facade: StartFacade,
    upstream: RegistrySimulator,
) -> None:
    """Each part would be a download of its own."""
    content = LARGE + b"e"
    digest = upstream.blob(content)
    facade = start_facade(own_writer, own_database.facade_url)
    await connect(facade, own_writer, upstream)
    answer = await facade.device().get(pull_path(upstream, digest), Range=of(ASKED))
    assert (answer.status, answer.body) == (200, content)
    assert len([each for each in upstream.pulls if each.header("Authorization")]) == 1
    assert counted(facade, WHOLE) == 1


async def test_a_part_that_is_rotten_is_brought_again(
    facade: Facade, writer: StatementWriter, upstream: RegistrySimulator
) -> None:
    """The parts before it were sent; it is verified like any other."""
    content = LARGE + b"f"
    digest = upstream.blob(content)
    await connect(facade, writer, upstream)
    device, path = facade.device(), pull_path(upstream, digest)
    await device.get(path)
    rot(await stored(facade, digest), 3 * PIECE_BYTES + 7)
    asked = [(0, 9), (3 * PIECE_BYTES, 3 * PIECE_BYTES + CHECKED_BYTES), (20, 29)]
    assert_parts(await device.get(path, Range=of(asked)), content, asked)


async def test_parts_of_many_devices_at_once_are_bought_once(
    facade: Facade, writer: StatementWriter, upstream: RegistrySimulator
) -> None:
    """A fleet that updates asks for the same ranges of the same new layer."""
    content = LARGE + b"g"
    digest = upstream.blob(content, get=Slow(PIECE_BYTES, 0.01))
    await connect(facade, writer, upstream)
    path = pull_path(upstream, digest)
    answers = await asyncio.gather(*(facade.device().get(path, Range=of(ASKED)) for _ in range(8)))
    for answer in answers:
        assert_parts(answer, content, ASKED)
    asked = [each.header("Range") for each in upstream.pulls if each.header("Authorization")]
    ranges = [(each or "bytes=0-").removeprefix("bytes=").split("-") for each in asked]
    last = len(content) - 1
    bought = sum(min(int(end or last), last) - int(first) + 1 for first, end in ranges)
    assert bought <= 1.02 * len(content)


@pytest.mark.parametrize("is_stored", [True, False], ids=["stored", "cold"])
async def test_a_lazy_puller_reads_what_it_needs(
    facade: Facade,
    writer: StatementWriter,
    upstream: RegistrySimulator,
    is_stored: bool,  # noqa: FBT001 - a parameter
) -> None:
    """As SOCI and stargz do: two bytes for the length, the footer, then regions in one request."""
    content = LARGE + bytes([is_stored])
    digest = upstream.blob(content)
    await connect(facade, writer, upstream)
    device, path = facade.device(), pull_path(upstream, digest)
    if is_stored:
        await device.get(path)
        await stored(facade, digest)
    before = counted(facade, SENT)
    two = await device.get(path, Range="bytes=0-1")
    assert (two.status, two.body) == (206, content[:2])
    length = int(two.headers["Content-Range"].rpartition("/")[2])
    assert length == len(content)
    footer = await device.get(path, Range=f"bytes={length - 51}-{length - 1}")
    assert (footer.status, footer.body) == (206, content[-51:])
    suffix = await device.get(path, Range="bytes=-10000")
    assert (suffix.status, suffix.body) == (206, content[-10000:])
    regions = [(at, at + 50_000 - 1) for at in range(100_000, 4_000_000, 1_000_000)]
    assert_parts(await device.get(path, Range=of(regions)), content, regions)
    assert counted(facade, SENT) - before == 2 + 51 + 10_000 + len(regions) * 50_000
