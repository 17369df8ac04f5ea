"""The notification queue of PostgreSQL, which any login can fill, is never in an act's way."""

import asyncio
import re
from collections.abc import Iterator

import asyncpg
import pytest
import uvloop

from control_plane.database.migrate import (
    CONTROL_PLANE_CONNECTIONS,
    FACADE_CONNECTIONS,
    migrate,
    unlimited_logins,
)
from control_plane.migrations.newest import newest_revision
from control_plane.migrations.sql_file import FOLDER
from deploy.dev.postgres import Postgres
from shared.postgres.database_url import read_database_url
from tests.support.control_plane import LOGIN_PASSWORD, LOGIN_ROLE, ControlPlane, make_login_role
from tests.support.database import Database
from tests.support.eventually import eventually
from tests.support.notification_flood import flooded_notifications

DEVICE = "spiffe://example.com/fleet/line-a/device/press-7"
FACADE, FACADE_PASSWORD = "facade_of_the_flood", "a facade's password"
SMALL_QUEUE_PAGES = 64  # the least that PostgreSQL takes; the default, 8 GiB, takes minutes to fill
BEFORE = "0002"
FIRST = FOLDER / "revisions" / "0001_first.sql"


def as_the_version_before_left_it(database: Database) -> None:
    """Make the schema of revision 0002, with a statement in it."""
    database.sql((FOLDER / "roles.sql").read_text())
    database.sql(FIRST.read_text())
    database.sql((FOLDER / "revisions" / "0002_device_revocations.sql").read_text())
    database.sql(
        "CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY);"
        f" INSERT INTO alembic_version VALUES ('{BEFORE}');"
        " INSERT INTO statements (subject, type, key_id, payload, signature, generation)"
        " VALUES ('device/kept', 't', 'k', 'p', 's', 1)"
    )


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """A database of the version before, on a server whose queue is small: it is the server's."""
    with Postgres(tmp_path_factory.mktemp("queue")) as server:
        server.sql(f"ALTER SYSTEM SET max_notify_queue_pages = {SMALL_QUEUE_PAGES}")
        server.restart()
        server.create_database("upgraded")
        database = Database(server, "upgraded")
        as_the_version_before_left_it(database)
        make_login_role(server)
        server.sql(
            f"CREATE ROLE {FACADE} LOGIN PASSWORD '{FACADE_PASSWORD.replace(chr(39), chr(39) * 2)}'"
            " IN ROLE registry_facade"
        )
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(migrate(read_database_url(database.superuser_url)))
        yield database


@pytest.fixture(scope="module")
def plane(database: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A control plane on it."""
    starting = ControlPlane.start(
        tmp_path_factory.mktemp("control-plane"),
        owner_url=database.superuser_url,
        url=database.url(LOGIN_ROLE, LOGIN_PASSWORD),
    )
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        started = runner.run(starting)
    yield started
    started.stop()


def test_the_database_of_the_version_before_is_upgraded(database: Database) -> None:
    """What it held is there, and its trigger looks at the queue."""
    assert database.sql("SELECT version_num FROM alembic_version") == newest_revision() != BEFORE
    assert database.sql("SELECT subject FROM facade_statements") == "device/kept"
    body = database.sql("SELECT prosrc FROM pg_proc WHERE proname = 'notify_statement'")
    assert "pg_notification_queue_usage() >= 0.5" in body
    reach = "SELECT has_function_privilege('registry_facade', 'notify_statement()', 'EXECUTE')"
    assert database.sql(reach) == "f"


async def test_acts_go_on_while_a_facades_login_fills_the_queue(
    database: Database, plane: ControlPlane
) -> None:
    """A revocation is stored, the alert is there, and ends when the session has ended."""
    bob, eve = plane.client("bob"), plane.client("eve")
    async with flooded_notifications(database.url(FACADE, FACADE_PASSWORD)):
        revocation = await bob.revoke_device(device=DEVICE)
        assert await stored_subjects(database) == [f"device/{DEVICE}", "device/kept"]
        ready = await plane.client(None).call("GET", "/readyz")
        assert ready.status == 200
        assert "notification queue is" in ready.json["notes"][0]
        metrics = (await eve.call("GET", "/metrics")).body.decode()
        assert 'control_plane_problem{part="notifications"} 1.0' in metrics
        assert re.search(r"notification_queue_usage_ratio (0\.[5-9]|1)", metrics)
        await eventually(lambda: is_told(plane))
    await bob.lift(revocation["id"])

    async def is_over() -> bool:
        return "notes" not in (await plane.client(None).call("GET", "/readyz")).json

    await eventually(is_over)


async def test_an_act_that_cannot_be_done_says_why(database: Database, plane: ControlPlane) -> None:
    """Only a trigger that does not look can come to that, as the one of the version before."""
    (trigger,) = re.findall(r"CREATE (FUNCTION .*?END \$\$;)", FIRST.read_text(), re.DOTALL)
    database.sql(f"CREATE OR REPLACE {trigger}")
    async with flooded_notifications(database.url(FACADE, FACADE_PASSWORD)):
        answer = await plane.client("bob").call(
            "POST", "/v1/device-revocations", {"device": f"{DEVICE}-2"}
        )
        assert answer.status == 503
        assert answer.headers["Retry-After"]
        assert "notification queue is full" in answer.json["detail"]
        (line,) = [each for each in plane.log_lines if each["event"] == "cannot answer"]
        assert (line["level"], "notification queue" in line["reason"]) == ("error", True)
        assert f"device/{DEVICE}-2" not in await stored_subjects(database)


async def test_logins_without_a_limit_of_connections_are_named(database: Database) -> None:
    """Each with what is enough for it; a limited one is not, and may have no more than that."""
    owner = read_database_url(database.superuser_url)
    wanted = {FACADE: FACADE_CONNECTIONS, LOGIN_ROLE: CONTROL_PLANE_CONNECTIONS}
    assert await unlimited_logins(owner) == wanted
    database.sql(f"ALTER ROLE {FACADE} CONNECTION LIMIT 1")
    assert await unlimited_logins(owner) == {LOGIN_ROLE: CONTROL_PLANE_CONNECTIONS}
    connection = await asyncpg.connect(database.url(FACADE, FACADE_PASSWORD))
    try:
        with pytest.raises(asyncpg.TooManyConnectionsError):
            await asyncpg.connect(database.url(FACADE, FACADE_PASSWORD))
    finally:
        connection.terminate()


def is_told(plane: ControlPlane) -> bool:
    """Tell whether the log has the problem."""
    problems = [each for each in plane.log_lines if each["event"] == "problem"]
    return "notifications" in [each["part"] for each in problems]


async def stored_subjects(database: Database) -> list[str]:
    """Return what facades are shown of devices."""
    query = "SELECT subject FROM facade_statements ORDER BY starts_with(subject, 'device/s') DESC"
    return (await asyncio.to_thread(database.sql, query)).splitlines()
