"""The operations address, from its opening to its end. `health` says what it answers."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web

from facade.errors import StartError
from shared.listen_failure import why_not_listening
from shared.setting_types import ListenAddress

SHUTDOWN_SECONDS: Final = 1.0  # for an answer that is being sent; the next scrape finds nobody


@asynccontextmanager
async def serve_operations(app: web.Application, listen: ListenAddress) -> AsyncIterator[None]:
    """Answer while the block runs; raise `StartError` if the address cannot be listened on."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_SECONDS)
    await runner.setup()
    try:
        await web.TCPSite(runner, listen.host, listen.port).start()
    except OSError as error:
        await runner.cleanup()
        raise StartError(
            f"FACADE_OPERATIONS_LISTEN cannot be listened on: {why_not_listening(error)}"
        ) from error
    try:
        yield
    finally:
        await runner.cleanup()
