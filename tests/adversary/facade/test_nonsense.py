"""Whatever a facade reads from outside is nonsense for a while; a victim notices nothing."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from typing_extensions import override

from shared.outside_bytes import Party
from tests.adversary.nonsense import Nonsense
from tests.adversary.watch import Target, Watch
from tests.support.database_writer import DatabaseWriter, Row
from tests.support.facade_database import FacadeDatabase
from tests.support.facade_process import Facade
from tests.support.facade_states import connect, pull_path
from tests.support.simulators.registry import RegistrySimulator
from tests.support.simulators.wire import RecordedRequest, Wire
from tests.support.statement_writer import StatementWriter
from tests.support.swapped_files import put

pytestmark = pytest.mark.attack

DIGEST = "sha256:" + "a" * 64
TOKEN = b'{"token": "abc", "expires_in": 300, "issued_at": "2026-11-29T00:00:00Z"}'
MANIFEST = b'{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json"}'
LIST = b'{"schemaVersion":2,"manifests":[{"digest":"sha256:%b"}]}' % (b"b" * 64)
STATUSES = (200, 206, 301, 307, 308, 401, 403, 404, 416, 429, 500, 503)


class NonsenseRegistry(RegistrySimulator):
    """Answers each request with a status and headers that are nearly right, and any body."""

    nonsense = Nonsense()

    @override
    async def respond(self, request: RecordedRequest, wire: Wire) -> None:
        header, body = self.nonsense.header, self.nonsense.like(TOKEN, MANIFEST, LIST)
        headers = (
            ("WWW-Authenticate", header(f'Bearer realm="{self.origin}/token",scope="a:b:c"')),
            ("Location", header(f"{self.origin}/v2/x", "//x/../y?z", "/v2/")),
            ("Content-Range", header("bytes 0-1/2", "bytes */3", "bytes 0-0/*")),
            ("Retry-After", header("3", "Sun, 29 Nov 2026 06:00:00 GMT")),
            ("Content-Type", header("application/vnd.oci.image.manifest.v1+json")),
            ("Docker-Content-Digest", header(DIGEST)),
            ("Link", header('</v2/_catalog?n=1>; rel="next"')),
        )
        await wire.head(
            self.nonsense.one_of(STATUSES), (*headers, ("Content-Length", str(len(body))))
        )
        if request.method != "HEAD":
            await wire.write(body)


async def test_a_registry_that_answers_nonsense(
    watch: Watch, target: Target, facade: Facade, own_writer: StatementWriter
) -> None:
    """Challenges, redirects, ranges, tokens, manifests, lists of referrers."""
    device = facade.device(facade.files.device_ca.issue_device(device="attacker"))
    async with NonsenseRegistry() as registry:
        await connect(facade, own_writer, registry, referrers=True)
        async with watch("nonsense", "answers", Party.REGISTRY, target) as attack:
            number = 0
            while attack.goes_on:
                number += 1
                kind = ("blobs", "manifests", "referrers")[number % 3]
                path = pull_path(registry, f"sha256:{number:064x}", kind=kind)
                answer = await device.get(path, method=("GET", "HEAD")[number // 3 % 2])
                is_list = kind == "referrers" and answer.status == 200
                assert is_list or answer.status in {403, 404, 429, 502, 503}


async def test_a_device_that_asks_for_nonsense(
    watch: Watch,
    target: Target,
    facade: Facade,
    own_writer: StatementWriter,
    upstream: RegistrySimulator,
) -> None:
    """Paths, methods, ranges, heads."""
    nonsense = Nonsense()
    good = pull_path(upstream, upstream.blob(b"content"))
    await connect(facade, own_writer, upstream, referrers=True)
    device = facade.device(facade.files.device_ca.issue_device(device="attacker"))
    listed = f"{good.replace('/blobs/', '/referrers/')}?artifactType=a%2Fb&last={DIGEST}"
    head = f"GET {good} HTTP/1.1\r\nHost: x\r\nRange: bytes=0-1\r\nAccept: */*\r\n\r\n".encode()
    lists = f"GET {listed} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    async with watch("nonsense", "requests", Party.DEVICE, target) as attack:
        while attack.goes_on:
            await device.raw(b"".join(nonsense.like(head, lists) for _ in range(8)), wait=0.2)


async def test_a_database_writer_who_writes_nonsense(
    watch: Watch,
    target: Target,
    facade: Facade,
    own_database: FacadeDatabase,
    own_writer: StatementWriter,
    upstream: RegistrySimulator,
) -> None:
    """Every column of a row that was believed once, and of others."""
    nonsense = Nonsense()
    approval = await connect(facade, own_writer, upstream)
    database = DatabaseWriter(own_database.owner_url)
    row = await database.row(approval.subject)
    async with watch("nonsense", "rows", Party.DATABASE, target) as attack:
        while attack.goes_on:
            await database.put(
                Row(
                    subject=f"connection/{nonsense.header(approval.subject)}"[:2000],
                    type=nonsense.header(row.type)[:200],
                    key_id=nonsense.header(row.key_id)[:200],
                    payload=nonsense.like(row.payload),
                    signature=nonsense.like(row.signature),
                    generation=row.generation + 1,
                )
            )
    assert facade.is_ready()


async def test_files_of_nonsense(watch: Watch, target: Target, facade: Facade) -> None:
    """Each file that is read again when it changes; the old content stays in use."""
    nonsense = Nonsense()
    # Another key or CA may come out of the others, and would rightly be taken.
    settings = (
        "FACADE_TLS_CERT_FILE",
        "FACADE_TLS_KEY_FILE",
        "FACADE_SEALING_PRIVATE_KEY_FILE",
    )
    paths = [Path(facade.environment[each]) for each in settings]
    before = {path: path.read_bytes() for path in paths}
    reload: Callable[[], None] = lambda: os.kill(facade.child.pid, 1)  # noqa: E731
    async with watch("nonsense", "files", Party.FILE, target) as attack:
        while attack.goes_on:
            for path, content in before.items():
                await asyncio.to_thread(put, path, nonsense.like(content))
            reload()
            await asyncio.sleep(0.05)
        for path, content in before.items():
            await asyncio.to_thread(put, path, content)
        reload()
