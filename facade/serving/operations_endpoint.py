"""The operations address, from its opening to its end. `health` says what it answers."""

import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web

from facade.errors import StartError
from facade.serving.operations_connections import OperationsConnections
from shared.accept_loop import AcceptLoop
from shared.listen_failure import why_not_listening
from shared.setting_types import ListenAddress

SHUTDOWN_SECONDS: Final = 1.0  # for an answer that is being sent; the next scrape finds nobody
BACKLOG: Final = 128


@asynccontextmanager
async def serve_operations(
    app: web.Application, listen: ListenAddress, clock: Callable[[], float] = time.monotonic
) -> AsyncIterator[None]:
    """Answer while the block runs; raise `StartError` if the address cannot be listened on."""
    with _listening(listen) as listening:
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_SECONDS)
        await runner.setup()
        if runner.server is None:
            raise AssertionError("setup makes the server")
        connections = OperationsConnections(runner.server, clock)
        accepting = AcceptLoop(listening, connections.take, connections.has_place)
        accepting.start()
        try:
            yield
        finally:
            accepting.stop()
            await runner.cleanup()


def _listening(listen: ListenAddress) -> socket.socket:
    family = socket.AF_INET6 if ":" in listen.host else socket.AF_INET
    try:
        made = socket.create_server(listen, family=family, backlog=BACKLOG)
    except OSError as error:
        raise StartError(
            f"FACADE_OPERATIONS_LISTEN cannot be listened on: {why_not_listening(error)}"
        ) from error
    made.setblocking(False)  # noqa: FBT003 - the standard library's own signature
    return made
