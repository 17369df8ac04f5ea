"""A facade's login, which may only read, while an operator lists connections and revokes."""

from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from control_plane.database.migrate import FACADE_CONNECTIONS, migrate
from deploy.dev.postgres import Postgres
from shared.outside_bytes import Party
from shared.postgres.database_url import read_database_url
from tests.adversary.control_plane.attacked import AttackedPlane
from tests.adversary.guards import check, guards_nothing
from tests.adversary.watch import Watch
from tests.support.control_plane import (
    LOGIN_PASSWORD,
    LOGIN_ROLE,
    ControlPlane,
    make_login_role,
)
from tests.support.database import Database
from tests.support.notification_flood import flooded_notifications

pytestmark = pytest.mark.attack
DEVICE = "spiffe://example.com/fleet/line-a/device/press"
CROWD = "facade_of_the_crowd"
FACADE, FACADE_PASSWORD = "facade_of_the_flood", "a-facade-s-password"
SMALL_QUEUE_PAGES = 64  # the default of 8 GiB is as full after some minutes


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Postgres]:
    """A server of its own, whose queue is small: it belongs to all databases."""
    with Postgres(tmp_path / "postgres") as started:
        started.sql(f"ALTER SYSTEM SET max_notify_queue_pages = {SMALL_QUEUE_PAGES}")
        started.restart()
        started.create_database("attacked")
        yield started


@check(
    "control_plane/migrations/revisions/0003_notify_beside_acts.sql",
    "pg_notification_queue_usage() >= 0.5",
    "pg_notification_queue_usage() >= 500",
)
async def test_a_full_notification_queue(watch: Watch, server: Postgres, tmp_path: Path) -> None:
    """Every revocation was answered 500."""
    database = Database(server, "attacked")
    await migrate(read_database_url(database.superuser_url))
    make_login_role(server)
    server.sql(f"CREATE ROLE {FACADE} LOGIN PASSWORD '{FACADE_PASSWORD}' IN ROLE registry_facade")
    plane = await ControlPlane.start(
        tmp_path / "plane",
        owner_url=database.superuser_url,
        url=database.url(LOGIN_ROLE, LOGIN_PASSWORD),
    )
    attacked, made = AttackedPlane(plane, watch), 0
    bob = plane.client("bob")
    try:
        async with (
            attacked.watched("a full notification queue", Party.DATABASE) as attack,
            flooded_notifications(database.url(FACADE, FACADE_PASSWORD)),
        ):
            while attack.goes_on:
                await bob.revoke_device(device=f"{DEVICE}-{made}")
                made += 1
    finally:
        plane.stop()
    assert made


@guards_nothing("Postgres keeps the CONNECTION LIMIT, which `migrate` advises")
async def test_a_login_that_opens_connections(attacked: AttackedPlane, database: Database) -> None:
    """Without a limit of its own it took all connections of the server."""
    database.sql(
        f"CREATE ROLE {CROWD} LOGIN PASSWORD '{FACADE_PASSWORD}' IN ROLE registry_facade"
        f" CONNECTION LIMIT {FACADE_CONNECTIONS}"
    )
    url, opened, refused = database.url(CROWD, FACADE_PASSWORD), list[asyncpg.Connection](), 0
    try:
        async with attacked.watched(
            "as many database connections as there are", Party.DATABASE
        ) as attack:
            while attack.goes_on:
                try:
                    opened.append(await asyncpg.connect(url))
                except asyncpg.TooManyConnectionsError:
                    refused += 1
                made = len(opened) + refused
                await attacked.plane.client("bob").revoke_device(device=f"{DEVICE}-{made}")
    finally:
        for each in opened:
            each.terminate()
        database.sql(f"DROP OWNED BY {CROWD}; DROP ROLE {CROWD}")
    assert len(opened) == FACADE_CONNECTIONS
    assert refused
