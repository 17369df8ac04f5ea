"""Manifests that are answered at once: the same answers, in the same order, by the same decisions.

Each `send` is a TLS record of its own, and the facade is given one record at a time: where one
ends is no accident here.
"""

import contextlib
import time
from collections.abc import Mapping
from uuid import uuid4

import pytest
from attrs import frozen

from facade.rights.rights import NOTICED_WITHIN_SECONDS
from shared.oci import DOCKER_MANIFEST
from shared.statement import ConnectionApproval
from tests.support.answer_checks import require_same
from tests.support.eventually import eventually
from tests.support.facade_process import Device, Facade
from tests.support.facade_states import connect, pull_path, until_accepted, write_and_wait
from tests.support.raw_http import (
    RawAnswer,
    RawConnection,
    ask,
    raw_connection,
    request_bytes,
)
from tests.support.simulators.behaviour import Holds
from tests.support.simulators.registry import RegistrySimulator
from tests.support.statement_writer import StatementWriter

MANIFEST = b'{"schemaVersion":2,"config":{},"layers":[]}'
CONTAINERDS = (
    b"User-Agent: containerd/2.1.4\r\n"
    b"Accept: application/vnd.oci.image.manifest.v1+json, */*\r\n"
    b"Accept-Encoding: gzip\r\n"
)
MARK = request_bytes(b"/v2/")  # never answered at once: what its answer stands behind is whole
SECRET = b"canary-8e21d0c4"


@pytest.fixture(scope="module")
def facade_settings(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """Only what is stored is ever at hand."""
    cache = tmp_path_factory.mktemp("cache")
    return {"FACADE_CACHE_DIR": str(cache), "FACADE_CACHE_MAX_BYTES": "1GiB"}


@frozen
class Warm:
    """A manifest in the facade's memory, whose requests are remembered."""

    facade: Facade
    device: Device
    upstream: RegistrySimulator
    approval: ConnectionApproval
    path: bytes
    get: bytes
    head: bytes

    @property
    def at_once(self) -> int:
        """How many answers were given at once so far."""
        return int(metric(self.facade, "facade_answers_at_once_total"))


@pytest.fixture
async def warm(facade: Facade, writer: StatementWriter, upstream: RegistrySimulator) -> Warm:
    """Brought from the registry by the first request, into memory by the second."""
    digest = upstream.manifest(MANIFEST, media_type=DOCKER_MANIFEST)
    approval = await connect(facade, writer, upstream, fleets=("line-a",))
    path = pull_path(upstream, digest, kind="manifests").encode()
    get = request_bytes(path, headers=CONTAINERDS)
    head = request_bytes(path, method="HEAD", headers=CONTAINERDS)
    made = Warm(facade, facade.device(), upstream, approval, path, get, head)
    assert (await ask(made.device, get)).status == 200
    proven_at = time.monotonic()

    async def is_known_since() -> bool:
        """An answer at once says that rights were looked at lately: since this one was proven."""
        is_since, before = time.monotonic() - proven_at > NOTICED_WITHIN_SECONDS, made.at_once
        for request, method in ((get, "GET"), (head, "HEAD")):
            assert (await ask(made.device, request, to=method)).status == 200
        return is_since and made.at_once == before + 2

    await eventually(is_known_since)
    return made


def metric(facade: Facade, name: str) -> float:
    """Return a metric's value now."""
    lines = facade.operations("/metrics")[1].splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{name} "))


async def asked(connection: RawConnection, request: bytes, *, to: str = "GET") -> RawAnswer:
    """Return the answer to a request that is sent in one piece."""
    await connection.send(request)
    return await connection.answer(to=to)


async def parsed(warm: Warm, connection: RawConnection, method: str) -> RawAnswer:
    """Return the answer that a request gets by way of the parser: it came in two pieces."""
    before = warm.at_once
    request = warm.get if method == "GET" else warm.head
    await connection.send(request[:9])
    answer = await asked(connection, request[9:], to=method)
    assert warm.at_once == before
    return answer


async def require_nothing_else(connection: RawConnection) -> None:
    """Fail where an answer is on its way that nobody asked for."""
    assert (await asked(connection, MARK)).body == b"{}"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_an_answer_at_once_is_the_parsers_byte_for_byte(warm: Warm, method: str) -> None:
    """No device can tell which way its request went; nor can the log's reader, nor a graph."""
    name = 'facade_answers_total{kind="manifests",status="200"}'
    request = warm.get if method == "GET" else warm.head
    async with raw_connection(warm.device) as one, raw_connection(warm.device) as other:
        slow = await parsed(warm, one, method)
        before, counted = warm.at_once, metric(warm.facade, name)
        quick = [await asked(other, request, to=method) for _ in range(3)]
        await require_nothing_else(other)
    assert warm.at_once == before + 3
    assert metric(warm.facade, name) == counted + 3
    assert slow.header("Content-Length") == str(len(MANIFEST))
    for answer in quick:
        require_same(answer, slow)
        assert answer.body == (MANIFEST if method == "GET" else b"")
        assert answer.header("Date")
        assert log_line(warm, answer) == log_line(warm, slow)
    assert len({answer.header("X-Request-Id") for answer in (slow, *quick)}) == 4
    assert log_line(warm, slow)["status"] == 200


def log_line(warm: Warm, answer: RawAnswer) -> dict[str, object]:
    """Return the one line that tells of an answer, but for what is another in each."""
    request_id = answer.header("X-Request-Id")
    (line,) = warm.facade.log_lines(event="answered", request_id=request_id)
    for varying in ("time", "request_id"):
        assert isinstance(line.pop(varying), str)
    assert isinstance(line.pop("duration_ms"), int | float)
    return line


async def test_gets_and_heads_take_turns_on_one_connection(warm: Warm) -> None:
    """A body behind the answer to a HEAD would be taken for the next answer."""
    before = warm.at_once
    async with raw_connection(warm.device) as connection:
        for method in ("HEAD", "GET", "HEAD", "HEAD", "GET", "GET", "HEAD"):
            request = warm.get if method == "GET" else warm.head
            answer = await asked(connection, request, to=method)
            assert (answer.status, answer.body) == (200, MANIFEST if method == "GET" else b"")
        await require_nothing_else(connection)
    assert warm.at_once == before + 7


# What is asked for otherwise, by header fields or by the target, and how often it is answered:
# by the parser alone, each time.
OTHERWISE = {
    "a condition": (b"If-None-Match: {etag}\r\n", 304),
    "a range": (b"Range: bytes=0-0\r\n", 200),
    "a login": (b"Authorization: Bearer {secret}\r\n", 200),
    "a proxy's login": (b"Proxy-Authorization: Basic {secret}\r\n", 200),
    "a cookie": (b"Cookie: session={secret}\r\n", 200),
    "a field of its own": (b"X-Token: {secret}\r\n", 200),
    "no body, said": (b"Content-Length: 0\r\n", 200),
    "an expectation": (b"Expect: 100-continue\r\n", 200),
    "another protocol": (b"Connection: Upgrade\r\nUpgrade: h2c\r\n", 200),
    "options of the connection": (b"Connection: keep-alive, x-token\r\n", 200),
}


@pytest.mark.parametrize("fields, status", OTHERWISE.values(), ids=OTHERWISE)
async def test_what_is_asked_otherwise_is_never_remembered(
    warm: Warm, fields: bytes, status: int
) -> None:
    """Its answer may be another, or its bytes a secret; what follows is answered as ever."""
    digest = warm.path.rpartition(b"/")[2]
    fields = fields.replace(b"{etag}", b'"%b"' % digest).replace(b"{secret}", SECRET)
    before = warm.at_once
    for _ in range(2):
        async with raw_connection(warm.device) as connection:
            answer = await asked(connection, request_bytes(warm.path, headers=fields))
            assert (answer.status, answer.body) == (status, MANIFEST if status == 200 else b"")
            assert warm.at_once == before
            assert (await asked(connection, warm.get)).body == MANIFEST
            before = warm.at_once
            await require_nothing_else(connection)
    assert SECRET.decode() not in warm.facade.log_text


@pytest.mark.parametrize(
    "target",
    [b"{path}?token={secret}", b"{path}?ns=x&token={secret}", b"https://u:{secret}@x{path}"],
)
async def test_a_target_that_may_hold_a_secret_is_never_remembered(
    warm: Warm, target: bytes
) -> None:
    """Memory holds no request that a device could have put a password into."""
    target = target.replace(b"{path}", warm.path).replace(b"{secret}", SECRET)
    before = warm.at_once
    for _ in range(2):
        assert (await ask(warm.device, request_bytes(target))).body == MANIFEST
    assert warm.at_once == before
    assert SECRET.decode() not in warm.facade.log_text


async def test_what_containerd_says_of_the_registry_is_remembered(warm: Warm) -> None:
    """It puts `?ns=` behind each target."""
    before = warm.at_once
    for _ in range(3):
        answer = await ask(warm.device, request_bytes(warm.path + b"?ns=registry.example:5000"))
        assert answer.body == MANIFEST
    assert warm.at_once == before + 2


@pytest.mark.parametrize("version", [b"HTTP/1.0", b"HTTP/1.1"])
async def test_a_last_request_is_answered_as_the_last_one(warm: Warm, version: bytes) -> None:
    """HTTP/1.0, or `Connection: close`: what comes behind it is answered no more."""
    last = b"GET %b %b\r\nHost: x\r\nConnection: close\r\n\r\n" % (warm.path, version)
    before = warm.at_once
    for _ in range(3):
        async with raw_connection(warm.device) as connection:
            await connection.send(last)
            await connection.send(warm.get)
            answer = await connection.answer()
            assert (answer.status, answer.body) == (200, MANIFEST)
            assert b" 200 OK" not in await connection.rest()
    assert warm.at_once == before


async def test_a_request_in_two_pieces_is_answered_once_wherever_it_is_cut(warm: Warm) -> None:
    """The end of a head is no head, not even where it would be one."""
    for cut in (1, len(b"GET "), warm.get.index(b"\r\n") + 2, -4, -3, -2, -1):
        async with raw_connection(warm.device) as connection:
            await connection.send(warm.get[:cut])
            assert (await asked(connection, warm.get[cut:])).body == MANIFEST
            assert (await asked(connection, warm.get)).body == MANIFEST
            await require_nothing_else(connection)


async def test_requests_behind_one_another_are_answered_in_their_order(warm: Warm) -> None:
    """In one piece, and in many that come before the first answer is there."""
    before = warm.at_once
    for pieces in ([warm.get + MARK + warm.head + warm.get], [warm.get, MARK, warm.head, warm.get]):
        async with raw_connection(warm.device) as connection:
            for piece in pieces:
                await connection.send(piece)
            assert (await connection.answer()).body == MANIFEST
            assert (await connection.answer()).body == b"{}"
            assert (await connection.answer(to="HEAD")).header("Content-Length") == str(
                len(MANIFEST)
            )
            assert (await connection.answer()).body == MANIFEST
            await require_nothing_else(connection)
    assert before <= warm.at_once <= before + 4


async def test_no_answer_overtakes_one_that_takes_longer(warm: Warm) -> None:
    """The device would take a manifest for the blob that it asked for first."""
    held = Holds(0)
    blob = pull_path(warm.upstream, warm.upstream.blob(b"content", get=held)).encode()
    before, seen = warm.at_once, len(warm.upstream.pulls)
    async with raw_connection(warm.device) as connection:
        await connection.send(request_bytes(blob))
        await eventually(lambda: len(warm.upstream.pulls) > seen)
        await connection.send(warm.get)
        await connection.send(warm.head)
        await warm.device.get("/v2/")  # both have reached the facade
        held.gate.set()
        assert (await connection.answer()).body == b"content"
        assert (await connection.answer()).body == MANIFEST
        assert (await connection.answer(to="HEAD")).status == 200
        await require_nothing_else(connection)
    assert warm.at_once == before


# What a device says of a body, and that body as it comes, with a remembered request in it.
BODIES = {
    "a length": (b"Content-Length: {length}\r\n", [b"{request}"]),
    "chunks": (b"Transfer-Encoding: chunked\r\n", [b"{size}\r\n", b"{request}", b"\r\n0\r\n\r\n"]),
    "chunks, and a trailer": (
        b"Transfer-Encoding: chunked\r\n",
        [b"0\r\nX: ", b"{request}"],
    ),
    "a length, and an expectation": (
        b"Expect: 100-continue\r\nContent-Length: {length}\r\n",
        [b"{request}"],
    ),
}


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("fields, pieces", BODIES.values(), ids=BODIES)
async def test_a_request_within_a_body_is_never_answered(
    warm: Warm, method: str, fields: bytes, pieces: list[bytes]
) -> None:
    """Smuggled by whoever can put bytes into another's request, it would shift all answers."""

    def filled(template: bytes) -> bytes:
        length = len(warm.get)
        return (
            template.replace(b"{length}", b"%d" % length)
            .replace(b"{size}", b"%x" % length)
            .replace(b"{request}", warm.get)
        )

    before = warm.at_once
    async with raw_connection(warm.device) as connection:
        outer = request_bytes(b"/v2/", method=method, headers=filled(fields))
        await connection.send(outer)
        for piece in pieces:
            await connection.send(filled(piece))
        answer = await connection.answer()
        assert answer.status == (200 if method == "GET" else 405)
        assert answer.body != MANIFEST
        assert MANIFEST not in await rest_behind(connection)
    assert warm.at_once == before


async def rest_behind(connection: RawConnection) -> bytes:
    """Return all that still comes, of whatever the facade holds for a request."""
    with contextlib.suppress(ConnectionError):  # closed is right too
        await connection.send(request_bytes(b"/v2/", headers=b"Connection: close\r\n"))
    return await connection.rest()


async def test_a_request_within_a_header_field_is_never_answered(warm: Warm) -> None:
    """Its first line is the value of a field that began in the piece before."""
    before = warm.at_once
    async with raw_connection(warm.device) as connection:
        await connection.send(b"GET /v2/ HTTP/1.1\r\nX: ")  # the Host is the inner one's
        assert (await asked(connection, warm.get)).body == b"{}"
        await require_nothing_else(connection)
    assert warm.at_once == before


@pytest.mark.parametrize("protocol", [b"websocket", b"h2c", b"tcp"])
async def test_a_request_behind_another_protocol_is_answered_in_its_turn(
    warm: Warm, protocol: bytes
) -> None:
    """The facade speaks none; what was sent meanwhile may be in its words, and is not."""
    upgrade = b"Connection: Upgrade\r\nUpgrade: %b\r\n" % protocol
    async with raw_connection(warm.device) as connection:
        await connection.send(request_bytes(b"/v2/", headers=upgrade))
        await connection.send(warm.get)
        assert (await connection.answer()).body == b"{}"
        assert (await connection.answer()).body == MANIFEST
        await require_nothing_else(connection)


MALFORMED = {
    "two hosts": b"Host: x\r\n",
    "a folded line": b"Accept: x\r\n Authorization: Bearer y\r\n",
    "line feeds alone": b"Accept: x\nCookie: y\r\n",
    "two lengths": b"Content-Length: 0\r\nContent-Length: 1\r\n",
    "a length and chunks": b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n",
}


@pytest.mark.parametrize("fields", MALFORMED.values(), ids=MALFORMED)
async def test_what_the_parser_refuses_is_refused_each_time(warm: Warm, fields: bytes) -> None:
    """And ends the connection, whatever comes behind it."""
    before = warm.at_once
    for _ in range(2):
        async with raw_connection(warm.device) as connection:
            await connection.send(request_bytes(warm.path, headers=fields))
            await connection.send(warm.get)
            assert (await connection.answer()).status == 400
            assert MANIFEST not in await connection.rest()
    assert warm.at_once == before


async def test_line_feeds_alone_end_no_head(warm: Warm) -> None:
    """A proxy that takes them for an end would see one request, and the facade two."""
    before = warm.at_once
    async with raw_connection(warm.device) as connection:
        answer = await asked(connection, warm.get.replace(b"\r\n", b"\n"))
        assert answer.status == 400
        assert MANIFEST not in await connection.rest()
    assert warm.at_once == before


async def test_blank_lines_before_a_request_are_no_request(warm: Warm) -> None:
    """RFC 9112 section 2.2 has servers ignore them."""
    async with raw_connection(warm.device) as connection:
        await connection.send(b"\r\n\r\n")
        assert (await asked(connection, warm.get)).body == MANIFEST
        await require_nothing_else(connection)


async def test_a_revoked_connection_serves_nothing_at_once(
    warm: Warm, writer: StatementWriter
) -> None:
    """On the connections of devices that are open: nothing that is remembered gives a right."""
    async with raw_connection(warm.device) as connection:
        before = warm.at_once
        assert (await asked(connection, warm.get)).body == MANIFEST
        assert warm.at_once == before + 1
        await write_and_wait(warm.facade, writer, writer.revocation(warm.approval.connection_id))
        answer = await asked(connection, warm.get)
        assert (answer.status, answer.error["code"]) == (404, "NAME_UNKNOWN")
        assert (await asked(connection, warm.head, to="HEAD")).status == 404
        assert warm.at_once == before + 1


async def test_a_revoked_device_is_served_nothing_at_once(
    warm: Warm, writer: StatementWriter
) -> None:
    """Its connections are cut, a new one is told why; whoever asked the same goes on."""
    name = f"press-{uuid4().hex}"
    revoked = warm.facade.device(warm.facade.files.device_ca.issue_device(device=name))
    async with raw_connection(revoked) as connection:
        before = warm.at_once
        assert (await asked(connection, warm.get)).body == MANIFEST
        assert warm.at_once == before + 1
        revocation = writer.device_revocation(f"spiffe://example.com/fleet/line-a/device/{name}")
        await writer.write(revocation)
        assert await connection.until_reset() == b""
        await until_accepted(warm.facade, revocation)
    async with raw_connection(revoked) as connection:
        answer = await asked(connection, warm.get)
        assert (answer.status, answer.error["code"]) == (403, "DENIED")
    assert warm.at_once == before + 1
    async with raw_connection(warm.device) as connection:
        assert (await asked(connection, warm.get)).body == MANIFEST
    assert warm.at_once == before + 2


async def test_a_device_of_another_fleet_gets_its_own_answer_to_the_same_bytes(warm: Warm) -> None:
    """What is remembered is what was asked, and not who may have it."""
    other = warm.facade.device(warm.facade.files.device_ca.issue_device(fleet="line-b"))
    async with raw_connection(warm.device) as ours, raw_connection(other) as others:
        before = warm.at_once
        for _ in range(3):
            assert (await asked(ours, warm.get)).body == MANIFEST
            answer = await asked(others, warm.get)
            assert (answer.status, answer.error["code"]) == (404, "NAME_UNKNOWN")
        assert warm.at_once == before + 3
