"""A facade's login, which may only read, while an operator lists connections and revokes."""

from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from control_plane.database.migrate import FACADE_CONNECTIONS, migrate
from deploy.dev.postgres import Postgres
from deploy.dev.product import is_ready
from shared.outside_bytes import Party
from shared.postgres.database_url import read_database_url
from tests.adversary.bounds import OPERATOR_P99_SECONDS
from tests.adversary.watch import Target, Watch
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


async def test_a_full_notification_queue(watch: Watch, server: Postgres, tmp_path: Path) -> None:
    """V7: every revocation was answered 500."""
    database = Database(server, "attacked")
    await migrate(read_database_url(database.superuser_url))
    make_login_role(server)
    server.sql(f"CREATE ROLE {FACADE} LOGIN PASSWORD '{FACADE_PASSWORD}' IN ROLE registry_facade")
    plane = await ControlPlane.start(
        tmp_path / "plane",
        owner_url=database.superuser_url,
        url=database.url(LOGIN_ROLE, LOGIN_PASSWORD),
    )
    target = Target(
        pid=plane.child.pid,
        victim=(f"{plane.url}/v1/connections", "--token", plane.tokens["eve"]),
        is_alive=lambda: is_ready(f"127.0.0.1:{plane.port}"),
    )
    bob, made = plane.client("bob"), 0
    try:
        async with (
            watch(
                "V7",
                "a full notification queue",
                Party.DATABASE,
                target,
                victim_p99_seconds=OPERATOR_P99_SECONDS,
            ) as attack,
            flooded_notifications(database.url(FACADE, FACADE_PASSWORD)),
        ):
            while attack.goes_on:
                await bob.revoke_device(device=f"{DEVICE}-{made}")
                made += 1
    finally:
        plane.stop()
    assert made


async def test_a_login_that_opens_connections(
    watch: Watch,
    target: Target,
    own_plane: ControlPlane,
    database: Database,
) -> None:
    """W17: without a limit of its own it took all connections of the server."""
    database.sql(
        f"CREATE ROLE {CROWD} LOGIN PASSWORD '{FACADE_PASSWORD}' IN ROLE registry_facade"
        f" CONNECTION LIMIT {FACADE_CONNECTIONS}"
    )
    url, opened, refused = database.url(CROWD, FACADE_PASSWORD), list[asyncpg.Connection](), 0
    try:
        async with watch(
            "W17",
            "as many database connections as there are",
            Party.DATABASE,
            target,
            victim_p99_seconds=OPERATOR_P99_SECONDS,
        ) as attack:
            while attack.goes_on:
                try:
                    opened.append(await asyncpg.connect(url))
                except asyncpg.TooManyConnectionsError:
                    refused += 1
                made = len(opened) + refused
                await own_plane.client("bob").revoke_device(device=f"{DEVICE}-{made}")
    finally:
        for each in opened:
            each.terminate()
        database.sql(f"DROP OWNED BY {CROWD}; DROP ROLE {CROWD}")
    assert len(opened) == FACADE_CONNECTIONS
    assert refused
