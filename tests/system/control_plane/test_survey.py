"""What waits and what ends soon is in the metrics, and what the process takes of its database."""

import math
import re
import time
from datetime import UTC, datetime, timedelta

import asyncpg

from control_plane.audit.last_export import LastExport
from control_plane.connections.survey import ConnectionSurvey
from control_plane.database.database import Database
from control_plane.metrics import ControlPlaneMetrics
from deploy.dev.metrics_page import control_plane_metrics
from shared.postgres.database_url import read_database_url
from tests.support.commands import run_command
from tests.support.control_plane import ControlPlane, approved_connection
from tests.support.log_schema import require_documented

ENDS = datetime(2997, 5, 8, tzinfo=UTC)  # of this test's approval alone
DRAFTS, OLDEST = "control_plane_drafts", "control_plane_oldest_draft_timestamp_seconds"
EXPORTED = "control_plane_audit_exported_entries"
EXPORTED_AT = "control_plane_audit_export_timestamp_seconds"
SOON, NEXT = (
    "control_plane_approvals_ending_soon",
    "control_plane_approval_expiry_timestamp_seconds",
)


async def surveyed(plane: ControlPlane, now: datetime) -> dict[str, float]:
    """Return what a survey shows at some time."""
    metrics = ControlPlaneMetrics()
    async with Database.open(read_database_url(plane.database_url)) as database:
        await ConnectionSurvey(database, metrics, lambda: now).look()
    return values(metrics.exposition().decode())


def values(text: str) -> dict[str, float]:
    """Return metrics by name and labels."""
    lines = (line for line in text.splitlines() if not line.startswith("#"))
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}


async def test_drafts_wait_until_they_are_approved_or_discarded(
    plane: ControlPlane, host: str
) -> None:
    """And the oldest says for how long."""
    alice, now = plane.client("alice"), datetime.now(UTC)
    before = await surveyed(plane, now)
    view = await alice.connect(host, username="robot", token="x")
    waiting = await surveyed(plane, now)
    assert waiting[DRAFTS] == before[DRAFTS] + 1
    assert waiting[OLDEST] <= datetime.now(UTC).timestamp()
    await plane.client("bob").approve(view)
    assert (await surveyed(plane, now))[DRAFTS] == before[DRAFTS]


async def test_an_approval_that_ends_is_seen_a_week_before(plane: ControlPlane, host: str) -> None:
    """One that has ended is no more ahead, nor is one that was revoked."""
    bob, before = plane.client("bob"), ENDS - timedelta(days=3)
    view = await approved_connection(plane, host)
    assert (await surveyed(plane, before))[SOON] == 0
    await bob.approve(view, expires_at=ENDS.isoformat())
    seen = await surveyed(plane, before)
    assert (seen[SOON], seen[NEXT]) == (1, ENDS.timestamp())
    assert (await surveyed(plane, ENDS - timedelta(days=8)))[SOON] == 0
    assert (await surveyed(plane, ENDS + timedelta(days=1)))[SOON] == 0
    await bob.revoke(view["id"])
    assert (await surveyed(plane, before))[SOON] == 0


def test_before_the_first_look_nothing_waits_and_nothing_ends() -> None:
    """No alert fires while the database is away."""
    shown = values(ControlPlaneMetrics().exposition().decode())
    assert (shown[DRAFTS], shown[SOON]) == (0, 0)
    assert math.isnan(shown[OLDEST])
    assert shown[NEXT] == math.inf


async def test_an_export_is_noted_with_its_time_and_its_end(plane: ControlPlane, host: str) -> None:
    """Once it is whole; entries that come later are not in it."""
    await plane.client("alice").connect(host, username="robot", token="x")
    began = time.time()
    exported = plane.run("audit", "export").splitlines()
    metrics = ControlPlaneMetrics()
    async with Database.open(read_database_url(plane.database_url)) as database:
        assert math.isnan(values(metrics.exposition().decode())[EXPORTED_AT])
        await LastExport(database, metrics).look()
    shown = values(metrics.exposition().decode())
    assert shown[EXPORTED] == len(exported)
    assert began - 1 <= shown[EXPORTED_AT] <= time.time() + 1


async def test_a_login_that_may_only_read_exports_all_the_same(
    own_plane: ControlPlane,
) -> None:
    """An auditor's: the log is whole, and it is said that no control plane will show the export."""
    await own_plane.client("alice").connect("registry.example", username="robot", token="x")
    whole = own_plane.run("audit", "export")
    owner = await asyncpg.connect(own_plane.owner_url)
    try:
        before = await owner.fetchrow("SELECT * FROM audit_exports")
        database = await owner.fetchval("SELECT current_database()")
        login = f"auditor_{database}"
        await owner.execute(
            f"CREATE ROLE {login} LOGIN PASSWORD 'x'; GRANT SELECT ON audit_entries TO {login}"
        )
        host = own_plane.database_url.rpartition("@")[2]
        auditing = {**own_plane.shell_settings()}
        auditing["CONTROL_PLANE_DATABASE_URL"] = f"postgresql://{login}:x@{host}"
        ran = run_command(auditing, "audit", "export")
        assert (ran.status, ran.output) == (0, whole)
        assert "no control plane will show it in its metrics" in ran.words
        assert await owner.fetchrow("SELECT * FROM audit_exports") == before
        await owner.execute(f"DROP OWNED BY {login}; DROP ROLE {login}")
    finally:
        await owner.close()


async def test_each_line_of_the_control_plane_is_as_documented(
    plane: ControlPlane, host: str
) -> None:
    """Whatever other tests had it do before: acts, denials, problems."""
    await plane.client("alice").connect(host, username="robot", token="x")
    await plane.client(None).call("GET", "/v1/connections")
    events = require_documented(plane.log_lines)
    assert {"serving", "answered", "act done"} <= events


async def test_a_process_shows_its_log_its_pools_and_itself(plane: ControlPlane, host: str) -> None:
    """Whatever else goes on: the log grows by an act, and connections are within their limits."""
    eve = plane.client("eve")
    before = values((await eve.call("GET", "/metrics")).body.decode())
    await plane.client("alice").connect(host, username="robot", token="x")
    text = (await eve.call("GET", "/metrics")).body.decode()
    after = values(text)
    assert after["control_plane_audit_entries"] > before["control_plane_audit_entries"]
    for pool in ("reads", "acts"):
        named = f'control_plane_database_connections{{pool="{pool}",state='
        limit = after[f'control_plane_database_connections_limit{{pool="{pool}"}}']
        assert 1 <= after[f'{named}"idle"}}'] + after[f'{named}"in_use"}}'] <= limit
        assert after[f'control_plane_database_wait_seconds_count{{pool="{pool}"}}'] > 0
    assert after["process_open_fds"] > 0
    names = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE ")}
    assert names <= {metric.name for metric in control_plane_metrics()}
    assert re.search(r"^python_gc_collections_total", text, re.MULTILINE)
