"""The log line of a refusal says which device asked for what, and holds nothing that is secret."""

from typing import Any
from uuid import uuid4

import pytest

from tests.support.facade_process import Device, Facade
from tests.support.facade_states import write_and_wait
from tests.support.raw_http import ask, request_bytes
from tests.support.statement_writer import StatementWriter
from tests.system.facade.conftest import Served

CANARY = "canary-52ab0c77"
DIGEST = "sha256:" + "0" * 64
APP = "/v2/{host}/team/app"


async def refused_line(facade: Facade, device: Device, request: bytes) -> dict[str, Any]:
    """Return the one line of a request's refusal."""
    answer = await ask(device, request, to=request.partition(b" ")[0].decode())
    assert answer.status >= 400
    request_id = answer.header("X-Request-Id")
    (line,) = facade.log_lines(event="answered", request_id=request_id)
    assert line["status"] == answer.status
    return line


@pytest.mark.parametrize(
    "method, target, reason, kind, reference",
    [
        ("GET", f"{APP}/manifests/v1.2-rc.1", "tag", "manifests", "v1.2-rc.1"),
        ("HEAD", f"{APP}/manifests/latest", "tag", "manifests", "latest"),
        ("GET", f"http://u:{CANARY}@h{APP}/manifests/latest", "tag", "manifests", "latest"),
        ("GET", f"{APP}/manifests/latest?ns={CANARY}", "tag", "manifests", "latest"),
        ("GET", f"{APP}/blobs/md5:{'a' * 32}", "digest", "blobs", f"md5:{'a' * 32}"),
        ("PUT", f"{APP}/manifests/latest?digest={CANARY}", "method", "manifests", "latest"),
        ("DELETE", f"{APP}/manifests/{DIGEST}", "method", "manifests", DIGEST),
        ("POST", f"{APP}/blobs/uploads/?mount={CANARY}", "method", None, None),
        ("PATCH", f"{APP}/blobs/uploads/{CANARY}", "method", None, None),
        ("GET", f"{APP}/tags/list?n={CANARY}", "route", None, None),
        ("GET", f"{APP}/referrers/{DIGEST}", "route", None, DIGEST),
        ("GET", f"{APP}/manifests/{CANARY}%2f", "name", "manifests", None),
    ],
)
async def test_a_refusal_says_what_was_asked(
    facade: Facade,
    served: Served,
    method: str,
    target: str,
    reason: str,
    kind: str | None,
    reference: str | None,
) -> None:
    """So that an operator finds who is still set up with a tag. No query, header or password."""
    filled = served.fill(target.encode())
    secret = f"Authorization: Bearer {CANARY}\r\nCookie: {CANARY}\r\n".encode()
    request = request_bytes(filled, method=method, headers=secret)
    line = await refused_line(facade, served.device, request)
    assert line["reason"] == reason
    assert line["device"] == "spiffe://example.com/fleet/line-a/device/press-7"
    assert (line["host"], line["repository"]) == (str(served.upstream.host), "team/app")
    assert (line["method"], line["kind"], line["reference"]) == (method, kind, reference)
    assert line["digest"] == (DIGEST if reference == DIGEST else None)
    assert CANARY not in facade.log_text
    assert served.upstream.requests == []


async def test_what_names_nothing_is_refused_with_the_reason_alone(
    facade: Facade, served: Served
) -> None:
    """A path of another service tells an operator nothing, and may be anything."""
    for path in (f"/{CANARY}/x", f"/v2/{CANARY}", "/v2/_catalog", "/v1/_ping"):
        line = await refused_line(facade, served.device, request_bytes(path.encode()))
        assert line["reason"] == "route"
        names = ("host", "repository", "kind", "digest", "reference")
        assert [line[name] for name in names] == [None] * 5
    assert CANARY not in facade.log_text


async def test_another_http_version_is_refused_with_what_was_asked(
    facade: Facade, served: Served
) -> None:
    """An old client's set-up is found in the same way."""
    for reference, digest in ((DIGEST, DIGEST), ("latest", None)):
        target = served.fill(f"{APP}/manifests/{reference}".encode())
        request = b"GET %b HTTP/2.0\r\nHost: x\r\n\r\n" % target
        line = await refused_line(facade, served.device, request)
        assert (line["status"], line["repository"], line["digest"]) == (505, "team/app", digest)
        assert line.get("reference", DIGEST) == reference


async def test_a_revoked_device_is_refused_by_its_name_and_with_what_it_asked(
    facade: Facade, writer: StatementWriter, served: Served
) -> None:
    """Whoever revoked it sees whether it still tries, and what."""
    name = f"press-{uuid4().hex}"
    device = facade.device(facade.files.device_ca.issue_device(device=name))
    identity = f"spiffe://example.com/fleet/line-a/device/{name}"
    await write_and_wait(facade, writer, writer.device_revocation(identity))
    target = served.fill(f"{APP}/manifests/latest".encode())
    line = await refused_line(facade, device, request_bytes(target))
    assert (line["status"], line["device"]) == (403, identity)
    assert (line["repository"], line["reference"]) == ("team/app", "latest")
