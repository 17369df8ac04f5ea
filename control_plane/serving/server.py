"""The HTTP server around the application, and what ends the process."""

import asyncio
import signal
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web

from control_plane.http.http_connection import HttpConnection
from control_plane.http.listener import BACKLOG, Listener
from control_plane.http.open_connections import OpenConnection, OpenConnections
from control_plane.operators.stranger_lines import StrangerLines
from shared.setting_types import ListenAddress
from shared.stopping import take_stop_signals

KEEPALIVE_SECONDS: Final = 75.0


@asynccontextmanager
async def serving(
    app: web.Application,
    address: ListenAddress,
    tls: ssl.SSLContext | None,
    connections: OpenConnections,
    lines: StrangerLines,
    *,
    drain_seconds: float,
) -> AsyncIterator[Listener]:
    """Serve within the block; after it, give running requests at most `drain_seconds` to end.

    Raises `OSError` if it cannot listen on the address.
    """
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=drain_seconds)
    await runner.setup()
    manager = runner.server
    if manager is None:
        raise AssertionError("setup makes the server")
    loop = asyncio.get_running_loop()

    def answering(own: OpenConnection) -> HttpConnection:
        return HttpConnection(
            manager,
            own,
            connections,
            lines,
            loop=loop,
            access_log=None,  # documented: it turns the log off
            keepalive_timeout=KEEPALIVE_SECONDS,
        )

    try:
        family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
        with socket.create_server(address, family=family, backlog=BACKLOG) as listening:
            listener = Listener(answering, listening, connections, tls)
            listener.start()
            try:
                yield listener
            finally:
                listener.stop()
    finally:
        await runner.cleanup()


async def wait_for_stop() -> str:
    """Return the name of the signal that asks this process to stop; a second one ends it."""
    received: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    take_stop_signals(received.set_result)
    return await received


def reload_signal() -> asyncio.Event:
    """Return what SIGHUP sets from now on; it ends no process then."""
    event = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, event.set)
    return event
