"""The HTTP server around the application: TLS, parser errors that leak nothing, graceful stop."""

import asyncio
import signal
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any, Final
from uuid import uuid4

from aiohttp import web
from attrs import define, field

from control_plane.problems import INTERNAL, Problem
from control_plane.stranger_lines import StrangerLines
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

    __slots__ = ("_lines",)

    def __init__(self, manager: web.Server, lines: StrangerLines, **settings: Any) -> None:
        """Take whom to ask whether a refusal has a line in the log."""
        super().__init__(manager, **settings)
        self._lines = lines

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002  # quotes the request
    ) -> web.StreamResponse:
        """Return a problem that quotes nothing."""
        request_id = uuid4().hex
        if self._lines.may_tell(request.remote):
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


@define(eq=False)
class Listener:
    """The listening socket, and who answers on it: over TLS, or not where `tls` is none."""

    _answering: Callable[[], QuietRequestHandler]
    _socket: socket.socket
    _server: asyncio.Server | None = field(default=None, init=False)

    async def listen(self, tls: ssl.SSLContext | None) -> None:
        """Show this certificate in every handshake that begins from now on.

        What is open goes on. Callers that wait in the kernel's queue are nobody's yet: no
        connection is lost from one server to the next.
        """
        server = await asyncio.get_running_loop().create_server(
            self._answering,
            sock=self._socket.dup(),
            ssl=tls,
            backlog=BACKLOG,
            ssl_handshake_timeout=HANDSHAKE_SECONDS if tls else None,
        )
        self.close()
        self._server = server

    def close(self) -> None:
        """Take no more connections."""
        if self._server is not None:
            self._server.close()


@asynccontextmanager
async def serving(
    app: web.Application,
    address: ListenAddress,
    tls: ssl.SSLContext | None,
    lines: StrangerLines,
    *,
    drain_seconds: float,
) -> AsyncIterator[Listener]:
    """Serve within the block; after it, let running requests end for at most `drain_seconds`.

    Raises `OSError` where the address cannot be had.
    """
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=drain_seconds)
    await runner.setup()
    manager = runner.server
    if manager is None:
        raise AssertionError("setup makes the server")
    loop = asyncio.get_running_loop()

    def answering() -> QuietRequestHandler:
        return QuietRequestHandler(
            manager,
            lines,
            loop=loop,
            access_log=None,  # documented: it turns the log off
            keepalive_timeout=KEEPALIVE_SECONDS,
        )

    try:
        family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
        with socket.create_server(address, family=family, backlog=BACKLOG) as listening:
            listener = Listener(answering, listening)
            await listener.listen(tls)
            try:
                yield listener
            finally:
                listener.close()
    finally:
        await runner.cleanup()


async def wait_for_stop() -> str:
    """Return the name of the signal that asks this process to stop."""
    loop = asyncio.get_running_loop()
    received: asyncio.Queue[signal.Signals] = asyncio.Queue()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, received.put_nowait, number)
    return (await received.get()).name


def reload_signal() -> asyncio.Event:
    """Return what SIGHUP sets from now on; it ends no process then."""
    event = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, event.set)
    return event
