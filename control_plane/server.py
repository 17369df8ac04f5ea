"""The HTTP server around the application: TLS, parser errors that leak nothing, graceful stop."""

import asyncio
import signal
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Final
from uuid import uuid4

from aiohttp import web

from control_plane.problems import INTERNAL, Problem
from shared.setting_types import ListenAddress
from shared.structured_log import get_logger

KEEPALIVE_SECONDS: Final = 75.0
HANDSHAKE_SECONDS: Final = 20.0
BACKLOG: Final = 128

_log = get_logger(__name__)


class QuietRequestHandler(web.RequestHandler):
    """aiohttp's handler, but for its answer to what its parser refuses.

    The original logs the offending header with its value and echoes it in the answer: a
    mistyped `Authorization : Bearer ...` would be in the log.
    """

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002  # quotes the request
    ) -> web.StreamResponse:
        """Return a problem that quotes nothing."""
        request_id = uuid4().hex
        _log.info(
            "request refused by the parser",
            request_id=request_id,
            status=status,
            error=type(exc).__name__,
        )
        if request.writer.output_size > 0:
            raise ConnectionError("a part of another answer was sent already")
        problem = INTERNAL
        if status < HTTPStatus.INTERNAL_SERVER_ERROR:
            problem = Problem(HTTPStatus(status), "this is not an HTTP request that we can read")
        response = problem.response(request_id)
        response.headers["X-Request-Id"] = request_id
        response.headers["Server"] = "control-plane"
        response.force_close()
        return response


@asynccontextmanager
async def serving(
    app: web.Application,
    listen: ListenAddress,
    tls: ssl.SSLContext | None,
    *,
    drain_seconds: float,
) -> AsyncIterator[None]:
    """Serve within the block; after it, let running requests end for at most `drain_seconds`."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=drain_seconds)
    await runner.setup()
    manager = runner.server
    if manager is None:
        raise AssertionError("setup makes the server")
    loop = asyncio.get_running_loop()
    try:
        server = await loop.create_server(
            lambda: QuietRequestHandler(
                manager,
                loop=loop,
                access_log=None,  # type: ignore[arg-type]  # documented: it turns the log off
                keepalive_timeout=KEEPALIVE_SECONDS,
            ),
            listen.host,
            listen.port,
            ssl=tls,
            backlog=BACKLOG,
            ssl_handshake_timeout=HANDSHAKE_SECONDS if tls else None,
        )
        try:
            yield
        finally:
            server.close()
    finally:
        await runner.cleanup()


async def wait_for_stop() -> str:
    """Return the name of the signal that asks this process to stop."""
    loop = asyncio.get_running_loop()
    received: asyncio.Queue[signal.Signals] = asyncio.Queue()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, received.put_nowait, number)
    return (await received.get()).name


def server_tls(certificate: str, key: str) -> ssl.SSLContext:
    """Return the context of a server's certificate; raise `OSError` where they do not fit."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, key)
    return context
