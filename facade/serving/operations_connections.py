"""Connections to the operations address: how many there may be, and which gives way.

It asks nobody who they are, and some networks let everybody reach it. So few are open at once.
Beyond them one of the address that has most gives way. If one waits for its pace, it is that one,
and it is answered first: whoever opens many connections would else end each probe that waits. That
has a pace of its own, for which newcomers wait in the kernel's queue: whoever comes in many loops
would else hurry each answer.
"""

import asyncio
import socket
import time
from collections.abc import Callable
from typing import Any, Final, cast

from aiohttp import web
from attrs import define, field
from typing_extensions import override

from facade.devices.by_site import BySite
from shared.pace import Pace
from shared.site import site_of
from shared.stopping import is_set_within

MOST_CONNECTIONS: Final = 64  # a probe, some scrapers, and people; 10 KiB each
HURRIED_PER_SECOND: Final = 200.0  # answered early, because newcomers have no place; 0.4 ms each
HURRIED_AT_ONCE: Final = 16  # after a rest: most wait on, and nobody gives way who was just let in


@define(eq=False)
class OperationsConnections:
    """Those that are open, or about to be."""

    _manager: web.Server
    _clock: Callable[[], float] = time.monotonic
    _hurried: Pace = field(init=False)
    _open: BySite["OperationsConnection"] = field(factory=BySite, init=False)
    _beginning: set[asyncio.Task[None]] = field(factory=set, init=False)

    def __attrs_post_init__(self) -> None:
        """Begin rested."""
        self._hurried = Pace(HURRIED_PER_SECOND, HURRIED_AT_ONCE, self._clock)

    def has_place(self) -> bool:
        """Tell whether one more may come: there is a place, or somebody who may give way now."""
        if self._open.count < MOST_CONNECTIONS or not self._next_to_go().is_waiting:
            return True
        return self._hurried.wait_for(1) == 0

    def _next_to_go(self) -> "OperationsConnection":
        those = self._open.of_sites_with_most()
        return next((each for each in those if each.is_waiting), those[0])

    def take(self, accepted: socket.socket, peer: str) -> None:
        """Take one that was accepted. Another one may give way for it."""
        if self._open.count >= MOST_CONNECTIONS:
            going = self._next_to_go()
            if going.is_waiting:
                self._hurried.take(1)
            going.give_way()
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

    @property
    def is_waiting(self) -> bool:
        """Whether it waits to give a short answer, which may be given early."""
        return self._is_waiting

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
