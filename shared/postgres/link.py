"""A connection of asyncpg whose link the kernel watches, as libpq's `keepalives` ask for it."""

import socket
from collections.abc import Iterator
from typing import Any

import asyncpg

from shared.postgres.bounded_answers import BoundedLoop
from shared.postgres.connection_parameters import Keepalive

_Option = tuple[int, int]  # level and name, as `setsockopt` has them


class Connection(asyncpg.Connection):
    """asyncpg's connection, which can be told how its link is watched."""

    __slots__ = ("_link",)

    def __init__(self, protocol: Any, transport: Any, loop: BoundedLoop, *others: Any) -> None:
        """Take what asyncpg makes a connection with; asyncio knows its tasks by the loop itself."""
        super().__init__(protocol, transport, loop.loop, *others)
        self._link: socket.socket | None = transport.get_extra_info("socket")

    def watch(self, keepalive: Keepalive) -> None:
        """Have the kernel notice a dead link; without effect on a socket of this machine."""
        link = self._link
        if link is None or link.family not in {socket.AF_INET, socket.AF_INET6}:
            return
        for option, value in socket_options(keepalive).items():
            link.setsockopt(*option, value)


def socket_options(keepalive: Keepalive) -> dict[_Option, int]:
    """Return the options to set; what is left to the system is not among them."""
    return dict(_options(keepalive))


def _options(keepalive: Keepalive) -> Iterator[tuple[_Option, int]]:
    yield (socket.SOL_SOCKET, socket.SO_KEEPALIVE), int(keepalive.is_on)
    values = {
        socket.TCP_KEEPIDLE: keepalive.idle_seconds,
        socket.TCP_KEEPINTVL: keepalive.interval_seconds,
        socket.TCP_KEEPCNT: keepalive.count,
    }
    for option, value in values.items():
        if keepalive.is_on and value:
            yield (socket.IPPROTO_TCP, option), value
    if keepalive.user_timeout_milliseconds:
        timeout = keepalive.user_timeout_milliseconds
        yield (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT), timeout
