"""Targets are told what the signed log proves, and nothing that merely lies in a table."""

import asyncio
import signal
import ssl
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import uvloop
from aiohttp import web
from attrs import frozen

from control_plane.clock import now
from control_plane.database.database import Database as ControlPlaneDatabase
from control_plane.proof.audit_chain import AuditChain
from control_plane.proof.belief import HighestGenerations
from control_plane.proof.signer import Signer
from control_plane.webhooks.approval_ends import EndsUntil, notices_due
from deploy.dev.device_ca import CertificateAuthority
from deploy.dev.postgres import Postgres
from deploy.dev.processes import free_port
from shared.postgres.database_url import read_database_url
from tests.support.commands import run_command
from tests.support.control_plane import (
    LOGIN_PASSWORD,
    LOGIN_ROLE,
    ControlPlane,
    Json,
    KeyFiles,
    approved_connection,
    copy_of,
)
from tests.support.database_writer import DatabaseWriter
from tests.support.eventually import eventually
from tests.support.log_schema import require_documented
from tests.support.simulators.proxy import ProxySimulator
from tests.support.simulators.webhook_receiver import (
    ReceivedWebhook,
    WebhookReceiver,
    new_secret,
    write_targets,
)
from tests.system.control_plane.conftest import StartPlane

CANARY = "canary-token-of-a-webhooks-test"
DRAFT, APPROVED, REVOKED = (
    "connection.draft_waits",
    "connection.approved",
    "connection.revoked",
)


@frozen
class ToldPlane:
    """A control plane with one target, which has been told that it begins."""

    plane: ControlPlane
    receiver: WebhookReceiver
    file: Path
    name: str = "pager"  # the target's

    @property
    def writer(self) -> DatabaseWriter:
        """Somebody who may write everything in its database."""
        return DatabaseWriter(self.plane.owner_url)

    @property
    def target(self) -> Json:
        """What the file says of the target."""
        return self.receiver.target(self.name)

    def put(self, *targets: Json) -> None:
        """Replace the file, and say so."""
        write_targets(self.file, *targets)
        self.hang_up()

    def hang_up(self) -> None:
        """Say that files may have changed."""
        self.plane.child.process.send_signal(signal.SIGHUP)

    async def readiness(self) -> Json:
        """Return what `/readyz` says."""
        answer = await self.plane.client(None).call("GET", "/readyz")
        return {"code": answer.status, **answer.json}

    async def metrics(self) -> str:
        """Return what is scraped."""
        return (await self.plane.client("eve").call("GET", "/metrics")).body.decode()


@pytest.fixture
async def told(start_plane: StartPlane, tmp_path: Path) -> AsyncIterator[ToldPlane]:
    """Yield one of the test's own, whose target begins at the present end of the log."""
    file = tmp_path / "webhooks.yaml"
    async with WebhookReceiver.open() as receiver:
        write_targets(file, receiver.target("pager"))
        plane = await start_plane({"CONTROL_PLANE_WEBHOOKS_FILE": str(file)})
        told = ToldPlane(plane, receiver, file)
        await eventually(lambda: _is_stored(told))
        yield told


@pytest.fixture(scope="module")
def shared(
    postgres: Postgres, template: str, keys: KeyFiles, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[ControlPlane, Path]]:
    """Start a control plane for tests that leave it as it is; each puts a target of its own."""
    folder, database = tmp_path_factory.mktemp("webhooks"), copy_of(postgres, template)
    file = folder / "webhooks.yaml"
    write_targets(file, WebhookReceiver().target("nobody"))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        plane = runner.run(
            ControlPlane.start(
                folder,
                owner_url=database.superuser_url,
                url=database.url(LOGIN_ROLE, LOGIN_PASSWORD),
                keys=keys,
                environment={"CONTROL_PLANE_WEBHOOKS_FILE": str(file)},
            )
        )
    yield plane, file
    plane.stop()


@pytest.fixture
async def told_beside(shared: tuple[ControlPlane, Path]) -> AsyncIterator[ToldPlane]:
    """Yield the shared one, with a target of the test's own alone."""
    plane, file = shared
    async with WebhookReceiver.open() as receiver:
        told = ToldPlane(plane, receiver, file, f"t{uuid.uuid4().hex[:8]}")
        told.put(told.target)
        await eventually(lambda: _is_stored(told))
        yield told


async def stored_position(told: ToldPlane) -> str:
    """Return what is stored of where the target is."""
    query = "SELECT encode(payload, 'escape') FROM webhook_positions WHERE target = $1"
    return str(await told.writer.value(query, told.name))


async def test_each_act_is_told_once_signed_and_in_order(told_beside: ToldPlane, host: str) -> None:
    """With the host that was signed, and never with a secret."""
    told = told_beside
    alice, bob = told.plane.client("alice"), told.plane.client("bob")
    view = await alice.connect(host, username="robot", token=CANARY)
    await bob.approve(view)
    await alice.edit(view["id"], repositories=["team/app"])
    path = f"/v1/connections/{view['id']}/send-back"
    sent = await bob.call("POST", path, {"comment": "which team?"})
    assert sent.status == 200
    await alice.discard(view["id"])
    await bob.put_credential(view["id"], token=CANARY, approve=True)
    await bob.revoke(view["id"], reason="<script>moved</script>")
    device = await bob.revoke_device(device="spiffe://example.com/fleet/a/device/b", reason="lost")
    await bob.lift(device["id"])
    told_of = [
        DRAFT,
        APPROVED,
        DRAFT,
        "connection.sent_back",
        "connection.draft_discarded",
        "connection.rotated",
        REVOKED,
    ]
    await eventually(lambda: len(told.receiver.once) == 10)
    of_connection = [each for each in told.receiver.once if each.about.endswith(view["id"])]
    assert [each.kind for each in of_connection] == told_of
    for each in of_connection:
        assert each.data["connection"] == {
            "id": view["id"],
            "host": host,
            "repository_prefix": "",
            "provider": "static",
        }
    assert of_connection[0].data["actor"] == "alice"
    assert of_connection[0].data["details"]["fingerprint"] == view["fingerprint"]
    assert of_connection[3].data["details"]["comment"] == "which team?"
    assert of_connection[-1].data["details"]["reason"] == "<script>moved</script>"
    assert [each.kind for each in told.receiver.once if "device" in each.about] == [
        "device.revoked",
        "device.lifted",
    ]
    await _require_failed_checks_told(told)
    assert told.receiver.refused == []
    seen = b"".join(each.body for each in told.receiver.tried).decode()
    shown = f"{seen}{told.plane.log.read_text()}{await told.metrics()}{await told.readiness()}"
    for secret in (CANARY, "canary-of-a-url", *told.receiver.secrets):
        assert secret not in shown
    require_documented(told.plane.log_lines)


async def test_nothing_that_merely_lies_in_a_table_is_sent(told: ToldPlane, host: str) -> None:
    """Rows of the log, statements and drafts that somebody wrote, also where real ones were."""
    view = await approved_connection(told.plane, host)
    await eventually(lambda: APPROVED in told.receiver.kinds)
    before = len(told.receiver.once)
    row = "SELECT 'audit-entry/1', 'key', convert_to($1, 'UTF8'), '\\x00'::bytea"
    forged = '{"about":"connection/forged","action":"connection.approve","generation":1}'
    await told.writer.sql(
        "INSERT INTO audit_entries (sequence, at, actor, action, about, type, key_id, payload,"
        " signature) SELECT (SELECT max(sequence) + 1 FROM audit_entries), now(), 'bob',"
        f" 'connection.approve', 'connection/forged', f.* FROM ({row}) AS f",
        forged,
    )
    ends = (datetime.now(UTC) + timedelta(days=1)).isoformat(timespec="milliseconds")[:23] + "Z"
    await told.writer.sql(
        "INSERT INTO statements (subject, type, key_id, payload, signature, generation)"
        " VALUES ($1, 'connection-approval/1', 'key', convert_to($2, 'UTF8'), '\\x00'::bytea, 1)",
        f"connection/{uuid.uuid4()}",
        f'{{"expires_at":"{ends}"}}',
    )
    # The log is refused now: that is told, and nothing else.
    await eventually(lambda: "audit.problem" in told.receiver.kinds)
    (problem,) = told.receiver.of("audit.problem")
    assert problem.data["part"] == "audit_log"
    assert len(told.receiver.once) == before + 1
    await told.writer.sql("DELETE FROM audit_entries WHERE about = 'connection/forged'")
    await eventually(lambda: _is_ready(told.plane))
    await told.plane.client("bob").revoke(view["id"])
    await eventually(lambda: REVOKED in told.receiver.kinds)
    assert "forged" not in b"".join(each.body for each in told.receiver.tried).decode()


async def test_a_position_that_is_moved_or_taken_away_costs_repeats_or_a_reported_gap(
    told: ToldPlane, host: str
) -> None:
    """Nobody who writes in the database has an event left out that nobody is told of."""
    await told.writer.sql("CREATE TABLE kept AS SELECT * FROM webhook_positions")
    view = await approved_connection(told.plane, host)
    await eventually(lambda: APPROVED in told.receiver.kinds)
    told.plane.stop()
    assert await stored_position(told) != await told.writer.value(
        "SELECT encode(payload, 'escape') FROM kept"
    )
    # An older position, put back: the events come again, with the ids that they had.
    before = [each.id for each in told.receiver.once]
    await told.writer.sql(
        "UPDATE webhook_positions p SET payload = k.payload, signature = k.signature FROM kept k"
    )
    await told.plane.restart()
    await eventually(lambda: len(told.receiver.received) >= 5)
    assert [each.id for each in told.receiver.once] == before
    # One that was written: not believed, and told of.
    told.plane.stop()
    await told.writer.sql(
        "UPDATE webhook_positions SET payload = convert_to(regexp_replace("
        "encode(payload, 'escape'), '\"sequence\":\\d+', '\"sequence\":900'), 'UTF8')"
    )
    await told.plane.restart()
    await eventually(lambda: len(told.receiver.of("webhook.gap")) == 2)
    assert told.receiver.of("webhook.gap")[-1].data["reason"] == "position_not_believed"
    # None at all: told of, too; and what happens from then on is sent.
    told.plane.stop()
    await told.writer.sql("DELETE FROM webhook_positions")
    await _begin_again(told, view)
    gap = told.receiver.of("webhook.gap")[-1].data
    assert (gap["after"], gap["reason"]) == (0, "new")
    await eventually(lambda: REVOKED in told.receiver.kinds)


async def _begin_again(told: ToldPlane, view: Json) -> None:
    """Start again, and revoke once the target was told that it begins."""
    gaps = len(told.receiver.of("webhook.gap"))
    await told.plane.restart()
    await eventually(lambda: len(told.receiver.of("webhook.gap")) > gaps)
    await told.plane.client("bob").revoke(view["id"])


async def test_an_entry_that_is_destroyed_before_it_was_told_is_a_reported_gap(
    told: ToldPlane, host: str
) -> None:
    """It cannot be sent any more, and its absence is."""
    told.receiver.answer = lambda _: 503
    await told.plane.client("alice").connect(host)
    await eventually(lambda: bool(told.receiver.tried[1:]))
    await told.writer.sql(
        "UPDATE audit_entries SET payload = payload || ' '::bytea"
        " WHERE action = 'connection.connect'"
    )
    told.receiver.answer = lambda _: 204
    await eventually(lambda: len(told.receiver.of("webhook.gap")) == 2)
    assert told.receiver.of("webhook.gap")[-1].data["reason"] == "entry_not_believed"


async def test_a_connection_whose_events_fail_holds_no_other_up(told: ToldPlane) -> None:
    """And its own events keep their order."""
    bob = told.plane.client("bob")
    poison = await approved_connection(told.plane, "poison.example")
    await eventually(lambda: APPROVED in told.receiver.kinds)

    def answer(event: ReceivedWebhook) -> int:
        return 500 if poison["id"] in event.about else 204

    told.receiver.answer = answer
    await bob.revoke(poison["id"])
    others = [await approved_connection(told.plane, f"host-{number}.example") for number in "ab"]
    for other in others:
        await eventually(
            lambda other=other: (
                [  # type: ignore[misc]
                    each.kind for each in told.receiver.once if other["id"] in each.about
                ]
                == [DRAFT, APPROVED]
            )
        )
    assert REVOKED not in told.receiver.kinds
    # The one that waits is in the signed position, and survives a restart.
    due = datetime.now(UTC) + timedelta(seconds=3)  # behind the approval, on a busy machine too
    ends = due + timedelta(days=1)
    await bob.approve(others[0], expires_at=ends.isoformat(timespec="milliseconds"))
    await eventually(lambda: datetime.now(UTC) > due)
    told.receiver.answer = lambda _: 204
    await told.plane.restart()
    await eventually(lambda: REVOKED in told.receiver.kinds)
    await eventually(lambda: bool(told.receiver.of("connection.approval_ends")))
    (notice,) = told.receiver.of("connection.approval_ends")
    assert (notice.data["days"], notice.data["connection"]["host"]) == (1, "host-a.example")


async def test_what_is_not_taken_is_tried_again_and_no_redirect_is_followed(
    told_beside: ToldPlane,
) -> None:
    """With the same id and the same body, whatever the first answer was."""
    told = told_beside
    firsts = {
        "error.example": (web.Response(status=500), "server_error"),
        "away.example": (
            web.Response(status=302, headers={"Location": "http://169.254.169.254/"}),
            "redirect",
        ),
        "tired.example": (
            web.Response(status=429, headers={"Retry-After": "1"}),
            "rate_limited",
        ),
        "reset.example": (None, "connect"),
    }

    def answer(event: ReceivedWebhook) -> int | web.Response | None:
        tries = [each for each in told.receiver.tried if each.id == event.id]
        first, _ = firsts[event.data["connection"]["host"]]
        return first if len(tries) == 1 else 200

    told.receiver.answer = answer
    for each in firsts:
        await told.plane.client("alice").connect(each)
    await eventually(lambda: len(told.receiver.of(DRAFT)) == len(firsts))
    tries = [each for each in told.receiver.tried if each.kind == DRAFT]
    assert len(tries) == 2 * len(firsts)
    assert len({(each.id, each.body) for each in tries}) == len(firsts)
    text = await told.metrics()
    for _, outcome in firsts.values():
        name = f'control_plane_webhook_attempts_total{{outcome="{outcome}",target="{told.name}"}} 1'
        assert name in text


async def test_410_turns_a_target_off_until_somebody_asks(
    told_beside: ToldPlane, host: str
) -> None:
    """A note says so, after a restart as well, and nothing is lost."""
    told = told_beside
    told.receiver.answer = lambda _: 410
    await told.plane.client("alice").connect(host)
    off = f'control_plane_webhook_target{{state="gone",target="{told.name}"}} 1.0'
    await eventually(lambda: _says(told, off))
    notes = str((await told.readiness())["notes"])
    assert f"webhook target {told.name} answered 410 Gone" in notes
    assert len(told.receiver.tried) == 2
    told.receiver.answer = lambda _: 204
    await told.plane.restart()
    await eventually(lambda: _says(told, off))
    assert f"{told.name} answered 410 Gone" in str((await told.readiness())["notes"])
    assert len(told.receiver.tried) == 2
    told.hang_up()
    await eventually(lambda: DRAFT in told.receiver.kinds)


async def test_the_file_is_read_again_and_a_wrong_one_changes_nothing(
    told_beside: ToldPlane, host: str
) -> None:
    """A secret is rotated, a second target begins, the first one ends."""
    told = told_beside
    alice = told.plane.client("alice")
    old, new = told.receiver.secrets[0], new_secret()
    target = told.target
    refused = 'control_plane_file_refused{setting="CONTROL_PLANE_WEBHOOKS_FILE"} '
    told.put(target | {"secrets": [new[:20]]})
    await eventually(lambda: _says(told, f"{refused}1.0"))
    notes = str((await told.readiness())["notes"])
    assert "CONTROL_PLANE_WEBHOOKS_FILE: /targets/0/secrets/0" in notes
    await alice.connect(host)
    await eventually(lambda: DRAFT in told.receiver.kinds)
    told.put(target | {"secrets": [old, new]})
    await eventually(lambda: _says(told, f"{refused}0.0"))
    told.receiver.secrets = [new]
    await alice.connect(f"second-{host}")
    await eventually(lambda: len(told.receiver.of(DRAFT)) == 2)
    second = told.receiver.target("chat", events=[REVOKED])
    told.put(second)
    await eventually(lambda: len(told.receiver.of("webhook.gap")) == 2)
    assert f'target="{told.name}"' not in await told.metrics()
    view = await approved_connection(told.plane, f"third-{host}")
    await told.plane.client("bob").revoke(view["id"])
    await eventually(lambda: REVOKED in told.receiver.kinds)
    assert len(told.receiver.of(DRAFT)) == 2


async def test_addresses_that_nobody_opened_are_not_spoken_to(
    told_beside: ToldPlane, host: str
) -> None:
    """Neither literally nor by a name; the file opens networks for one target."""
    told = told_beside
    closed = told.target | {"allowed_networks": []}
    by_name = {**closed, "name": "named", "url": closed["url"].replace("127.0.0.1", "localhost")}
    told.put(closed, by_name)
    await eventually(lambda: _says(told, 'target="named"'))
    tried = len(told.receiver.tried)
    await told.plane.client("alice").connect(host)
    for name in (told.name, "named"):
        line = f'control_plane_webhook_attempts_total{{outcome="not_allowed",target="{name}"}}'
        await eventually(lambda line=line: _says(told, line))  # type: ignore[misc]
    assert len(told.receiver.tried) == tried


async def test_of_two_control_planes_one_sends_and_the_other_goes_on(
    told: ToldPlane, host: str, tmp_path: Path
) -> None:
    """A stop in good order hands over at once; both acts are told, once each."""
    folder = tmp_path / "other"
    folder.mkdir()
    other = await ControlPlane.start(
        folder,
        owner_url=told.plane.owner_url,
        url=told.plane.database_url,
        keys=told.plane.keys,
        environment={"CONTROL_PLANE_WEBHOOKS_FILE": str(told.file)},
        tokens=told.plane.tokens,
    )
    try:
        view = await other.client("alice").connect(host)
        await eventually(lambda: DRAFT in told.receiver.kinds)
        sender = "control_plane_webhook_sender 1.0"
        assert sender in await told.metrics()
        told.plane.stop()
        await other.client("bob").approve(view)
        await eventually(lambda: APPROVED in told.receiver.kinds)
        assert sender in (await other.client("eve").call("GET", "/metrics")).body.decode()
        assert [each.id for each in told.receiver.received] == [
            each.id for each in told.receiver.once
        ]
    finally:
        other.stop()


async def test_notices_of_ends_are_about_believed_approvals(plane: ControlPlane, host: str) -> None:
    """14, 7 and 1 days before; a forged row, a revoked connection and a new end make none."""
    ends = datetime(2996, 3, 9, tzinfo=UTC)  # of this test's approval alone
    bob = plane.client("bob")
    view = await approved_connection(plane, host)
    await bob.approve(view, expires_at=ends.isoformat())
    signer = Signer.from_private_pem(plane.keys.statement_private.read_bytes())

    async def due(at: datetime, since: datetime) -> list[tuple[object, ...]]:
        async with ControlPlaneDatabase.open(read_database_url(plane.database_url)) as database:
            chain = AuditChain(database, signer, HighestGenerations(), now)
            notices, _ = await notices_due(
                chain, lambda: at, "pager", after=EndsUntil(since), room=100
            )
        return [
            (each.event.data["days"], each.event.data["connection"]["host"])  # type: ignore[index]
            for each in notices
        ]

    day = timedelta(days=1)
    for days in (14, 7, 1):
        told_at = ends - days * day
        assert await due(told_at, told_at - day) == [(days, host)]
        assert await due(told_at - timedelta(seconds=1), told_at - day) == []
    assert await due(ends, ends - 30 * day) == [(1, host)]
    await bob.approve(view, expires_at=(ends + 300 * day).isoformat())
    assert await due(ends, ends - 30 * day) == []
    await bob.revoke(view["id"])
    assert await due(ends + 300 * day, ends + 299 * day) == []


async def test_a_wrong_file_is_refused_at_the_start(plane: ControlPlane, tmp_path: Path) -> None:
    """Exit 2, each wrong field by its place, and nothing of it quoted."""
    file = tmp_path / "webhooks.yaml"
    file.write_text("targets: [{name: pager, url: canary, secrets: [canary]}]")
    settings = plane.environment | {"CONTROL_PLANE_WEBHOOKS_FILE": str(file)}
    ran = run_command(settings, "serve")
    assert ran.status == 2
    for place in ("/targets/0/url: ", "/targets/0/secrets/0: "):
        assert place in ran.words
    assert "canary" not in ran.words


async def test_a_target_is_tried_from_a_shell(tmp_path: Path) -> None:
    """`webhooks test` sends one signed event, and says how that ended."""
    file = tmp_path / "webhooks.yaml"
    async with WebhookReceiver.open() as receiver:
        write_targets(file, receiver.target("pager"), receiver.target("chat"))
        settings = {"CONTROL_PLANE_WEBHOOKS_FILE": str(file)}
        ran = await asyncio.to_thread(run_command, settings, "webhooks", "test", "pager")
        assert (ran.status, receiver.kinds) == (0, ["webhook.test"])
        assert "204" in ran.words
        receiver.answer = lambda _: 500
        ran = await asyncio.to_thread(run_command, settings, "webhooks", "test", "pager")
        assert ran.status == 1
        assert "500" in ran.words
        ran = await asyncio.to_thread(run_command, settings, "webhooks", "test", "pager", "--json")
        assert (ran.status, ran.result["outcome"]) == (1, "server_error")
        ran = await asyncio.to_thread(run_command, settings, "webhooks", "test", "pagr")
        assert ran.status == 2
        assert "pager" in ran.words
        ran = await asyncio.to_thread(run_command, settings, "webhooks", "list")
        assert ran.status == 0
        assert "chat" in ran.output
        ran = await asyncio.to_thread(run_command, {}, "webhooks", "list")
        assert ran.status == 2
        assert "Write one" in ran.words
        for secret in ("canary-of-a-url", *receiver.secrets):
            assert secret not in ran.output


async def _speak_no_tls(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.0 400 Bad Request\r\n\r\n")
    await writer.drain()
    writer.close()


async def _is_stored(told: ToldPlane) -> bool:
    """Tell whether the target was told that it begins, and that is stored."""
    position = await stored_position(told)
    return (
        told.receiver.kinds == ["webhook.gap"] and "sequence" in position and "gaps" not in position
    )


async def test_a_target_over_tls_is_reached_with_its_ca_and_through_the_proxy(
    tmp_path: Path, server_ca: CertificateAuthority, server_tls: ssl.SSLContext
) -> None:
    """The proxy is asked for the address that was judged; without the CA nothing is sent."""
    file = tmp_path / "webhooks.yaml"
    settings = {"CONTROL_PLANE_WEBHOOKS_FILE": str(file)}
    async with WebhookReceiver.open(tls=server_tls) as receiver, ProxySimulator() as proxy:
        target = receiver.target("pager")
        write_targets(file, target)
        ran = await asyncio.to_thread(run_command, settings, "webhooks", "test", "pager", "--json")
        assert (ran.status, ran.result["outcome"]) == (1, "tls")
        write_targets(file, target | {"ca_certificate": server_ca.pem.decode()})
        ran = await asyncio.to_thread(run_command, settings, "webhooks", "test", "pager")
        assert (ran.status, receiver.kinds) == (0, ["webhook.test"])
        assert proxy.targets == []
        settings["CONTROL_PLANE_HTTPS_PROXY"] = proxy.url
        ran = await asyncio.to_thread(run_command, settings, "webhooks", "test", "pager")
        assert (ran.status, len(receiver.once)) == (0, 2)
        assert proxy.targets == [f"127.0.0.1:{receiver.port}"]


@pytest.mark.parametrize(
    "beginning, outcome",
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", "delivered"),
        (b"HTTP/1.1 200 OK\r\nX-Header: ", "connect"),
        (b"nonsense", "connect"),
    ],
)
async def test_a_target_that_answers_without_end_is_left(
    tmp_path: Path, beginning: bytes, outcome: str
) -> None:
    """Its status is all that is asked of it."""
    sent = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(beginning)
        with suppress(OSError):
            while True:
                writer.write(b"x" * 65536)
                sent += 65536
                await writer.drain()
        writer.close()

    receiver, file = WebhookReceiver(), tmp_path / "webhooks.yaml"
    write_targets(file, receiver.target("pager"))
    settings = {"CONTROL_PLANE_WEBHOOKS_FILE": str(file)}
    async with await asyncio.start_server(answer, "127.0.0.1", receiver.port):
        ran = await asyncio.to_thread(run_command, settings, "webhooks", "test", "pager", "--json")
    assert ran.result["outcome"] == outcome
    assert sent < 64 * 1024 * 1024


async def _is_ready(plane: ControlPlane) -> bool:
    return (await plane.client(None).call("GET", "/readyz")).status == 200


async def _says(told: ToldPlane, line: str) -> bool:
    return line in await told.metrics()


async def _require_failed_checks_told(told: ToldPlane) -> None:
    """The registry is named, and what the check found."""
    port = free_port()
    server = await asyncio.start_server(_speak_no_tls, "127.0.0.1", port)
    async with server:
        body = {
            "host": f"localhost:{port}",
            "provider": "static",
            "allowed_networks": ["127.0.0.0/8"],
        }
        answer = await told.plane.client("alice").call("POST", "/v1/connections", body)
    assert answer.status == 422
    await eventually(lambda: bool(told.receiver.of("connection.check_failed")))
    (failed,) = told.receiver.of("connection.check_failed")
    assert failed.data["host"] == f"localhost:{port}"
    assert failed.data["details"]["check"] == "failed"
