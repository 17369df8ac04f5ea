"""Whatever a facade reads from outside is nonsense for a while; a victim notices nothing."""

import asyncio
import itertools
import signal
from pathlib import Path

import pytest
from typing_extensions import override

from shared.outside_bytes import Party
from tests.adversary.facade.attacked import AttackedFacade
from tests.adversary.facade.common_checks import reloading_goes_on, require_still_looking
from tests.adversary.guards import check
from tests.adversary.nonsense import Nonsense
from tests.support.database_writer import DatabaseWriter, Row
from tests.support.facade_process import Device
from tests.support.facade_states import pull_path
from tests.support.simulators.registry import RegistrySimulator
from tests.support.simulators.wire import RecordedRequest, Wire
from tests.support.swapped_files import put

pytestmark = pytest.mark.attack

DEVICES = 16
DIGEST = "sha256:" + "a" * 64
TOKEN = b'{"token": "abc", "expires_in": 300, "issued_at": "2026-11-29T00:00:00Z"}'
MANIFEST = b'{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json"}'
LIST = b'{"schemaVersion":2,"manifests":[{"digest":"sha256:%b"}]}' % (b"b" * 64)
GIVEN = (200, 206, 301, 307, 308, 404, 416)
STATUSES = (*GIVEN, 401, 403, 429, 500, 503)
REFUSED = {403, 404, 429, 502, 503}  # what a device may be answered


class NonsenseRegistry(RegistrySimulator):
    """Answers each request with a status and headers that are nearly right, and any body."""

    nonsense = Nonsense()
    statuses: tuple[int, ...] = STATUSES

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
            self.nonsense.one_of(self.statuses), (*headers, ("Content-Length", str(len(body))))
        )
        if request.method != "HEAD":
            await wire.write(body)


class GivingRegistry(NonsenseRegistry):
    """Is well: one that refuses a login, or fails, is soon not asked any more."""

    statuses = GIVEN


@check(
    "shared/upstream/redirect.py",
    "    except InvalidReferenceError:",
    "    except ZeroDivisionError:",
)
async def test_a_registry_that_answers_nonsense(attacked: AttackedFacade) -> None:
    """Challenges, redirects, ranges, tokens, manifests, lists of referrers."""
    devices = [attacked.attacker(f"attacker-{each}") for each in range(DEVICES)]
    numbers = itertools.count()
    async with NonsenseRegistry() as failing, GivingRegistry() as giving:
        for registry in (failing, giving):
            await attacked.connect(registry, referrers=True)

        async def ask(device: Device, registry: RegistrySimulator) -> None:
            number = next(numbers)
            kind = ("blobs", "manifests", "referrers")[number % 3]
            method = ("GET", "HEAD")[number // 3 % 2]
            path = pull_path(registry, f"sha256:{number:064x}", kind=kind)
            answer = await device.get(path, method=method)
            has_no_content = method == "HEAD" or kind == "referrers"
            assert answer.status in REFUSED or (has_no_content and answer.status == 200)

        async with attacked.watched("nonsense in answers", Party.REGISTRY) as attack:
            while attack.goes_on:
                await asyncio.gather(
                    *(ask(each, registry) for each in devices for registry in (failing, giving))
                )
        asked = len(giving.requests)
    assert asked > 2 * DEVICES, "the registry that gives is hardly asked"


@check(
    "facade/devices/incoming_requests.py",
    "        except HttpProcessingError as error:",
    "        except ZeroDivisionError as error:",
)
async def test_a_device_that_asks_for_nonsense(attacked: AttackedFacade) -> None:
    """Paths, methods, ranges, heads."""
    nonsense, device = Nonsense(), attacked.attacker()
    good = attacked.blob(b"content")
    await attacked.connect(referrers=True)
    listed = f"{good.replace('/blobs/', '/referrers/')}?artifactType=a%2Fb&last={DIGEST}"
    head = f"GET {good} HTTP/1.1\r\nHost: x\r\nRange: bytes=0-1\r\nAccept: */*\r\n\r\n".encode()
    lists = f"GET {listed} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    async with attacked.watched("nonsense in requests", Party.DEVICE) as attack:
        while attack.goes_on:
            await device.raw(b"".join(nonsense.like(head, lists) for _ in range(8)), wait=0.2)
    assert not attacked.facade.log_lines(level="error")


@check(
    "facade/approvals/verified_row.py",
    "        if statement.subject != row.subject:\n",
    "        if False and statement.subject != row.subject:\n",
)
async def test_a_database_writer_who_writes_nonsense(attacked: AttackedFacade) -> None:
    """Every column of a row that was believed once, and of others."""
    nonsense, is_damaged = Nonsense(), False
    approval = await attacked.connect()
    database = DatabaseWriter(attacked.database.owner_url)
    row = await database.row(approval.subject)
    async with attacked.watched("nonsense in rows", Party.DATABASE) as attack:
        while attack.goes_on:
            is_damaged = (
                not is_damaged
            )  # what is signed stands under another name, every other time
            await database.put(
                Row(
                    subject=f"connection/{nonsense.header(approval.subject)}"[:2000],
                    type=nonsense.header(row.type)[:200] if is_damaged else row.type,
                    key_id=nonsense.header(row.key_id)[:200] if is_damaged else row.key_id,
                    payload=nonsense.like(row.payload) if is_damaged else row.payload,
                    signature=nonsense.like(row.signature) if is_damaged else row.signature,
                    generation=row.generation + 1,
                )
            )
    assert attacked.facade.is_ready()
    assert attacked.metric("facade_approved_connections") == 2


@reloading_goes_on
async def test_files_of_nonsense(attacked: AttackedFacade) -> None:
    """Each file that is read again when it changes; the old content stays in use."""
    nonsense, facade = Nonsense(), attacked.facade
    # Another key or CA may come out of the others, and would rightly be taken.
    settings = (
        "FACADE_TLS_CERT_FILE",
        "FACADE_TLS_KEY_FILE",
        "FACADE_SEALING_PRIVATE_KEY_FILE",
    )
    paths = [Path(facade.environment[each]) for each in settings]
    before = {path: path.read_bytes() for path in paths}
    async with attacked.watched("nonsense in files", Party.FILE) as attack:
        while attack.goes_on:
            for path, content in before.items():
                await asyncio.to_thread(put, path, nonsense.like(content))
            facade.child.process.send_signal(signal.SIGHUP)
            await asyncio.sleep(0.05)
        for path, content in before.items():
            await asyncio.to_thread(put, path, content)
        await require_still_looking(facade)
