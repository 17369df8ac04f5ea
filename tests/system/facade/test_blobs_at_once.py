"""Stored blobs that go around the parser: the same answers, by the same decisions, as safe."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from attrs import frozen

from facade.rights.rights import NOTICED_WITHIN_SECONDS
from facade.store.layout import Layout
from facade.values.piece import PIECE_BYTES
from shared.oci import Digest
from shared.statement import ConnectionApproval
from tests.support.answer_checks import require_same
from tests.support.device_stream import DeviceStream, End, device_stream
from tests.support.eventually import eventually
from tests.support.facade_process import Device, Facade
from tests.support.facade_states import connect, pull_path
from tests.support.memory import MIB
from tests.support.raw_http import RawAnswer, ask, raw_connection, request_bytes
from tests.support.rot import rot
from tests.support.simulators.registry import RegistrySimulator
from tests.support.statement_writer import StatementWriter

MARK = request_bytes(b"/v2/")  # never answered at once: what its answer stands behind is whole
LARGEST = 16 * MIB  # that is remembered; far more than what buffers hold on the way
RECEIVE_BUFFER = 32 * 1024
PULLS = 2  # of one device at once
LEFT = "the device left, or its connection was cut"
AT_ONCE = "facade_answers_at_once_total"


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store's folder."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def facade_settings(cache: Path) -> Mapping[str, str]:
    """With a store, and few pulls at once."""
    return {
        "FACADE_CACHE_DIR": str(cache),
        "FACADE_CACHE_MAX_BYTES": "1GiB",
        "FACADE_MAX_CONNECTIONS_PER_DEVICE": str(PULLS),
    }


@frozen
class Warm:
    """A stored blob whose request is remembered."""

    facade: Facade
    device: Device
    upstream: RegistrySimulator
    approval: ConnectionApproval
    content: bytes
    digest: Digest
    file: Path

    @property
    def path(self) -> str:
        """Where it is asked for."""
        return pull_path(self.upstream, str(self.digest))

    @property
    def get(self) -> bytes:
        """The request that is remembered."""
        return request_bytes(self.path.encode())

    @property
    def at_once(self) -> int:
        """How many answers were given at once so far."""
        return int(metric(self.facade, AT_ONCE))

    async def is_answered_at_once(self) -> bool:
        """Ask; tell whether that went around the parser."""
        before = self.at_once
        assert (await ask(self.device, self.get)).body == self.content
        return self.at_once == before + 1


def metric(facade: Facade, name: str) -> float:
    """Return a metric's value now."""
    lines = facade.operations("/metrics")[1].splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{name} "))


async def warm_blob(
    facade: Facade,
    writer: StatementWriter,
    upstream: RegistrySimulator,
    cache: Path,
    content: bytes,
) -> Warm:
    """Bring a blob, and ask for it until it is answered at once."""
    digest = Digest.parse(upstream.blob(content))
    approval = await connect(facade, writer, upstream)
    device = facade.device()
    warm = Warm(facade, device, upstream, approval, content, digest, Layout(cache).blob(digest))
    assert (await ask(device, warm.get)).body == content
    proven_at = time.monotonic()

    async def is_known_since() -> bool:
        """An answer at once says that rights were looked at lately: since this one was proven."""
        is_since = time.monotonic() - proven_at > NOTICED_WITHIN_SECONDS
        return await warm.is_answered_at_once() and is_since

    await eventually(is_known_since)
    return warm


@pytest.fixture(params=[100, 100_000, 3 * MIB + 5], ids=["small", "one piece", "several"])
async def warm(
    facade: Facade,
    writer: StatementWriter,
    upstream: RegistrySimulator,
    cache: Path,
    request: pytest.FixtureRequest,
) -> Warm:
    """A blob of some length."""
    content = bytes(range(251)) * (request.param // 251 + 1)
    return await warm_blob(facade, writer, upstream, cache, content[: request.param])


@pytest.fixture
async def large(
    facade: Facade, writer: StatementWriter, upstream: RegistrySimulator, cache: Path
) -> Warm:
    """The largest one that is answered so."""
    return await warm_blob(facade, writer, upstream, cache, bytes(LARGEST))


async def log_line(warm: Warm, request_id: str | None) -> dict[str, object]:
    """Return the one line that tells of an answer, but for what is another in each."""
    lines: list[dict[str, object]] = []

    def is_told() -> bool:
        lines[:] = warm.facade.log_lines(request_id=request_id)
        return bool(lines)

    await eventually(is_told)
    (line,) = lines
    for varying in ("time", "request_id"):
        assert isinstance(line.pop(varying), str)
    assert isinstance(line.pop("duration_ms"), int | float)
    return line


@asynccontextmanager
async def stream_at_once(warm: Warm, device: Device | None = None) -> AsyncIterator[DeviceStream]:
    """Ask until an answer is given at once: after a stall, rights are looked at first."""
    port, tls, begun = warm.facade.port, (device or warm.device).tls(), list[DeviceStream]()
    async with AsyncExitStack() as kept:

        async def is_begun() -> bool:
            before = warm.at_once
            async with AsyncExitStack() as opened:
                stream = await opened.enter_async_context(
                    device_stream(port, tls, warm.path, receive_buffer=RECEIVE_BUFFER)
                )
                if warm.at_once == before + 1:
                    begun.append(stream)
                    await kept.enter_async_context(opened.pop_all())
                    return True
            await log_line(warm, stream.headers["x-request-id"])  # its turn is free again
            return False

        await eventually(is_begun)
        yield begun[0]


async def test_an_answer_at_once_is_the_parsers_byte_for_byte(warm: Warm) -> None:
    """No device can tell which way its request went; nor can the log's reader, nor a graph."""
    counters = (
        'facade_answers_total{kind="blobs",status="200"}',
        'facade_pulls_total{kind="blobs",outcome="served",source="store"}',
    )
    sent = 'facade_device_bytes_total{kind="blobs"}'
    before, at_once = [metric(warm.facade, each) for each in (*counters, sent)], warm.at_once
    async with raw_connection(warm.device) as parsed, raw_connection(warm.device) as connection:
        await parsed.send(warm.get[:9])
        await parsed.send(warm.get[9:])
        slow = await parsed.answer()
        assert warm.at_once == at_once
        quick: list[RawAnswer] = []
        for _ in range(3):
            await connection.send(warm.get)
            quick.append(await connection.answer())
        await connection.send(MARK)
        assert (await connection.answer()).body == b"{}"
    assert warm.at_once == at_once + 3
    assert slow.body == warm.content
    for answer in quick:
        require_same(answer, slow)
        ids = [each.header("X-Request-Id") for each in (answer, slow)]
        quick_line, slow_line = [await log_line(warm, each) for each in ids]
        assert quick_line == slow_line
        assert quick_line["bytes"] == len(warm.content)
    assert len({each.header("X-Request-Id") for each in (slow, *quick)}) == 4
    after = [metric(warm.facade, each) for each in (*counters, sent)]
    assert after == [before[0] + 4, before[1] + 4, before[2] + 4 * len(warm.content)]


async def test_requests_behind_one_another_are_answered_in_their_order(warm: Warm) -> None:
    """Those that come while a blob is sent wait for its end."""
    async with raw_connection(warm.device) as connection:
        for request in (warm.get, warm.get, MARK, warm.get):
            await connection.send(request)
        for body in (warm.content, warm.content, b"{}", warm.content):
            assert (await connection.answer()).body == body


@pytest.mark.parametrize(
    "fields, status",
    [
        (b"Range: bytes=1-2\r\n", 206),
        (b"Range: bytes=1-2\r\nIf-Range: x\r\n", 200),
        (b'If-None-Match: "{digest}"\r\n', 304),
        (b"Authorization: Bearer canary-5b20\r\n", 200),
    ],
)
async def test_what_is_asked_otherwise_is_never_remembered(
    warm: Warm, fields: bytes, status: int
) -> None:
    """Its answer may be another, or its bytes a secret."""
    before, fields = warm.at_once, fields.replace(b"{digest}", str(warm.digest).encode())
    for _ in range(3):
        answer = await ask(warm.device, request_bytes(warm.path.encode(), headers=fields))
        assert answer.status == status
    assert warm.at_once == before


async def test_a_revoked_device_is_cut_in_the_middle_and_its_turn_is_free(
    large: Warm, writer: StatementWriter
) -> None:
    """The log says so. Another device goes on, and is answered at once as before."""
    name = f"bad-{large.digest.hex[:8]}"
    bad = large.facade.device(large.facade.files.device_ca.issue_device(device=name))
    cut = 'facade_device_connections_cut_total{reason="revoked"}'
    cuts = metric(large.facade, cut)
    async with stream_at_once(large, bad) as revoked, stream_at_once(large) as other:
        await writer.write(
            writer.device_revocation(f"spiffe://example.com/fleet/line-a/device/{name}")
        )
        await eventually(lambda: metric(large.facade, cut) == cuts + 1)
        assert await revoked.end() is End.RESET
        assert await other.end() is End.WHOLE
    line = await log_line(large, revoked.headers["x-request-id"])
    assert (line["outcome"], line["reason"]) == ("aborted", LEFT)
    await eventually(large.is_answered_at_once)


async def test_a_revoked_connections_answers_are_cut_in_the_middle(
    large: Warm, writer: StatementWriter
) -> None:
    """Nothing more of them is read from the store."""
    async with stream_at_once(large) as stream:
        await writer.write(writer.revocation(large.approval.connection_id))
        request_id = stream.headers["x-request-id"]
        line = await log_line(large, request_id)
        assert line["outcome"] == "aborted"
        assert "the connection was revoked meanwhile" in str(line["reason"])
        assert await stream.end() is End.RESET


async def test_a_device_that_leaves_in_the_middle_gives_its_turn_back(large: Warm) -> None:
    """However often; who comes next is answered at once."""
    for _ in range(PULLS + 1):
        async with stream_at_once(large) as stream:
            request_id = stream.headers["x-request-id"]
        line = await log_line(large, request_id)
        assert (line["outcome"], line["reason"]) == ("aborted", LEFT)
    await eventually(large.is_answered_at_once)


async def test_a_devices_turns_are_taken_while_its_blobs_are_sent(large: Warm) -> None:
    """A further pull waits for one of them, and is then answered by the parser's way."""
    async with (
        raw_connection(large.device) as waiting,
        stream_at_once(large) as one,
        stream_at_once(large) as two,
    ):
        at_once = large.at_once
        await waiting.send(large.get)
        assert await one.end() is End.WHOLE
        assert (await waiting.answer()).body == large.content
        assert await two.end() is End.WHOLE
    assert large.at_once == at_once


async def test_a_blob_that_rots_is_never_given(warm: Warm) -> None:
    """In its beginning it is brought again; behind that the answer is reset."""
    rot(warm.file, -1)
    is_beginning = len(warm.content) <= PIECE_BYTES
    async with raw_connection(warm.device) as connection:
        await connection.send(warm.get)
        if is_beginning:
            assert (await connection.answer()).body == warm.content
        else:
            await connection.until_reset()

    async def is_right_again() -> bool:
        return (await ask(warm.device, warm.get)).body == warm.content

    await eventually(is_right_again)


async def test_a_facade_that_drains_gives_what_it_has_begun(large: Warm) -> None:
    """It is the last answer of its connection."""
    async with stream_at_once(large) as stream:
        stopping = asyncio.create_task(asyncio.to_thread(large.facade.stop))
        await eventually(lambda: bool(large.facade.log_lines(event="draining")))
        assert await stream.end() is End.WHOLE
        assert stream.digest == str(large.digest)
        assert await stopping == 0
    large.facade.restart()
