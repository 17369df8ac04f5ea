"""The schema and what the two group roles may do with it."""

import asyncio
import sys
from collections.abc import AsyncIterator
from typing import cast

import asyncpg
import pytest
from alembic.script import ScriptDirectory

from control_plane.database.database import DatabaseConnection
from control_plane.database.migrate import MIGRATION_LOCK, HeldUpError, alembic_config, migrate
from control_plane.database.schema_revision import TOO_NEW, TOO_OLD, schema_problem
from control_plane.migrations.newest import newest_revision
from deploy.dev.postgres import Postgres
from deploy.dev.product import PROGRAMS, CommandFailedError
from shared.postgres.database_url import read_database_url
from tests.support.control_plane import (
    LOGIN_PASSWORD,
    LOGIN_ROLE,
    run_control_plane,
)
from tests.support.database import Database
from tests.support.eventually import PATIENCE_SECONDS
from tests.support.surroundings import of_a_child

FACADE_LOGIN = "a_facade"
FACADE_PASSWORD = "a facade's password"


async def connected(database: Database, role: str, password: str) -> asyncpg.Connection:
    """Return a connection as a role."""
    return await asyncpg.connect(database.url(role, password), statement_cache_size=0)


@pytest.fixture(scope="module")
def facade_login(migrated: Database) -> Database:
    """A database with a login role that is a member of `registry_facade`."""
    migrated.sql(
        f"DO $$ BEGIN CREATE ROLE {FACADE_LOGIN} LOGIN PASSWORD"
        f" '{FACADE_PASSWORD.replace(chr(39), chr(39) * 2)}' IN ROLE registry_facade;"
        " EXCEPTION WHEN duplicate_object THEN NULL; END $$"
    )
    return migrated


def test_the_newest_revision_is_the_last_of_the_chain() -> None:
    """A server knows it by its file's name alone."""
    script = ScriptDirectory.from_config(alembic_config())
    assert script.get_current_head() == newest_revision()


async def test_migrating_twice_changes_nothing(postgres: Postgres) -> None:
    """A deployer may run it at every start."""
    postgres.create_database("migrated_twice")
    database = Database(postgres, "migrated_twice")
    assert await migrate(read_database_url(database.superuser_url)) == []
    assert await migrate(read_database_url(database.superuser_url)) == []
    assert database.sql("SELECT version_num FROM alembic_version") == newest_revision()


async def problem_of(owner: asyncpg.Connection) -> str | None:
    """Return why a control plane of this version would not be ready."""
    return await schema_problem(cast(DatabaseConnection, owner))


@pytest.fixture
async def newer(database: Database) -> AsyncIterator[asyncpg.Connection]:
    """The owner of a database that a program of the next version has migrated."""
    owner = await asyncpg.connect(database.superuser_url)
    await migrate(read_database_url(database.superuser_url))
    assert await problem_of(owner) is None
    await owner.execute("UPDATE alembic_version SET version_num = '9999'")
    yield owner
    await owner.close()


async def of_oldest_program(owner: asyncpg.Connection, revision: str) -> None:
    """Have the newer schema say which program is the oldest that may work with it."""
    await owner.execute("UPDATE schema_compatibility SET oldest_program = $1", revision)


async def test_a_newer_schema_that_says_so_is_worked_with(
    newer: asyncpg.Connection, database: Database
) -> None:
    """While control planes are replaced one after the other; ours migrates nothing then."""
    await of_oldest_program(newer, newest_revision())
    await newer.execute("GRANT DELETE ON statements TO registry_control_plane")
    assert await problem_of(newer) is None
    environment = {"CONTROL_PLANE_DATABASE_URL": database.superuser_url}
    assert run_control_plane("migrate", environment=environment) == ""
    assert await newer.fetchval("SELECT version_num FROM alembic_version") == "9999"
    may = "SELECT has_table_privilege('registry_control_plane', 'statements', 'DELETE')"
    assert await newer.fetchval(may)  # a newer program's grants stay


@pytest.mark.parametrize("oldest_program", ["0005", "9999", None])
async def test_a_newer_schema_that_needs_a_newer_program_is_refused(
    newer: asyncpg.Connection, database: Database, oldest_program: str | None
) -> None:
    """Also one that says nothing. It is left as it is."""
    if oldest_program is None:
        await newer.execute("DELETE FROM schema_compatibility")
    else:
        await of_oldest_program(newer, oldest_program)
    assert await problem_of(newer) == TOO_NEW
    environment = {"CONTROL_PLANE_DATABASE_URL": database.superuser_url}
    with pytest.raises(CommandFailedError, match="changed nothing: the database is at a newer"):
        run_control_plane("migrate", environment=environment)


async def test_an_older_schema_is_to_be_migrated(newer: asyncpg.Connection) -> None:
    """The program may need what is not there yet."""
    for present in ("'0003'", "''"):
        await newer.execute(f"UPDATE alembic_version SET version_num = {present}")
        assert await problem_of(newer) == TOO_OLD
    await newer.execute("DELETE FROM alembic_version")
    assert await problem_of(newer) == TOO_OLD


async def test_migrating_from_several_places_at_once_works(postgres: Postgres) -> None:
    """Roles are the cluster's, locks a database's: two databases race for the same roles."""
    names = ["race_one", "race_two"]
    for name in names:
        postgres.create_database(name)
    processes = [
        await asyncio.create_subprocess_exec(
            str(PROGRAMS / "control-plane"),
            "migrate",
            env=of_a_child(
                {"CONTROL_PLANE_MIGRATION_DATABASE_URL": postgres.superuser_url_of(name)}
            ),
            stderr=sys.stderr,
        )
        for name in (*names, names[0])
    ]
    assert [await process.wait() for process in processes] == [0, 0, 0]


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM statements",
        "SELECT * FROM connections",
        "SELECT * FROM connection_revisions",
        "SELECT * FROM audit_entries",
        "SELECT * FROM audit_lock",
        "SELECT * FROM device_revocations",
        "SELECT * FROM alembic_version",
        "INSERT INTO facade_statements VALUES ('connection/x', 'x', 'x', 'x', 'x')",
        "UPDATE facade_statements SET type = 'x'",
        "DELETE FROM facade_statements",
        "TRUNCATE statements",
        "CREATE TABLE mine ()",
        "CREATE TEMPORARY TABLE mine ()",
        "CREATE SCHEMA mine",
        "SELECT lo_create(0)",
        "SELECT lo_from_bytea(0, 'x')",
        "SET ROLE registry_control_plane",
        "CREATE FUNCTION notify_statement() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    ],
)
async def test_a_facade_can_do_nothing_but_read_its_view(
    facade_login: Database, statement: str
) -> None:
    """A thief of the facade does not get the database."""
    connection = await connected(facade_login, FACADE_LOGIN, FACADE_PASSWORD)
    try:
        assert await connection.fetch("SELECT * FROM facade_statements") == []
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(statement)
    finally:
        await connection.close()


async def test_the_view_shows_no_operator_and_no_audit(facade_login: Database) -> None:
    """Of all statements a facade sees those about connections and devices, even by tricks."""
    facade_login.sql(
        "INSERT INTO statements (subject, type, key_id, payload, signature, generation)"
        " SELECT kind || '/x', 't', 'k', 'p', 's', 1 FROM unnest(ARRAY['connection', 'device',"
        " 'certificate', 'operator', 'audit', 'connectionx']) AS kind"
    )
    connection = await connected(facade_login, FACADE_LOGIN, FACADE_PASSWORD)
    try:
        rows = await connection.fetch("SELECT subject FROM facade_statements")
        assert {row["subject"] for row in rows} == {"connection/x", "device/x", "certificate/x"}
    finally:
        facade_login.sql("DELETE FROM statements")
        await connection.close()


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM statements",
        "TRUNCATE statements",
        "UPDATE audit_entries SET actor = 'x'",
        "DELETE FROM audit_entries",
        "DELETE FROM connections",
        "UPDATE connections SET host = 'x'",
        "UPDATE connection_revisions SET document = 'x'",
        "DELETE FROM connection_revisions",
        "CREATE TABLE mine ()",
        "CREATE TEMPORARY TABLE mine ()",
        "DROP TRIGGER statement_changed ON statements",
    ],
)
async def test_the_control_plane_cannot_undo_what_was_done(
    migrated: Database, statement: str
) -> None:
    """Tombstones and audit entries stay, whoever holds its login."""
    connection = await connected(migrated, LOGIN_ROLE, LOGIN_PASSWORD)
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(statement)
    finally:
        await connection.close()


async def test_every_change_of_a_statement_is_announced(facade_login: Database) -> None:
    """Insert, update, a changed subject, delete and truncate: facades look again."""
    heard: asyncio.Queue[object] = asyncio.Queue()
    connection = await connected(facade_login, FACADE_LOGIN, FACADE_PASSWORD)
    try:
        await connection.add_listener(
            "registry_statements", lambda *message: heard.put_nowait(message[3])
        )
        for statement in (
            (
                "INSERT INTO statements (subject, type, key_id, payload, signature, generation)"
                " VALUES ('device/a', 't', 'k', 'p', 's', 1)"
            ),
            "UPDATE statements SET payload = 'q'",
            "UPDATE statements SET subject = 'device/b'",
            "DELETE FROM statements",
            "TRUNCATE statements",
        ):
            facade_login.sql(statement)
        async with asyncio.timeout(PATIENCE_SECONDS):
            received = [await heard.get() for _ in range(6)]
        assert received == ["device/a", "device/a", "device/a", "device/b", "device/b", ""]
    finally:
        await connection.close()


async def test_an_owner_who_is_no_superuser_is_told_what_remains(
    migrated: Database, postgres: Postgres
) -> None:
    """Large-object functions belong to a superuser; the DBA is told, the migration goes on."""
    del migrated  # its migration made the roles, which this owner may not make
    postgres.sql(
        "DO $$ BEGIN CREATE ROLE an_owner LOGIN PASSWORD 'x'; EXCEPTION WHEN duplicate_object"
        " THEN NULL; END $$"
    )
    postgres.create_database("owned", owner="an_owner")
    owner = postgres.url("an_owner", "x", "owned")
    remaining = await migrate(read_database_url(owner))
    assert "REVOKE EXECUTE ON FUNCTION lo_create(oid) FROM PUBLIC, registry_facade;" in remaining
    assert remaining == sorted(remaining)
    assert not [each for each in remaining if "TEMPORARY" in each or "CREATE ON" in each]
    postgres.sql("GRANT EXECUTE ON FUNCTION notify_statement() TO PUBLIC", "owned")  # as a restore
    assert await migrate(read_database_url(owner)) == remaining
    postgres.sql(" ".join(remaining), "owned")  # as they are printed
    assert await migrate(read_database_url(owner)) == []


async def test_a_migration_is_held_up_by_nobody_for_ever(facade_login: Database) -> None:
    """Any login may take an advisory lock, and keep it; that is said, and nothing was changed."""
    owner = read_database_url(facade_login.superuser_url)
    holder = await connected(facade_login, FACADE_LOGIN, FACADE_PASSWORD)
    try:
        await holder.execute(f"SELECT pg_advisory_lock({MIGRATION_LOCK})")
        with pytest.raises(HeldUpError, match="pg_locks names it"):
            await migrate(owner, lock_seconds=0.2)
    finally:
        await holder.close()
    await migrate(owner)


async def test_a_migration_that_cannot_connect_names_no_password(database: Database) -> None:
    """The URL is in nobody's terminal."""
    url = database.url("nobody", "canary-database-password")
    with pytest.raises(CommandFailedError) as refused:
        run_control_plane("migrate", environment={"CONTROL_PLANE_DATABASE_URL": url})
    assert "exit 1" in str(refused.value)
    assert "canary" not in str(refused.value)
    assert "Traceback" not in str(refused.value)
