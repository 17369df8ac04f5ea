"""Connections to the operations address: how many there may be, and which gives way.

It asks nobody who they are, and some networks let everybody reach it. So few are open at once.
Beyond them the oldest of the address that has most gives way. If it waits for its pace, it is
answered first: whoever opens many connections would else end each probe that waits.
"""

import asyncio
import socket
from typing import Any, Final, cast

from aiohttp import web
from attrs import define, field
from typing_extensions import override

from facade.devices.by_site import BySite
from shared.site import site_of
from shared.stopping import is_set_within

MOST_CONNECTIONS: Final = 64  # a probe, some scrapers, and people; 10 KiB each


@define(eq=False)
class OperationsConnections:
    """Those that are open, or about to be."""

    _manager: web.Server
    _open: BySite["OperationsConnection"] = field(factory=BySite, init=False)
    _beginning: set[asyncio.Task[None]] = field(factory=set, init=False)

    def take(self, accepted: socket.socket, peer: str) -> None:
        """Take one that was accepted. Another one may give way for it."""
        if self._open.count >= MOST_CONNECTIONS:
            self._open.oldest_of(self._open.site_with_most).give_way()
        loop = asyncio.get_running_loop()
        made = OperationsConnection(
            self._manager, self._open, site_of(peer), loop=loop, access_log=None
        )
        beginning = loop.create_task(_begin(made, accepted))
        self._beginning.add(beginning)
        beginning.add_done_callback(self._beginning.discard)


class OperationsConnection(web.RequestHandler):
    """aiohttp's handler of one connection, which has a place among all."""

    __slots__ = ("_gave_way", "_is_waiting", "_link", "_must_hurry", "_open", "_site")

    def __init__(
        self, manager: web.Server, those: BySite["OperationsConnection"], site: str, **settings: Any
    ) -> None:
        super().__init__(manager, **settings)
        self._open, self._site = those, site
        self._link: asyncio.Transport | None = None  # None: it is about to begin
        self._gave_way = self._is_waiting = False
        self._must_hurry = asyncio.Event()
        those.add(self, site)

    async def pause(self, seconds: float) -> None:
        """Wait before a short answer, but no longer than its place is free."""
        self._is_waiting = True
        try:
            await is_set_within(self._must_hurry, seconds)
        finally:
            self._is_waiting = False

    def give_way(self) -> None:
        """End for another one: now, or with the answer that it waits to give."""
        self._gave_way = True
        self._open.remove(self, self._site)
        if self._is_waiting:
            self._must_hurry.set()
            self.close()  # behind that answer
        elif self._link is not None:
            self._link.abort()

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._link = cast(asyncio.Transport, transport)
        super().connection_made(transport)
        if self._gave_way:
            self._link.abort()

    @override
    def connection_lost(self, exc: BaseException | None) -> None:
        self._open.remove(self, self._site)
        super().connection_lost(exc)


async def _begin(connection: OperationsConnection, accepted: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    try:
        await loop.connect_accepted_socket(lambda: connection, accepted)
    except OSError:  # it is gone already
        connection.give_way()
        accepted.close()
