"""The facade's database role reads one view, and does nothing else."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest
import uvloop

from control_plane.database.migrate import migrate
from facade.approvals.login_rights import excess_rights
from shared.postgres.database_url import read_database_url
from tests.support.facade_database import DatabaseTemplate, FacadeDatabase
from tests.support.statement_writer import StatementWriter

RIGHTS = {  # that no facade needs, by what gives them to a login
    "SUPERUSER": "is a superuser",
    "CREATEROLE": "may make roles",
    "IN ROLE registry_control_plane": "may write the control plane's tables",
    "NOINHERIT IN ROLE registry_control_plane": "may become registry_control_plane",
}
FORBIDDEN = (
    # Reading anything else.
    "SELECT * FROM statements",
    "SELECT generation FROM statements",
    "SELECT count(*) FROM statements",
    "SELECT * FROM connections",
    "SELECT document, sealed_secret FROM connection_revisions",
    "SELECT * FROM audit_entries",
    "SELECT * FROM audit_lock",
    "SELECT * FROM alembic_version",
    "TABLE pg_catalog.pg_authid",
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT pg_ls_dir('/')",
    "COPY statements TO STDOUT",
    "COPY facade_statements TO PROGRAM 'cat'",
    "COPY facade_statements TO '/tmp/leaked'",
    "SELECT notify_statement()",
    # Writing through the view, which is simple enough to be writable.
    "INSERT INTO facade_statements VALUES ('connection/x', 't', 'k', '', '')",
    "UPDATE facade_statements SET payload = ''",
    "DELETE FROM facade_statements",
    "SELECT * FROM facade_statements FOR UPDATE",
    "DO $$ BEGIN LOCK TABLE facade_statements IN ACCESS EXCLUSIVE MODE; END $$",
    # Writing anywhere else.
    "INSERT INTO statements VALUES ('connection/x', 't', 'k', '', '', 1)",
    "UPDATE statements SET generation = 1",
    "DELETE FROM statements",
    "TRUNCATE statements",
    "DO $$ BEGIN LOCK TABLE statements IN SHARE MODE; END $$",
    "INSERT INTO connections (id, host) VALUES (gen_random_uuid(), 'x')",
    "INSERT INTO audit_lock DEFAULT VALUES",
    "UPDATE alembic_version SET version_num = 'x'",
    # Making anything.
    "CREATE TABLE mine (x int)",
    "CREATE TEMP TABLE mine (x int)",
    "CREATE VIEW mine AS SELECT 1",
    "CREATE SCHEMA mine",
    "CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE EXTENSION dblink",
    "CREATE DATABASE mine",
    "CREATE ROLE mine",
    "SELECT lo_create(0)",
    "SELECT lo_from_bytea(0, 'x')",
    # Changing anything.
    "ALTER TABLE statements DISABLE TRIGGER ALL",
    "DROP TRIGGER statement_changed ON statements",
    "DROP VIEW facade_statements",
    "CREATE OR REPLACE VIEW facade_statements AS SELECT 1",
    "ALTER VIEW facade_statements OWNER TO CURRENT_USER",
    "GRANT registry_control_plane TO CURRENT_USER",
    "ALTER ROLE CURRENT_USER SUPERUSER",
    "ALTER SYSTEM SET log_statement = 'all'",
    "SET ROLE registry_control_plane",
    "SET ROLE postgres",
    "SET SESSION AUTHORIZATION postgres",
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'postgres'",
    "SELECT pg_reload_conf()",
)


@pytest.fixture(scope="module")
def facade_database(database_template: DatabaseTemplate) -> FacadeDatabase:
    """A copy that is migrated again: rights on a database itself are not copied."""
    copied = database_template.copy()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(migrate(read_database_url(copied.owner_url)))
    return copied


@pytest.fixture
async def role(facade_database: FacadeDatabase) -> AsyncIterator[asyncpg.Connection]:
    """A session with exactly what a facade is given."""
    connection = await asyncpg.connect(facade_database.facade_url)
    yield connection
    await connection.close()


async def test_the_role_reads_the_view(
    role: asyncpg.Connection, facade_database: FacadeDatabase
) -> None:
    """Without this, the refusals below would prove nothing."""
    writer = StatementWriter(facade_database.owner_url)
    approval = await writer.approve("registry.example")
    rows = await role.fetch("SELECT * FROM facade_statements")
    assert [row["subject"] for row in rows] == [approval.subject]
    assert set(rows[0].keys()) == {"subject", "type", "key_id", "payload", "signature"}


async def test_the_role_does_nothing_else(
    role: asyncpg.Connection, facade_database: FacadeDatabase, subtests: pytest.Subtests
) -> None:
    """A stolen facade gets nothing from the database but what it was shown anyway."""
    owner = await asyncpg.connect(facade_database.owner_url)
    try:
        before = await owner.fetch("SELECT * FROM statements ORDER BY subject")
        for statement in FORBIDDEN:
            with (
                subtests.test(statement=statement),
                pytest.raises(asyncpg.InsufficientPrivilegeError),
            ):
                await role.execute(statement)
        assert await owner.fetch("SELECT * FROM statements ORDER BY subject") == before
    finally:
        await owner.close()


async def test_a_login_that_may_do_more_is_known(
    role: asyncpg.Connection, facade_database: FacadeDatabase, subtests: pytest.Subtests
) -> None:
    """Whoever gave a facade the owner's login, or the control plane's, is told; by one query."""
    assert await excess_rights(role) is None
    owner = await asyncpg.connect(facade_database.owner_url)
    try:
        assert await excess_rights(owner) is not None
        for given, words in RIGHTS.items():
            with subtests.test(given=given):
                async with owner.transaction():
                    await owner.execute(f"CREATE ROLE too_much {given}")
                    await owner.execute("SET LOCAL SESSION AUTHORIZATION too_much")
                    assert await excess_rights(owner) == words
                    await owner.execute("RESET SESSION AUTHORIZATION")
                    await owner.execute("DROP ROLE too_much")
    finally:
        await owner.close()


async def test_the_role_gives_nothing_away(
    role: asyncpg.Connection, facade_database: FacadeDatabase
) -> None:
    """A GRANT without the right to grant is a warning in PostgreSQL, and grants nothing."""
    await role.execute("GRANT ALL ON facade_statements TO PUBLIC")
    owner = await asyncpg.connect(facade_database.owner_url)
    try:
        (granted,) = await owner.fetch(
            "SELECT has_table_privilege('public', 'facade_statements', 'SELECT') AS granted"
        )
    finally:
        await owner.close()
    assert not granted["granted"]


async def test_the_role_sees_no_operator_and_no_audit_entry(
    role: asyncpg.Connection, facade_database: FacadeDatabase
) -> None:
    """Neither is the facade's business, and a token's hash is nobody's."""
    owner = await asyncpg.connect(facade_database.owner_url)
    try:
        for subject in ("operator/alice", "audit/1", "connections/x", "Device/x", "x"):
            await owner.execute(
                "INSERT INTO statements (subject, type, key_id, payload, signature, generation)"
                " VALUES ($1, 't', 'k', '', '', 1)",
                subject,
            )
    finally:
        await owner.close()
    subjects = {row["subject"] for row in await role.fetch("SELECT * FROM facade_statements")}
    assert all(subject.startswith("connection/") for subject in subjects)


async def test_an_operator_that_leaks_does_not_get_behind_the_view(
    role: asyncpg.Connection, facade_database: FacadeDatabase
) -> None:
    """`security_barrier`: a cheap function of the asker's is not run on rows it may not see."""
    writer = StatementWriter(facade_database.owner_url)
    await writer.sql(
        "INSERT INTO statements (subject, type, key_id, payload, signature, generation)"
        " VALUES ('operator/hidden', 't', 'k', '', '', 1) ON CONFLICT DO NOTHING"
    )
    # A cast that fails quotes the value in its error.
    with pytest.raises(asyncpg.PostgresError) as leaked:
        await role.fetch("SELECT * FROM facade_statements WHERE subject::int = 1")
    assert "operator/hidden" not in str(leaked.value)
