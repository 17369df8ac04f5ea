"""A connection to Postgres: one host of several, found again after a failover, and never trusted to
be alive because it is open.

`FACADE_DATABASE_URL` may name several hosts, and `target_session_attrs` which of them will do.
"""

import asyncio
from collections.abc import AsyncGenerator
from typing import Final

import asyncpg

from shared.postgres.connect import connect
from shared.postgres.connection_parameters import ConnectionParameters

CONNECT_TIMEOUT_SECONDS: Final = 5.0  # for each host, unless the URL says it
QUERY_TIMEOUT_SECONDS: Final = 10.0  # a stopped Postgres answers nothing; then connect anew
HEARTBEAT_SECONDS: Final = 5.0  # how long an idle connection is believed to be alive
HEARTBEAT_TIMEOUT_SECONDS: Final = 5.0
PAGE_ROWS: Final = 2000  # one page is decoded and compared in about 5 ms

# ValueError is asyncpg's for rows of another kind. InternalClientError: what answers is no
# PostgreSQL any more.
DATABASE_FAILURES: Final = (
    OSError,
    ValueError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)
# By hand, and not asyncpg's cursor: its statements have names, which meet on a pooler's sessions.
# Pages by `subject >` would each scan the table: a security barrier has no order.
_DECLARE: Final = (
    "DECLARE signatures NO SCROLL CURSOR FOR SELECT subject, signature FROM facade_statements"
)
_FETCH: Final = f"FETCH {PAGE_ROWS} FROM signatures"


async def connect_database(parameters: ConnectionParameters) -> asyncpg.Connection:
    """Return a connection to the first host that will do, in the order in which they are named.

    Raises `shared.postgres.connect.DatabaseAwayError`, one of `DATABASE_FAILURES`.
    """
    return await connect(
        parameters, seconds=CONNECT_TIMEOUT_SECONDS, command_seconds=QUERY_TIMEOUT_SECONDS
    )


async def signature_pages(
    connection: asyncpg.Connection,
) -> AsyncGenerator[list[tuple[str, bytes]], None]:
    """Yield subject and signature of every row there is now, a page at a time, in any order.

    One scan of the table in one short transaction, during which nothing is notified. The caller
    closes the iterator.
    """
    async with connection.transaction(readonly=True):
        await connection.execute(_DECLARE)
        while page := await connection.fetch(_FETCH):
            yield [(row[0], row[1]) for row in page]
            await asyncio.sleep(0)  # a page that was there at once lets others go first


async def require_alive(connection: asyncpg.Connection) -> None:
    """Raise one of `DATABASE_FAILURES` unless the other side answers."""
    await connection.fetchval("SELECT 1", timeout=HEARTBEAT_TIMEOUT_SECONDS)
