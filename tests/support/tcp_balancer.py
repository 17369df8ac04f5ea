"""A plain TCP balancer on loopback: each connection goes to the next server that takes it.

It does not look at what passes, and knows of a server only that it accepts or refuses.
"""

import asyncio
from collections.abc import Sequence
from typing import Final, Self

from attrs import define, field

from deploy.dev.processes import free_port
from tests.support.served_connections import ServedConnections

READ_BYTES: Final = 64 * 1024


@define(eq=False)
class TcpBalancer:
    """Between clients and servers that listen on these ports."""

    server_ports: Sequence[int]
    port: int = field(factory=free_port, init=False)
    refused: int = field(default=0, init=False)  # connections that a server did not take
    _turn: int = field(default=0, init=False)
    _connections: ServedConnections = field(factory=ServedConnections, init=False)
    _server: asyncio.Server = field(init=False)

    async def __aenter__(self) -> Self:
        """Listen."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        return self

    async def __aexit__(self, *error: object) -> None:
        """Take no more connections, and end those that are open."""
        self._server.close()
        await self._connections.end()

    def _accept(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        self._connections.begin(self._relay(reader, client), client.transport.abort)

    async def _relay(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        try:
            if (taken := await self._next_server()) is None:
                return
            answers, server = taken
            try:
                async with asyncio.TaskGroup() as both:
                    both.create_task(_pass_on(reader, server))
                    both.create_task(_pass_on(answers, client))
            finally:
                server.transport.abort()
        except* OSError:
            pass  # one side broke; the other is told by the end of its connection

    async def _next_server(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        self._turn += 1
        first = self._turn % len(self.server_ports)  # others take their turns meanwhile
        for port in [*self.server_ports[first:], *self.server_ports[:first]]:
            try:
                return await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                self.refused += 1
        return None


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while piece := await reader.read(READ_BYTES):
        writer.write(piece)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()
