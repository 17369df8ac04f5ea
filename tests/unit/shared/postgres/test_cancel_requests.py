"""What becomes of the connection on which asyncpg asks a server to cancel a statement."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Final

import pytest
from attrs import define, field

from shared.postgres.connect import connect
from shared.postgres.database_url import read_database_url
from tests.support.eventually import eventually
from tests.support.served_connections import ServedConnections
from tests.support.simulators.hostile_postgres import LET_IN

FIRST_COMMAND_SECONDS: Final = 0.05
CANCEL_REQUEST: Final = (80877102).to_bytes(4)  # PostgreSQL's documentation, "CancelRequest"
READ_BYTES: Final = 64 * 1024


@define(eq=False)
class SilentPostgres:
    """Lets everybody in, and answers no statement and no request to cancel one."""

    port: int = 0
    cancels: int = 0
    connections: ServedConnections = field(factory=ServedConnections)

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve a connection."""
        self.connections.begin(self._serve(reader, writer), writer.transport.abort)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            begin = await reader.read(READ_BYTES)
            if begin[4:8] == CANCEL_REQUEST:
                self.cancels += 1
            else:
                writer.write(LET_IN)
            while await reader.read(READ_BYTES):
                pass


@pytest.fixture
async def silent() -> AsyncIterator[SilentPostgres]:
    """One that listens."""
    silent = SilentPostgres()
    server = await asyncio.start_server(silent.accept, "127.0.0.1", 0)
    silent.port = server.sockets[0].getsockname()[1]
    yield silent
    server.close()
    await silent.connections.end()


async def test_a_server_that_leaves_a_request_to_cancel_hanging_holds_nobody(
    silent: SilentPostgres,
) -> None:
    """Asyncpg waits for that as long as for a statement, and then ends the session."""
    url = f"postgresql://u:p@127.0.0.1:{silent.port}/d?sslmode=disable"
    seconds = FIRST_COMMAND_SECONDS
    while not silent.cancels:  # it may take a busy machine longer than that to ask
        connection = await connect(
            read_database_url(url), seconds=60.0, most_bytes=READ_BYTES, command_seconds=seconds
        )
        with pytest.raises(TimeoutError):
            await connection.execute("SELECT 1")
        await eventually(lambda: not silent.connections)
        assert connection.is_closed()
        seconds *= 2
