"""The way to Postgres: pools that may start before the database does, and how failures are told."""

import re
import time
from collections.abc import AsyncIterator, Callable, Mapping
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

READS: Final = "reads"
ACTS: Final = "acts"
MAX_CONNECTIONS: Final = 8  # of reads
MAX_ACT_CONNECTIONS: Final = 2  # one for acts, in turn, and one to write a checkpoint
CONNECT_TIMEOUT_SECONDS: Final = 5.0  # for each server, unless the URL says how long
QUEUE_SECONDS: Final = 3.0  # to wait for a free connection, beyond the time that a new one may take
COMMAND_TIMEOUT_SECONDS: Final = 10.0  # statements are short; only the act lock makes one wait
MOST_ANSWER_BYTES: Final = 256 * 1024 * 1024  # a checkpoint of the audit log has 128 MiB at most

DatabaseConnection = PoolConnectionProxy
# Told of which pool, and after how many seconds there was a connection, or none in time.
NoteWait = Callable[[str, float], None]

# The database is away, stopping, full or a standby, or it refuses our login. The program is right,
# and the next call may succeed.
_UNAVAILABLE: Final = (
    OSError,  # TimeoutError is one, and DatabaseAwayError
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # the server ended the connection while a statement was sent
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.InsufficientPrivilegeError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.InvalidCachedStatementError,  # the schema changed just now; it is prepared again
)
# What asyncpg says of a session that the server has ended, before the socket tells so: its state is
# 1 (failed), 2 (the end of an error is awaited) or 4 (terminating). Higher ones are of our queries.
_ENDED: Final = re.compile(
    r'protocol is in the "failed" state|another operation \([124]\) is in progress', re.ASCII
)
_TAKEN_BACK: Final = "called on a free connection holder"
# What our queries raise if a column has another type.
_OTHER_TYPES: Final = (
    asyncpg.UndefinedFunctionError,
    asyncpg.DatatypeMismatchError,
    asyncpg.CannotCoerceError,
)
_log = get_logger("control_plane.database")


class Database:
    """Two bounded pools, so that no read waits for an act. Opening them makes no connection."""

    def __init__(
        self, reads: asyncpg.Pool, acts: asyncpg.Pool, acquire_seconds: float, note_wait: NoteWait
    ) -> None:
        """Hold the pools, and how long a connection may take."""
        self._reads, self._acts = reads, acts
        self._acquire_seconds, self._note_wait = acquire_seconds, note_wait
        self._problem: str | None = None  # what the log was told last

    @classmethod
    @asynccontextmanager
    async def open(
        cls, parameters: ConnectionParameters, note_wait: NoteWait = lambda _pool, _seconds: None
    ) -> AsyncIterator[Self]:
        """Yield the database that a URL asks for."""

        async def connect_anew(*_: object, **__: object) -> Connection:
            """Connect in place of asyncpg, which would read the environment and the home folder."""
            return await connect(
                parameters,
                seconds=CONNECT_TIMEOUT_SECONDS,
                most_bytes=MOST_ANSWER_BYTES,
                command_seconds=COMMAND_TIMEOUT_SECONDS,
                prepares=True,
            )

        async def pool_of(most: int) -> asyncpg.Pool:
            return await asyncpg.create_pool(
                min_size=0, max_size=most, connect=connect_anew, reset=_keep_session
            )

        reads, acts = await pool_of(MAX_CONNECTIONS), await pool_of(MAX_ACT_CONNECTIONS)
        try:
            yield cls(reads, acts, patience_seconds(parameters), note_wait)
        finally:
            for pool in (reads, acts):
                pool.terminate()

    @asynccontextmanager
    async def connection(self, *, tells: bool = True) -> AsyncIterator[DatabaseConnection]:
        """Yield a connection for reading; raise `DatabaseUnavailableError`, `SchemaOutdatedError`.

        The log says when that changes; not for what looks in the background (`RegularLook`).
        """
        note = self._note if tells else _not_told
        async with self._of_pool(self._reads, note) as connection:
            yield connection

    @asynccontextmanager
    async def _of_pool(
        self, pool: asyncpg.Pool, note: Callable[[str | None], None]
    ) -> AsyncIterator[DatabaseConnection]:
        try:
            async with self._acquired(pool) as connection:
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
            unavailable = DatabaseUnavailableError(_as_away(error))
            note(unavailable.reason)
            raise unavailable from None
        else:
            note(None)

    @asynccontextmanager
    async def _acquired(self, pool: asyncpg.Pool) -> AsyncIterator[DatabaseConnection]:
        began = time.monotonic()
        try:
            connection = await pool.acquire(timeout=self._acquire_seconds)
        finally:
            self._note_wait(READS if pool is self._reads else ACTS, time.monotonic() - began)
        try:
            yield connection
        finally:
            await _give_back(pool, connection)

    def pools(self) -> Mapping[str, asyncpg.Pool]:
        """Return the pools, by what they are for."""
        return {READS: self._reads, ACTS: self._acts}

    def _note(self, problem: str | None) -> None:
        """Log once why the database is away, and once that it is back: answers do not say."""
        if problem is not None and problem != self._problem:
            _log.warning("database not available", reason=problem)
        elif problem is None and self._problem is not None:
            _log.info("database available")
        self._problem = problem

    @asynccontextmanager
    async def transaction(self, first: str = "") -> AsyncIterator[DatabaseConnection]:
        """Yield a connection in a transaction, which commits unless something is raised.

        It begins with the statement `first`, in the same round trip. Raises
        `NotificationQueueFullError` if the commit cannot notify, and what `connection` does.
        """
        async with self._of_pool(self._acts, self._note) as connection:
            try:
                await connection.execute(f"BEGIN; {first}")
                yield connection
            except BaseException:
                if not connection.is_closed():
                    await connection.execute("ROLLBACK")
                raise
            try:
                await connection.execute("COMMIT")
            except asyncpg.ProgramLimitExceededError:
                # A commit reaches no other limit of the program than that of notifications.
                raise NotificationQueueFullError from None

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[DatabaseConnection]:
        """Yield a connection on which all reads see one state of the database; it cannot write."""
        async with (
            self.connection() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            yield connection


async def _give_back(pool: asyncpg.Pool, connection: DatabaseConnection) -> None:
    """Give a connection back, also one that its pool took back because the server ended it."""
    try:
        await pool.release(connection)
    except asyncpg.InternalClientError as error:
        if _TAKEN_BACK not in str(error):
            raise


def _as_away(error: Exception) -> Exception:
    """Return the failure; of a session that the server has ended, what it means."""
    if isinstance(error, asyncpg.InternalClientError) and _ENDED.search(str(error)):
        return asyncpg.ConnectionDoesNotExistError("the server has ended the session")
    return error


def patience_seconds(parameters: ConnectionParameters) -> float:
    """Return how long connecting may take: all servers but the last may be silent."""
    each = parameters.connect_seconds or CONNECT_TIMEOUT_SECONDS
    return each * len(list(attempts(parameters))) + QUEUE_SECONDS


async def _keep_session(_: asyncpg.Connection) -> None:
    """Put a connection back into its pool as it is: nothing here changes a session's state.

    An open transaction was rolled back by then. asyncpg's own reset would be a round trip.
    """


def _not_told(_: str | None) -> None:
    """Leave the log as it is."""
