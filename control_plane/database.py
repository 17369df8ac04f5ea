"""The way to Postgres: a pool that may start before the database does, and what failing means."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, Self

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from control_plane.errors import DatabaseUnavailableError, SchemaOutdatedError
from shared.secret import Secret

MAX_CONNECTIONS: Final = 10  # acts follow one another anyhow; this is for reads
CONNECT_TIMEOUT_SECONDS: Final = 5.0
ACQUIRE_TIMEOUT_SECONDS: Final = 8.0  # a new connection and a little waiting for a free one
COMMAND_TIMEOUT_SECONDS: Final = 10.0  # every statement here is short; waiting is for the act lock

DatabaseConnection = PoolConnectionProxy

# What says that the database is away, stopping, full, a standby, or refuses our login; the
# program is right and the next call may succeed.
_UNAVAILABLE: Final = (
    OSError,  # TimeoutError is one
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.InsufficientPrivilegeError,
    asyncpg.ReadOnlySQLTransactionError,
)


class Database:
    """A bounded pool of connections; opening it connects to nothing."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        """Hold the pool."""
        self._pool = pool

    @classmethod
    @asynccontextmanager
    async def open(cls, url: Secret) -> AsyncIterator[Self]:
        """Yield the database of a URL; raise `DatabaseUnavailableError` for one of no sense."""
        try:
            pool = await asyncpg.create_pool(
                url.reveal_text(),
                min_size=0,
                max_size=MAX_CONNECTIONS,
                timeout=CONNECT_TIMEOUT_SECONDS,
                command_timeout=COMMAND_TIMEOUT_SECONDS,
                statement_cache_size=0,  # prepared statements break behind transaction poolers
            )
        except ValueError as error:  # quotes the URL
            raise DatabaseUnavailableError(error) from None
        try:
            yield cls(pool)
        finally:
            pool.terminate()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[DatabaseConnection]:
        """Yield a connection; raise `DatabaseUnavailableError` or `SchemaOutdatedError`."""
        try:
            async with self._pool.acquire(timeout=ACQUIRE_TIMEOUT_SECONDS) as connection:
                yield connection
        except (asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError):
            message = "the database has not been migrated: `control-plane migrate` does it"
            raise SchemaOutdatedError(message) from None
        except _UNAVAILABLE as error:
            raise DatabaseUnavailableError(error) from None

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[DatabaseConnection]:
        """Yield a connection in a transaction, which commits unless something is raised."""
        async with self.connection() as connection, connection.transaction():
            yield connection
