"""A connection to Postgres: to one of several hosts, found again after a failover.

That it is open does not mean that it is alive. `FACADE_DATABASE_URL` may name several hosts, and
`target_session_attrs` which of them will do.
"""

from typing import Final

import asyncpg

from shared.postgres.connect import connect, reason_of
from shared.postgres.connection_parameters import ConnectionParameters
from shared.postgres.reasons import in_words

CONNECT_TIMEOUT_SECONDS: Final = 5.0  # for each host, unless the URL says otherwise
QUERY_TIMEOUT_SECONDS: Final = 10.0  # a stopped Postgres does not answer
MOST_ANSWER_BYTES: Final = 32 * 1024 * 1024  # pages of 4 MiB, and what is notified beside them
HEARTBEAT_SECONDS: Final = 5.0  # for so long an idle connection is believed to be alive
HEARTBEAT_TIMEOUT_SECONDS: Final = 5.0

# ValueError is asyncpg's for rows of another kind. InternalClientError: what answers is no
# PostgreSQL any more.
DATABASE_FAILURES: Final = (
    OSError,
    ValueError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)


def unreadable(error: BaseException) -> str:
    """Return in words that the database cannot be read, and why; no library's text."""
    return f"the database cannot be read: {in_words(reason_of(error))}"


async def connect_database(parameters: ConnectionParameters) -> asyncpg.Connection:
    """Return a connection to the first host that will do, in the order in which they are named.

    Raises `shared.postgres.connect.DatabaseAwayError`, one of `DATABASE_FAILURES`.
    """
    return await connect(
        parameters,
        seconds=CONNECT_TIMEOUT_SECONDS,
        most_bytes=MOST_ANSWER_BYTES,
        command_seconds=QUERY_TIMEOUT_SECONDS,
    )


async def require_alive(connection: asyncpg.Connection) -> None:
    """Raise one of `DATABASE_FAILURES` unless the other side answers."""
    await connection.fetchval("SELECT 1", timeout=HEARTBEAT_TIMEOUT_SECONDS)
