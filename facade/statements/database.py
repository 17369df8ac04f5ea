"""A connection to Postgres: one host of several, found again after a failover, and never trusted to
be alive because it is open.

`FACADE_DATABASE_URL` may name several hosts, and `target_session_attrs` which of them will do.
Each host has a deadline of its own: one that has gone silent does not use up the others' time, as
it would if asyncpg were given them together.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit

import asyncpg

from shared.secret import Secret

CONNECT_TIMEOUT_SECONDS: Final = 5.0  # for each host
QUERY_TIMEOUT_SECONDS: Final = 10.0  # a stopped Postgres answers nothing; then connect anew
HEARTBEAT_SECONDS: Final = 5.0  # how long an idle connection is believed to be alive
HEARTBEAT_TIMEOUT_SECONDS: Final = 5.0
PAGE_ROWS: Final = 2000  # one page is decoded and compared in about 5 ms

# ValueError: a host that no resolver takes. InternalClientError: what answers is no PostgreSQL,
# or none of the kind that is wanted.
DATABASE_FAILURES: Final = (
    OSError,
    ValueError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)
_TARGET: Final = "target_session_attrs"
_PREFER_STANDBY: Final = "prefer-standby"
# By hand, and not asyncpg's cursor: its statements have names, which meet on a pooler's sessions.
# Pages by `subject >` would each scan the table: a security barrier has no order.
_DECLARE: Final = (
    "DECLARE signatures NO SCROLL CURSOR FOR SELECT subject, signature FROM facade_statements"
)
_FETCH: Final = f"FETCH {PAGE_ROWS} FROM signatures"


async def connect_database(database_url: Secret) -> asyncpg.Connection:
    """Return a connection to the first host that will do, in the order in which they are named.

    Raises one of `DATABASE_FAILURES`: the last host's.
    """
    failure: Exception | None = None
    for url in urls_of_hosts(database_url.reveal_text()):
        try:
            return await asyncpg.connect(
                url,
                timeout=CONNECT_TIMEOUT_SECONDS,
                command_timeout=QUERY_TIMEOUT_SECONDS,
                statement_cache_size=0,  # a transaction pooler has no prepared statements
            )
        except DATABASE_FAILURES as error:
            failure = error
    raise failure or ValueError


def urls_of_hosts(url: str) -> Iterator[str]:
    """Yield a URL for each attempt: each host alone, in order.

    `prefer-standby` is two rounds: standbys, then whatever answers. Hosts that are named in the
    query (`?host=`) are left to asyncpg, which has one deadline for all.
    """
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    if {"host", "port"} & query.keys():
        yield url
        return
    user, at, hosts = parts.netloc.rpartition("@")
    for round_query in _rounds(query):
        for host in hosts.split(","):
            alone = parts._replace(netloc=f"{user}{at}{host}", query=urlencode(round_query))
            yield alone.geturl()


def _rounds(query: dict[str, str]) -> Iterator[dict[str, str]]:
    if query.get(_TARGET) != _PREFER_STANDBY:
        yield query
        return
    yield query | {_TARGET: "standby"}
    yield query | {_TARGET: "any"}


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
