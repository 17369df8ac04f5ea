"""Bringing the database to the current schema, with its group roles and their least grants.

Everything after the roles happens in one transaction under one advisory lock, so a second
migration at the same time waits, finds nothing to do, and states the grants once more.
"""

from typing import Final

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection as AlchemyConnection
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from control_plane.errors import DatabaseUnavailableError
from control_plane.migrations.sql_file import FOLDER, run_sql_file
from shared.postgres.connect import DatabaseAwayError, connect
from shared.postgres.connection_parameters import ConnectionParameters
from shared.postgres.link import Connection

CONNECT_TIMEOUT_SECONDS: Final = 10.0
_MIGRATION_LOCK: Final = 0x7265_6769_7374_7279  # "registry" in ASCII: no other application's lock


async def migrate(owner: ConnectionParameters) -> list[str]:
    """Migrate as the schema's owner; return the rights of the facade's role that remain.

    Raises `DatabaseUnavailableError` where there is no connection to be had, and
    `asyncpg.PostgresError` where the owner may not do what a migration needs.
    """
    await _make_roles(owner)
    engine = create_async_engine(
        "postgresql+asyncpg://",
        async_creator=lambda: _connect(owner),
        poolclass=NullPool,
    )
    try:
        async with engine.begin() as connection:
            return await connection.run_sync(_migrate)
    finally:
        await engine.dispose()


async def _make_roles(owner: ConnectionParameters) -> None:
    connection = await _connect(owner)
    try:
        await connection.execute((FOLDER / "roles.sql").read_text(encoding="utf-8"))
    finally:
        await connection.close()


def _migrate(connection: AlchemyConnection) -> list[str]:
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
    config = alembic_config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    run_sql_file(connection, FOLDER / "grants.sql")
    remaining = connection.exec_driver_sql((FOLDER / "remaining.sql").read_text(encoding="utf-8"))
    return [row[0] for row in remaining]


def alembic_config() -> Config:
    """Return what alembic is told: where the revisions are."""
    config = Config()
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    config.set_main_option("version_locations", str(FOLDER / "revisions").replace("%", "%%"))
    config.set_main_option("path_separator", "newline")
    return config


async def _connect(owner: ConnectionParameters) -> Connection:
    try:
        return await connect(owner, seconds=CONNECT_TIMEOUT_SECONDS)
    except DatabaseAwayError as error:
        raise DatabaseUnavailableError(error) from None
