"""What each request is answered: by the request alone, before anything is looked up."""

import contextlib
from contextlib import AsyncExitStack
from typing import Any

import pytest

from facade.pulls.held_manifests import MAX_HELD_BYTES
from shared.oci import MAX_MANIFEST_BYTES
from tests.support.answer_checks import require_error_headers
from tests.support.device_stream import End, device_stream
from tests.support.eventually import eventually
from tests.support.facade_process import Device, Facade
from tests.support.facade_states import connect, pull_path
from tests.support.raw_http import ask, raw_connection, request_bytes
from tests.support.simulators.registry import RegistrySimulator
from tests.support.statement_writer import StatementWriter
from tests.system.facade.conftest import Served

ZEROS = "sha256:" + "0" * 64
UPLOAD = "5f1e7a2c-4a53-4c3f-9f7c-1d2e3f405162"

LONG_MANIFEST = b'{"schemaVersion":2,"config":{},"layers":[],"padding":"%b"}'
METHODS_READ = ("GET", "HEAD")
# Registered methods and others that the HTTP parser knows.
METHODS_OTHER = (
    *("POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "LINK", "UNLINK"),
    *("PROPFIND", "PROPPATCH", "MKCOL", "COPY", "MOVE", "LOCK", "UNLOCK", "SEARCH", "REPORT"),
    *("PURGE", "QUERY", "M-SEARCH", "SUBSCRIBE", "SOURCE", "ACL", "BIND", "MERGE", "NOTIFY"),
)
METHODS_NONSENSE = ("FOO", "get", "Head", "G", "GETT", "X" * 100, "GET\t", "PRI", "DESCRIBE")

# The routes of the distribution specification, and of this facade's other address.
ROUTES = {
    "/v2/{host}/team/app/manifests/latest": (404, "MANIFEST_UNKNOWN"),
    "/v2/{host}/team/app/manifests/v1.2.3_rc-1": (404, "MANIFEST_UNKNOWN"),
    "/v2/{host}/team/app/manifests/sha256": (404, "MANIFEST_UNKNOWN"),
    "/v2/nowhere.example/team/app/manifests/latest": (404, "MANIFEST_UNKNOWN"),
    "/v2/{host}/team/app/blobs/latest": (400, "DIGEST_INVALID"),
    "/v2/{host}/team/app/tags/list": (404, "UNSUPPORTED"),
    "/v2/{host}/team/app/tags/list?n=5&last=a": (404, "UNSUPPORTED"),
    "/v2/_catalog": (404, "UNSUPPORTED"),
    "/v2/{host}/_catalog": (404, "UNSUPPORTED"),
    "/v2/{host}/team/app/_catalog": (404, "UNSUPPORTED"),
    "/v2/{host}/team/app/blobs/uploads/": (404, "UNSUPPORTED"),
    f"/v2/{{host}}/team/app/blobs/uploads/{UPLOAD}": (404, "UNSUPPORTED"),
    f"/v2/{{host}}/team/app/blobs/uploads/?digest={ZEROS}": (404, "UNSUPPORTED"),
    f"/v2/{{host}}/team/app/blobs/uploads/?mount={ZEROS}&from=team/other": (404, "UNSUPPORTED"),
    f"/v2/{{host}}/team/app/referrers/{ZEROS}": (404, "UNSUPPORTED"),
    "/v2": (404, "UNSUPPORTED"),
    "/v2/token": (404, "UNSUPPORTED"),
    "/v2/auth": (404, "UNSUPPORTED"),
    "/v2/{host}": (404, "UNSUPPORTED"),
    "/v2/{host}/": (404, "UNSUPPORTED"),
    "/v1/_ping": (404, "UNSUPPORTED"),
    "/token": (404, "UNSUPPORTED"),
    "/": (404, "UNSUPPORTED"),
    "/healthz": (404, "UNSUPPORTED"),
    "/readyz": (404, "UNSUPPORTED"),
    "/metrics": (404, "UNSUPPORTED"),
    "/openapi.json": (404, "UNSUPPORTED"),
}


async def test_the_version_check_is_answered_as_clients_expect_it(served: Served) -> None:
    """Podman and skopeo begin with it."""
    for target in (b"/v2/", b"/v2/?x=y"):
        answer = await ask(served.device, request_bytes(target))
        assert (answer.status, answer.body) == (200, b"{}")
        assert answer.header("Docker-Distribution-API-Version") == "registry/2.0"
        assert answer.header("Content-Type") == "application/json"
        assert answer.header("X-Request-Id")


async def test_a_registrys_port_is_told_its_form(served: Served) -> None:
    """As people write it, it cannot stand in a path: the answer says how it is written."""
    for host in (str(served.upstream.host), str(served.upstream.host).replace(":", "%3A")):
        answer = await ask(served.device, request_bytes(f"/v2/{host}/a/blobs/{ZEROS}".encode()))
        assert (answer.status, answer.error["code"]) == (400, "NAME_INVALID")
        assert "host_port" in answer.error["message"]
        assert host not in answer.error["message"]


async def test_each_route_has_its_answer_for_each_method(
    served: Served, subtests: pytest.Subtests
) -> None:
    """Only digests are read, and nothing is ever written: by any method, on any route."""
    for template, (status, code) in ROUTES.items():
        with subtests.test(route=template):
            target = served.fill(template.encode())
            async with raw_connection(served.device) as connection:
                for method in METHODS_READ:
                    await connection.send(request_bytes(target, method=method))
                    answer = await connection.answer(to=method)
                    assert answer.status == status
                    assert answer.header("Allow") is None
                    require_error_headers(answer)
                    if method == "GET":
                        assert answer.error["code"] == code
            await require_methods_refused(served.device, target)
            assert served.upstream.requests == []


@pytest.mark.parametrize("target", ["/v2/", "/v2/{host}/team/app/blobs/{digest}"])
async def test_other_methods_are_refused_where_something_is_served(
    served: Served, target: str
) -> None:
    """A method that one route refuses is not to be had on another."""
    await require_methods_refused(served.device, served.fill(target.encode()))
    assert served.upstream.requests == []


async def test_the_options_of_the_whole_server_are_refused(served: Served) -> None:
    """`OPTIONS *` names no route at all."""
    answer = await ask(served.device, request_bytes(b"*", method="OPTIONS"))
    assert (answer.status, answer.error["code"]) == (405, "UNSUPPORTED")
    assert answer.header("Allow") == "GET, HEAD"


async def test_a_connect_to_a_host_opens_no_tunnel(served: Served) -> None:
    """The facade is no proxy: what follows goes nowhere."""
    async with raw_connection(served.device) as connection:
        target = str(served.upstream.host).encode()
        await connection.send(request_bytes(target, method="CONNECT"))
        answer = await connection.answer()
        assert (answer.status, answer.error["code"]) == (405, "UNSUPPORTED")
        await connection.send(b"GET /v2/ HTTP/1.1\r\nHost: tunnelled\r\n\r\n")
    assert served.upstream.connections_made == 0


@pytest.mark.parametrize("method", METHODS_NONSENSE)
async def test_a_method_that_is_none_is_no_http(served: Served, method: str) -> None:
    """The parser refuses it before any rule of ours is asked."""
    answer = await ask(served.device, request_bytes(served.path.encode(), method=method))
    assert (answer.status, answer.error["code"]) == (400, "UNSUPPORTED")
    assert served.upstream.requests == []


async def test_an_upload_is_refused_with_its_body_unread(served: Served) -> None:
    """What stands in the body is no second request."""
    inner = request_bytes(served.path.encode())
    length = b"Content-Length: %d\r\n" % len(inner)
    async with raw_connection(served.device) as connection:
        await connection.send(request_bytes(b"/v2/", method="POST", headers=length))
        await connection.send(inner)
        answer = await connection.answer()
        assert (answer.status, answer.error["code"]) == (405, "UNSUPPORTED")
        with contextlib.suppress(ConnectionError):  # closed is right too
            await connection.send(request_bytes(b"/v2/"))
            assert (await connection.answer()).body == b"{}"
    assert served.upstream.requests == []


async def test_a_trailer_is_no_field_of_the_request_behind_it(served: Served) -> None:
    """The parser takes it for one: a range of a body in chunks cut the next answer short."""
    chunks = b"3\r\nabc\r\n0\r\nRange: bytes=0-1\r\n\r\n"
    post = request_bytes(b"/v2/", method="POST", headers=b"Transfer-Encoding: chunked\r\n")
    async with raw_connection(served.device) as connection:
        await connection.send(post + chunks + request_bytes(served.path.encode()))
        answer = await connection.answer()
        assert (answer.status, answer.header("Connection")) == (405, "close")
        assert await connection.rest() == b""
    assert (await ask(served.device, request_bytes(served.path.encode()))).body == b"content"


@pytest.mark.parametrize("protocol", [b"h2c", b"websocket", b"TLS/1.0"])
async def test_what_is_sent_behind_another_protocol_is_answered(
    served: Served, protocol: bytes
) -> None:
    """In the same piece, also one that the parser does not know: it dropped what followed."""
    upgrade = b"Connection: Upgrade\r\nUpgrade: %b\r\n" % protocol
    async with raw_connection(served.device) as connection:
        await connection.send(
            request_bytes(b"/v2/_catalog", headers=upgrade) + request_bytes(served.path.encode())
        )
        await connection.send(request_bytes(b"/v2/"))
        assert (await connection.answer()).status == 404
        assert (await connection.answer()).body == b"content"
        assert (await connection.answer()).body == b"{}"


async def test_two_requests_at_once_are_answered_one_after_the_other(served: Served) -> None:
    """Pipelined answers in another order would be another device's bytes."""
    other = served.upstream.blob(b"other content")
    async with raw_connection(served.device) as connection:
        await connection.send(
            request_bytes(served.path.encode())
            + request_bytes(b"/v2/_catalog")
            + request_bytes(pull_path(served.upstream, other).encode())
        )
        assert (await connection.answer()).body == b"content"
        assert (await connection.answer()).status == 404
        assert (await connection.answer()).body == b"other content"


@pytest.mark.parametrize("version", [b"HTTP/2.0", b"HTTP/0.9"])
async def test_other_versions_of_http_are_refused(served: Served, version: bytes) -> None:
    """The parser lets them pass, and would answer in a version that it does not speak."""
    request = b"GET %b %b\r\nHost: x\r\n\r\n" % (served.path.encode(), version)
    answer = await ask(served.device, request)
    assert (answer.status, answer.error["code"]) == (505, "UNSUPPORTED")
    assert served.upstream.requests == []


async def test_a_request_line_without_a_version_is_refused(served: Served) -> None:
    """HTTP/0.9 has no headers, so nothing in its answers could be checked."""
    answer = await ask(served.device, b"GET %b\r\n\r\n" % served.path.encode())
    assert (answer.status, answer.error["code"]) == (505, "UNSUPPORTED")
    assert served.upstream.requests == []


async def test_http_10_gets_manifests_and_no_blobs(served: Served) -> None:
    """An aborted HTTP/1.0 body looks whole; a manifest is verified before its first header."""
    blob = b"GET %b HTTP/1.0\r\nHost: x\r\n\r\n" % served.path.encode()
    async with raw_connection(served.device) as connection:
        await connection.send(blob)
        answer = await connection.answer()
        assert (answer.status, answer.error["code"]) == (505, "UNSUPPORTED")
        assert await connection.rest() == b""
    assert served.upstream.requests == []
    body = b'{"schemaVersion":2,"config":{},"layers":[]}'
    path = pull_path(served.upstream, served.upstream.manifest(body), kind="manifests")
    answer = await ask(served.device, b"GET %b HTTP/1.0\r\nHost: x\r\n\r\n" % path.encode())
    assert (answer.status, answer.body) == (200, body)


async def answered_lines(facade: Facade, request_id: str | None) -> list[dict[str, Any]]:
    """Return what the log says of an answer, whose bytes may be there before."""
    about = {"event": "answered", "request_id": request_id}
    await eventually(lambda: bool(facade.log_lines(**about)))
    return facade.log_lines(**about)


async def test_every_answer_has_a_request_id_of_its_own_that_the_log_names(
    facade: Facade, served: Served
) -> None:
    """An operator who is told an id finds the line."""
    answers = [
        await ask(served.device, request_bytes(target.encode(), method=method), to=method)
        for target in (served.path, "/v2/", "/v2/_catalog", "/v2/nowhere.example/a/blobs/" + ZEROS)
        for method in ("GET", "HEAD", "POST")
    ]
    ids = [answer.header("X-Request-Id") for answer in answers]
    assert all(ids)
    assert len(set(ids)) == len(ids)
    for answer, request_id in zip(answers, ids, strict=True):
        (line,) = await answered_lines(facade, request_id)
        assert line["status"] == answer.status


async def require_methods_refused(device: Device, target: bytes) -> None:
    """Fail unless each of the other methods is answered as one that is not served."""
    async with raw_connection(device) as connection:
        for method in METHODS_OTHER:
            await connection.send(request_bytes(target, method=method))
            answer = await connection.answer()
            assert (answer.status, answer.error["code"]) == (405, "UNSUPPORTED"), method
            assert answer.header("Allow") == "GET, HEAD"
            require_error_headers(answer)
    # Its target is a host and port; the parser refuses others.
    answer = await ask(device, request_bytes(target, method="CONNECT"))
    assert (answer.status, answer.error["code"]) in {(400, "UNSUPPORTED"), (405, "UNSUPPORTED")}


async def test_a_device_that_reads_no_long_manifest_is_given_no_more_of_them(
    facade: Facade, writer: StatementWriter, upstream: RegistrySimulator
) -> None:
    """Without a store they stay in memory until they are read; short ones it gets all the same."""
    padding = MAX_MANIFEST_BYTES - 100
    paths = [
        pull_path(
            upstream,
            upstream.manifest(LONG_MANIFEST % (b"%d" % number * padding)),
            kind="manifests",
        )
        for number in range(MAX_HELD_BYTES // padding + 1)
    ]
    short = pull_path(upstream, upstream.manifest(LONG_MANIFEST % b""), kind="manifests")
    await connect(facade, writer, upstream)
    device = facade.device(facade.files.device_ca.issue_device(device="press-stopped"))
    async with AsyncExitStack() as stack:
        streams = [
            await stack.enter_async_context(
                device_stream(facade.port, device.tls(), path, receive_buffer=32 * 1024)
            )
            for path in paths[:-1]
        ]
        assert [stream.status for stream in streams] == [200] * len(streams)
        refused = await device.get(paths[-1])
        assert (refused.status, refused.error_code) == (429, "TOOMANYREQUESTS")
        assert (await device.get(short)).status == 200
        assert (await facade.device().get(paths[-1])).status == 200
        assert await streams[0].end() is End.WHOLE
        await eventually(lambda: _is_given(device, paths[-1]))


async def _is_given(device: Device, path: str) -> bool:
    return (await device.get(path)).status == 200
