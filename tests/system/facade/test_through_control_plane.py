"""Both processes on one Postgres: what an operator does is what devices see."""

import asyncio
import datetime as dt
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvloop
from attrs import define

from deploy.dev.postgres import Postgres
from shared.canonical_json import format_time
from tests.support.answer_checks import require_same_refusal
from tests.support.both_processes import start_control_plane, start_facade_of
from tests.support.control_plane import ControlPlane, Json
from tests.support.eventually import eventually
from tests.support.facade_database import FacadeDatabase
from tests.support.facade_process import Device, Facade
from tests.support.facade_states import CANARY_TOKEN, USERNAME, pull_path
from tests.support.raw_http import RawAnswer, ask, raw_connection, request_bytes
from tests.support.simulators.behaviour import Stalls
from tests.support.simulators.login import BasicLogin
from tests.support.simulators.registry import RegistrySimulator
from tests.system.facade.conftest import NOTIFY_ALONE

BLOB = bytes(1_000_000)
SENT_BEFORE_STALLING = 600_000  # more than the facade holds back
SECOND_TOKEN = f"{CANARY_TOKEN}-second"


@pytest.fixture(scope="module")
def plane(
    postgres: Postgres,
    facade_database: FacadeDatabase,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[ControlPlane]:
    """The control plane of the module's database, with alice, bob, root and eve."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        folder = tmp_path_factory.mktemp("control-plane")
        started = runner.run(start_control_plane(postgres, facade_database, folder))
    yield started
    started.stop()


@pytest.fixture(scope="module")
def facade(
    plane: ControlPlane,
    facade_database: FacadeDatabase,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Facade]:
    """A facade with the keys that the control plane's command made."""
    folder = tmp_path_factory.mktemp("facade")
    running = start_facade_of(plane, facade_database, folder, NOTIFY_ALONE)
    yield running
    running.child.kill()


@define
class Operation:
    """Operators, a device and a registry of its own."""

    plane: ControlPlane
    facade: Facade
    upstream: RegistrySimulator
    path: str

    async def connect(self) -> Json:
        """Have alice connect the registry; it is pending."""
        return await self.plane.client("alice").connect(
            str(self.upstream.host), username=USERNAME, token=CANARY_TOKEN, plain_http=True
        )

    async def answer(self, *, fleet: str = "line-a") -> RawAnswer:
        """Return what a device of a fleet is answered."""
        device = self.facade.device(self.facade.files.device_ca.issue_device(fleet=fleet))
        return await ask(device, request_bytes(self.path.encode()))

    def new_device(self, name: str) -> Device:
        """Return a device of `line-a` with a new certificate."""
        return self.facade.device(self.facade.files.device_ca.issue_device(device=name))

    async def asks(self, device: Device) -> RawAnswer:
        """Return what this device is answered."""
        return await ask(device, request_bytes(self.path.encode()))

    async def is_answered(self, status: int, device: Device) -> None:
        """Return once this device is answered so."""

        async def is_so() -> bool:
            return (await self.asks(device)).status == status

        await eventually(is_so)

    async def becomes(self, status: int, *, fleet: str = "line-a") -> None:
        """Return once a device is answered so: facades poll once an hour here."""

        async def is_so() -> bool:
            return (await self.answer(fleet=fleet)).status == status

        await eventually(is_so)


async def until_told(facade: Facade, subject: str, generation: int) -> None:
    """Return once the facade believes a statement about a subject that begins so."""

    def is_told() -> bool:
        return any(
            line["subject"].startswith(subject)
            for line in facade.log_lines(event="statement accepted", generation=generation)
        )

    await eventually(is_told)


@pytest.fixture
async def operation(plane: ControlPlane, facade: Facade, upstream: RegistrySimulator) -> Operation:
    """Nothing is connected yet."""
    return Operation(plane, facade, upstream, pull_path(upstream, upstream.blob(b"content")))


async def test_not_connected_pending_and_revoked_are_the_same_bytes(operation: Operation) -> None:
    """And in between it serves: without a restart."""
    not_connected = await operation.answer()
    view = await operation.connect()
    assert view["status"] == "pending"
    pending = await operation.answer()
    assert operation.upstream.requests == []
    await operation.plane.client("bob").approve(view)
    await operation.becomes(200)
    await operation.plane.client("bob").revoke(view["id"])
    await operation.becomes(404)
    asked = len(operation.upstream.requests)
    revoked = await operation.answer()
    assert len(operation.upstream.requests) == asked
    require_same_refusal(pending, not_connected)
    require_same_refusal(revoked, not_connected)
    assert (revoked.status, revoked.error["code"]) == (404, "NAME_UNKNOWN")


async def test_an_approved_revision_serves_while_a_draft_waits(operation: Operation) -> None:
    """What devices see is what was approved, until the draft is."""
    bob = operation.plane.client("bob")
    view = await operation.connect()
    await bob.approve(view)
    await operation.becomes(200)
    drafted = await operation.plane.client("alice").edit(view["id"], fleets=["line-b"])
    assert drafted["draft"]["fleets"] == ["line-b"]
    assert (await operation.answer()).status == 200
    await bob.approve(drafted)
    await operation.becomes(404)
    await operation.becomes(200, fleet="line-b")
    # Nothing of the draft's making is a statement: the facade was told of two approvals.
    subject = f"connection/{view['id']}"

    def accepted() -> int:
        lines = operation.facade.log_lines(event="statement accepted", subject=subject)
        return len(lines)

    await eventually(lambda: accepted() >= 2)  # it is told when it is on disk, after the effect
    assert accepted() == 2


async def test_a_discarded_draft_leaves_what_serves(operation: Operation) -> None:
    """As if it had never been."""
    view = await operation.connect()
    await operation.plane.client("bob").approve(view)
    await operation.becomes(200)
    alice = operation.plane.client("alice")
    await alice.edit(view["id"], repositories=["other/**"])
    await alice.discard(view["id"])
    assert (await operation.answer()).status == 200


async def test_an_old_secret_serves_until_the_new_one_is_approved(operation: Operation) -> None:
    """The registry is told by nobody: its operator changes the password when they are ready."""
    bob = operation.plane.client("bob")
    view = await operation.connect()
    await bob.approve(view)
    await operation.becomes(200)
    rotated = await operation.plane.client("alice").put_credential(
        view["id"], username=USERNAME, token=SECOND_TOKEN
    )
    assert (await operation.answer()).status == 200
    operation.upstream.login = BasicLogin(USERNAME, SECOND_TOKEN)
    await bob.approve(rotated)
    await operation.becomes(200)


async def test_a_revoked_connections_place_is_free(operation: Operation) -> None:
    """For a new connection, which is a new subject."""
    bob = operation.plane.client("bob")
    first = await operation.connect()
    await bob.approve(first)
    await operation.becomes(200)
    await bob.revoke(first["id"])
    await operation.becomes(404)
    second = await operation.connect()
    assert second["id"] != first["id"]
    await bob.approve(second)
    await operation.becomes(200)


async def test_an_approval_of_a_moment_ends_by_itself(operation: Operation) -> None:
    """The expiry is in the statement, and the facade's clock decides."""
    bob, view = operation.plane.client("bob"), await operation.connect()
    await bob.approve(view)
    await operation.becomes(200)
    ends = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=2)
    await bob.approve(view, expires_at=format_time(ends))
    await operation.becomes(404)
    assert dt.datetime.now(dt.UTC) >= ends - dt.timedelta(milliseconds=1)  # as it is written


async def test_the_facade_serves_with_the_control_plane_gone(operation: Operation) -> None:
    """It never speaks to it."""
    view = await operation.connect()
    await operation.plane.client("bob").approve(view)
    await operation.becomes(200)
    operation.plane.child.pause()
    try:
        assert (await operation.answer()).body == b"content"
    finally:
        operation.plane.child.resume()


async def test_a_device_is_revoked_and_let_back_in(operation: Operation) -> None:
    """By its id, as its certificate says it: the connection that it has open ends, too."""
    bob = operation.plane.client("bob")
    await bob.approve(await operation.connect())
    await operation.becomes(200)
    name = f"press-{uuid.uuid4().hex}"
    device, other = operation.new_device(name), operation.new_device(f"{name}-b")
    async with raw_connection(device) as connection:
        await connection.send(request_bytes(operation.path.encode()))
        assert (await connection.answer()).status == 200
        identity = f"spiffe://example.com/fleet/line-a/device/{name}"
        revocation = await bob.revoke_device(device=identity, reason="stolen")
        await connection.rest()
    refused = await operation.asks(device)
    assert (refused.status, refused.error["code"]) == (403, "DENIED")
    assert refused.header("Connection") == "close"
    assert b"stolen" not in refused.body
    assert (await operation.asks(other)).status == 200
    await bob.lift(revocation["id"])
    await operation.is_answered(200, device)


async def test_the_running_stream_of_a_revoked_device_is_cut(operation: Operation) -> None:
    """With a reset; that of its neighbour on the same blob goes on."""
    bob = operation.plane.client("bob")
    await bob.approve(await operation.connect())
    await operation.becomes(200)
    digest = operation.upstream.blob(BLOB, get=Stalls(after=SENT_BEFORE_STALLING))
    request = request_bytes(pull_path(operation.upstream, digest).encode())
    name = f"press-{uuid.uuid4().hex}"
    device, other = operation.new_device(name), operation.new_device(f"{name}-b")
    async with raw_connection(device) as connection, raw_connection(other) as neighbour:
        for each in (connection, neighbour):
            await each.send(request)
            assert await each.head() == (200, len(BLOB))
        await bob.revoke_device(device=f"spiffe://example.com/fleet/line-a/device/{name}")
        received = await connection.until_reset()
        assert len(received) < len(BLOB)
        with pytest.raises(TimeoutError):
            await neighbour.rest(seconds=0.1)


@pytest.mark.parametrize("issuer", [None, "test device CA", "another CA"])
async def test_a_certificate_is_revoked_and_let_back_in(
    operation: Operation, issuer: str | None
) -> None:
    """By its serial number, as OpenSSL prints it; the device's other certificate serves on."""
    bob = operation.plane.client("bob")
    await bob.approve(await operation.connect())
    await operation.becomes(200)
    name = f"press-{uuid.uuid4().hex}"
    issued = operation.facade.files.device_ca.issue_device(device=name)
    stolen, replacement = operation.facade.device(issued), operation.new_device(name)
    serial, padded = f"{issued.serial:x}", f"{issued.serial:040X}"
    spelled = ":".join(padded[at : at + 2] for at in range(0, 40, 2))
    revocation = await bob.revoke_device(serial=spelled, issuer=issuer and f"cn={issuer}")
    await until_told(operation.facade, f"certificate/{serial}/", revocation["generation"])
    is_hit = issuer != "another CA"
    assert (await operation.asks(stolen)).status == (403 if is_hit else 200)
    assert (await operation.asks(replacement)).status == 200
    await bob.lift(revocation["id"])
    await operation.is_answered(200, stolen)


def test_the_secret_is_in_neither_log_nor_on_the_facades_disk(
    plane: ControlPlane, facade: Facade
) -> None:
    """The last test of the module: it looks through what all of them left."""
    for log in (plane.log, facade.child.log):
        assert CANARY_TOKEN not in log.read_text()
    for file in Path(facade.environment["FACADE_STATE_DIR"]).iterdir():
        assert CANARY_TOKEN.encode() not in file.read_bytes()
