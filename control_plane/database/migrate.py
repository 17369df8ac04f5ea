"""Bringing the database to the current schema, with its group roles and their minimal grants.

Everything after the roles happens in one transaction under one advisory lock, so a second
migration at the same time waits, finds nothing to do, and states the grants once more.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection as AlchemyConnection
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from control_plane.database.database import MOST_ANSWER_BYTES
from control_plane.database.schema_revision import (
    OLDEST_PROGRAM,
    PRESENT_REVISION,
    TOO_NEW,
    may_work,
)
from control_plane.errors import ControlPlaneError, DatabaseUnavailableError
from control_plane.migrations.newest import newest_revision
from control_plane.migrations.sql_file import FOLDER, run_sql_file
from shared.postgres.connect import DatabaseAwayError, connect
from shared.postgres.connection_parameters import ConnectionParameters
from shared.postgres.link import Connection

CONNECT_TIMEOUT_SECONDS: Final = 10.0
FACADE_CONNECTIONS: Final = (
    5  # for one login: a facade uses one, `facade check` another; dead ones count
)
CONTROL_PLANE_CONNECTIONS: Final = (
    20  # its pools have 10; the others are for commands, and for dead ones
)
MIGRATION_LOCK: Final = (
    0x7265_6769_7374_7279  # "registry" in ASCII, so that no other application has this lock
)
LOCK_SECONDS: Final = 120.0  # for another migration; each so far takes less than a second
_LOCK_NOT_AVAILABLE: Final = asyncpg.LockNotAvailableError.sqlstate
_INSUFFICIENT_PRIVILEGE: Final = asyncpg.InsufficientPrivilegeError.sqlstate

_IS_MIGRATED: Final = "SELECT to_regclass('public.alembic_version')"
_NOTE_OLDEST_PROGRAM: Final = text(
    "INSERT INTO public.schema_compatibility (oldest_program) VALUES (:oldest)"
    " ON CONFLICT (the_only) DO UPDATE SET oldest_program = EXCLUDED.oldest_program"
)

_MAKING_ROLES: Final = (
    "the login may not make the two group roles; an administrator grants it"
    " `ALTER ROLE name CREATEROLE`, or makes them once:"
    " `CREATE ROLE registry_control_plane NOLOGIN; CREATE ROLE registry_facade NOLOGIN`"
)
_CHANGING_THE_SCHEMA: Final = (
    "the login may not change the schema `public` or what is in it; an administrator makes it the"
    " owner of the database, `ALTER DATABASE name OWNER TO login`, and of the tables that are there"
)


class HeldUpError(ControlPlaneError):
    """Somebody holds a lock that the migration waits for; the message says who that may be."""

    def __init__(self) -> None:
        """Say what to look at."""
        super().__init__(
            "it waited too long for a lock: another migration is under way, or a session holds its"
            " advisory lock or a table, which any login of the database can do; pg_locks names it"
        )


class NewerSchemaError(ControlPlaneError):
    """The database is at a revision that this program does not know; nothing was changed."""

    def __init__(self, *, may_work: bool) -> None:
        """Note whether this program may work with it all the same."""
        super().__init__(TOO_NEW)
        self.may_work = may_work


class MissingRightError(ControlPlaneError):
    """The login may not do what a migration needs; the message says what to grant."""


async def migrate(owner: ConnectionParameters, *, lock_seconds: float = LOCK_SECONDS) -> list[str]:
    """Migrate as the schema's owner; return SQL that takes away rights that the facade still has.

    Raises `DatabaseUnavailableError` if it cannot connect, `MissingRightError` if the login may not
    do what a migration needs, `HeldUpError` if it waited `lock_seconds` for somebody's lock,
    `NewerSchemaError` where a newer program has migrated, and otherwise what the drivers raise.
    """
    with _needing(_MAKING_ROLES):
        await _make_roles(owner)
    engine = create_async_engine(
        "postgresql+asyncpg://",
        async_creator=lambda: _connect(owner),
        poolclass=NullPool,
    )
    try:
        with _needing(_CHANGING_THE_SCHEMA):
            async with engine.begin() as connection:
                return await connection.run_sync(_migrate, lock_seconds)
    finally:
        await engine.dispose()


async def unlimited_logins(owner: ConnectionParameters) -> dict[str, int]:
    """Return the logins of both processes without a connection limit, and how many are enough.

    Their names are quoted for SQL.

    Raises `DatabaseUnavailableError`.
    """
    connection = await _connect(owner)
    try:
        query = (FOLDER / "unlimited.sql").read_text(encoding="utf-8")
        return {
            row["login"]: CONTROL_PLANE_CONNECTIONS if row["writes"] else FACADE_CONNECTIONS
            for row in await connection.fetch(query)
        }
    finally:
        await connection.close()


@contextmanager
def _needing(right: str) -> Iterator[None]:
    """Say which right is missing if the server says so; its own text quotes names."""
    try:
        yield
    except asyncpg.InsufficientPrivilegeError:
        raise MissingRightError(right) from None
    except DBAPIError as error:
        state = getattr(error.orig, "sqlstate", None)
        if state == _LOCK_NOT_AVAILABLE:
            raise HeldUpError from None
        if state != _INSUFFICIENT_PRIVILEGE:
            raise
        raise MissingRightError(right) from None


async def _make_roles(owner: ConnectionParameters) -> None:
    connection = await _connect(owner)
    try:
        await connection.execute((FOLDER / "roles.sql").read_text(encoding="utf-8"))
    finally:
        await connection.close()


def _migrate(connection: AlchemyConnection, lock_seconds: float) -> list[str]:
    milliseconds = round(lock_seconds * 1000)
    connection.exec_driver_sql(f"SET LOCAL lock_timeout = {milliseconds}")
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
    _refuse_newer(connection)
    config = alembic_config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    run_sql_file(connection, FOLDER / "beside.sql")
    connection.execute(_NOTE_OLDEST_PROGRAM, {"oldest": _oldest_program(config)})
    run_sql_file(connection, FOLDER / "grants.sql")
    remaining = connection.exec_driver_sql((FOLDER / "remaining.sql").read_text(encoding="utf-8"))
    return [row[0] for row in remaining]


def _refuse_newer(connection: AlchemyConnection) -> None:
    """Leave a newer program's schema alone: its grants are not ours to state."""
    if connection.exec_driver_sql(_IS_MIGRATED).scalar() is None:
        return
    present = connection.exec_driver_sql(PRESENT_REVISION).scalar()
    if present is not None and present > newest_revision():
        oldest = connection.exec_driver_sql(OLDEST_PROGRAM).scalar()
        raise NewerSchemaError(may_work=may_work(newest_revision(), oldest))


def _oldest_program(config: Config) -> str:
    """Return what the newest revision says."""
    newest = ScriptDirectory.from_config(config).get_revision(newest_revision())
    return str(newest.module.oldest_program)


def alembic_config() -> Config:
    """Return alembic's settings: where the revisions are."""
    config = Config()
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    config.set_main_option("version_locations", str(FOLDER / "revisions").replace("%", "%%"))
    config.set_main_option("path_separator", "newline")
    return config


async def _connect(owner: ConnectionParameters) -> Connection:
    try:
        return await connect(owner, seconds=CONNECT_TIMEOUT_SECONDS, most_bytes=MOST_ANSWER_BYTES)
    except DatabaseAwayError as error:
        raise DatabaseUnavailableError(error) from None
