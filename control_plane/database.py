"""The way to Postgres: a pool that may start before the database does, and what failing means."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, Self

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from control_plane.errors import (
    DatabaseUnavailableError,
    NotificationQueueFullError,
    SchemaOutdatedError,
)
from shared.postgres.connect import attempts, connect
from shared.postgres.connection_parameters import ConnectionParameters
from shared.postgres.link import Connection
from shared.structured_log import get_logger

MAX_CONNECTIONS: Final = 10  # acts follow one another anyhow; this is for reads
CONNECT_TIMEOUT_SECONDS: Final = 5.0  # for each server, unless the URL says it
QUEUE_SECONDS: Final = 3.0  # for a free connection, beside the time that a new one may take
COMMAND_TIMEOUT_SECONDS: Final = 10.0  # every statement here is short; waiting is for the act lock

DatabaseConnection = PoolConnectionProxy

# What says that the database is away, stopping, full, a standby, or refuses our login; the
# program is right and the next call may succeed.
_UNAVAILABLE: Final = (
    OSError,  # TimeoutError is one, and DatabaseAwayError
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.InsufficientPrivilegeError,
    asyncpg.ReadOnlySQLTransactionError,
)
# What a query of ours meets whose columns somebody made into others.
_OTHER_TYPES: Final = (
    asyncpg.UndefinedFunctionError,
    asyncpg.DatatypeMismatchError,
    asyncpg.CannotCoerceError,
)
_log = get_logger(__name__)


class Database:
    """A bounded pool of connections; opening it connects to nothing."""

    def __init__(self, pool: asyncpg.Pool, acquire_seconds: float) -> None:
        """Hold the pool, and how long a connection of it may take."""
        self._pool = pool
        self._acquire_seconds = acquire_seconds
        self._problem: str | None = None  # what the log said last

    @classmethod
    @asynccontextmanager
    async def open(cls, parameters: ConnectionParameters) -> AsyncIterator[Self]:
        """Yield the database that a URL asks for."""

        async def connect_anew(*_: object, **__: object) -> Connection:
            """Stand in for asyncpg's own way, which would read the environment and the home."""
            return await connect(
                parameters,
                seconds=CONNECT_TIMEOUT_SECONDS,
                command_seconds=COMMAND_TIMEOUT_SECONDS,
            )

        pool = await asyncpg.create_pool(min_size=0, max_size=MAX_CONNECTIONS, connect=connect_anew)
        try:
            yield cls(pool, patience_seconds(parameters))
        finally:
            pool.terminate()

    @asynccontextmanager
    async def connection(self, *, tells: bool = True) -> AsyncIterator[DatabaseConnection]:
        """Yield a connection; raise `DatabaseUnavailableError` or `SchemaOutdatedError`.

        The log is told when that changes, but for what asks nothing of our own schema.
        """
        note = self._note if tells else _not_told
        try:
            async with self._pool.acquire(timeout=self._acquire_seconds) as connection:
                yield connection
        except (asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError):
            message = "the database has not been migrated: `control-plane migrate` does it"
            note(message)
            raise SchemaOutdatedError(message) from None
        except _OTHER_TYPES:
            message = "the database's columns are of other types than `control-plane migrate` made"
            note(message)
            raise SchemaOutdatedError(message) from None
        except _UNAVAILABLE as error:
            unavailable = DatabaseUnavailableError(error)
            note(unavailable.reason)
            raise unavailable from None
        else:
            note(None)

    def _note(self, problem: str | None) -> None:
        """Log why the database is away, once, and that it is back: answers do not tell."""
        if problem is not None and problem != self._problem:
            _log.warning("database not available", reason=problem)
        elif problem is None and self._problem is not None:
            _log.info("database available")
        self._problem = problem

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[DatabaseConnection]:
        """Yield a connection in a transaction, which commits unless something is raised.

        Raises `NotificationQueueFullError` if the commit cannot notify, and what `connection` does.
        """
        async with self.connection() as connection:
            is_complete = False
            try:
                async with connection.transaction():
                    yield connection
                    is_complete = True
            except asyncpg.ProgramLimitExceededError:
                if not is_complete:
                    raise
                # Of what a commit does, notifying alone has a limit of the program's.
                raise NotificationQueueFullError from None

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[DatabaseConnection]:
        """Yield a connection on which all reads see one state of the database; it cannot write."""
        async with (
            self.connection() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            yield connection


def patience_seconds(parameters: ConnectionParameters) -> float:
    """Return how long a connection may take: every server may be silent but the last one."""
    each = parameters.connect_seconds or CONNECT_TIMEOUT_SECONDS
    return each * len(list(attempts(parameters))) + QUEUE_SECONDS


def _not_told(_: str | None) -> None:
    """Leave the log as it is."""
