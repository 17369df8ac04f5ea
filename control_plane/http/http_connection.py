"""One connection: aiohttp's HTTP/1.1, which says what it waits for, and refuses without quoting."""

import asyncio
from http import HTTPStatus
from typing import Any, cast
from uuid import uuid4

from aiohttp import web
from typing_extensions import override

from control_plane.http.open_connections import OpenConnection, OpenConnections
from control_plane.http.problems import INTERNAL, HttpProblem
from control_plane.operators.stranger_lines import StrangerLines
from shared.structured_log import get_logger

_log = get_logger("control_plane.http_connection")


class HttpConnection(web.RequestHandler):
    """aiohttp's handler, except that it says what it waits for, and quotes nothing that it refuses.

    If the parser refuses a header, the original logs it with its value and echoes it in the answer:
    a mistyped `Authorization : Bearer ...` would be in the log.
    """

    __slots__ = ("_all", "_lines", "_own")

    def __init__(
        self,
        manager: web.Server,
        own: OpenConnection,
        every: OpenConnections,
        lines: StrangerLines,
        **settings: Any,
    ) -> None:
        """Hold its place among all, and what decides whether a refusal has a line in the log."""
        super().__init__(manager, **settings)
        self._own, self._all, self._lines = own, every, lines

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, after the handshake."""
        made = cast(asyncio.Transport, transport)
        self._own.begin(made, self._is_answering, self._loop.time(), self._is_awaiting_body)
        super().connection_made(transport)

    @override
    def connection_lost(self, exc: BaseException | None) -> None:
        """Give the place free."""
        self._all.release(self._own)
        self._own.end()
        super().connection_lost(exc)

    @override
    def data_received(self, data: bytes) -> None:
        """Parse; a head that has begun has to be complete in time."""
        before = self._request_count
        super().data_received(data)
        if self._request_count > before:
            self._own.head_awaited_since = None
        elif self._own.head_awaited_since is None and not self._is_answering():
            self._own.head_awaited_since = self._loop.time()

    def note_operator(self) -> None:
        """Note that an operator was let in, so that the connection gives way to no stranger."""
        self._own.is_operators = True

    async def pause(self, seconds: float) -> None:
        """Return after the seconds, or once the connection has ended; until then it gives way."""
        await self._own.pause(seconds)

    def _is_answering(self) -> bool:
        return bool(self._request_in_progress or self._messages)

    def _is_awaiting_body(self) -> bool:
        return self._current_request is not None and not self._current_request.content.is_eof()

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
            problem = HttpProblem(
                HTTPStatus(status), "this is not an HTTP request that we can read"
            )
        response = problem.response(request_id)
        response.headers["X-Request-Id"] = request_id
        response.headers["Server"] = "control-plane"
        response.force_close()
        return response
