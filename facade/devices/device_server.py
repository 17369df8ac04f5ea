"""Makes the connection of every device, with aiohttp's HTTP/1.1 server, bounded.

It notes which connections are busy, and ends old ones, and all at the end, with their next answer.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from http import HTTPStatus
from typing import Final, cast

from aiohttp import StreamReader, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import RawRequestMessage
from aiohttp.http_exceptions import LineTooLong
from aiohttp.web_protocol import RequestHandler
from typing_extensions import override

from facade.devices.answer_writer import AnswerWriter
from facade.devices.connection_limits import MAX_AGE_SECONDS
from facade.devices.device_connection import AnswerAtOnce, DeviceConnection
from facade.devices.known_devices import KnownDevices
from facade.devices.live_connections import LiveConnections
from facade.devices.pulls_under_way import PullsUnderWay
from facade.values.device_identity import Identification

KEEP_ALIVE_SECONDS: Final = 75.0  # aiohttp's hour keeps a vanished device's memory; nginx's default
MAX_REQUEST_LINE_BYTES: Final = 4096  # a pull's path is at most 665 characters
MAX_HEADER_FIELD_BYTES: Final = 8190  # containerd sends every Accept in one field
# `Range` alone: containers/image asks for 1,024 ranges in it, of up to 26 characters each in a blob
# of a TiB.
MAX_RANGE_FIELD_BYTES: Final = 32 * 1024
MAX_HEADER_FIELDS: Final = 64


class DeviceServer(web.Server):
    """Makes a `DeviceConnection` for every accepted socket."""

    def __init__(
        self,
        handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
        identity_rule: Identification,
        live: LiveConnections,
        *,
        answer_at_once: AnswerAtOnce = lambda _connection, _head: None,
        max_age_seconds: float = MAX_AGE_SECONDS,
        keep_alive_seconds: float = KEEP_ALIVE_SECONDS,
    ) -> None:
        """Serve requests with this handler, except those that can be answered at once."""
        super().__init__(self._handle, handler_cancellation=True)
        self._handler = handler
        self.identity_rule = identity_rule
        self._known_devices = KnownDevices(identity_rule)
        self.live = live
        self.pulls = PullsUnderWay()
        self._at_once = answer_at_once
        self._max_age_seconds = max_age_seconds
        self._keep_alive_seconds = keep_alive_seconds

    @override
    def __call__(self) -> DeviceConnection:
        """Return the protocol of a new connection."""
        return DeviceConnection(
            self,
            self._known_devices,
            self.live,
            self.pulls,
            self._max_age_seconds,
            self._answer_at_once,
            loop=self._loop,
            keepalive_timeout=self._keep_alive_seconds,
            access_log=None,
            max_line_size=MAX_REQUEST_LINE_BYTES,
            max_field_size=MAX_RANGE_FIELD_BYTES,
            max_headers=MAX_HEADER_FIELDS,
            auto_decompress=False,
            lingering_time=0,
        )

    def _answer_at_once(self, connection: DeviceConnection, head: bytes) -> bytes | None:
        answer = self._at_once(connection, head)
        if answer is not None:
            self.live.begin_request(connection)
            self.live.end_request(connection)
        return answer

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        connection = cast(DeviceConnection, request.protocol)
        self.live.begin_request(connection)
        try:
            if has_too_long_field(request.raw_headers):
                too_long = LineTooLong(b"", MAX_HEADER_FIELD_BYTES)
                return connection.handle_error(request, HTTPStatus.BAD_REQUEST, too_long)
            return await self._handler(request)
        finally:
            connection.end_pull()
            connection.lone_head = None  # it may hold a secret, for as long as a device is idle
            self.live.end_request(connection)

    @override
    def _make_request(
        self,
        message: RawRequestMessage,
        payload: StreamReader,
        protocol: RequestHandler,
        writer: AbstractStreamWriter,
        task: "asyncio.Task[None]",
    ) -> web.BaseRequest:
        """Make the last answer of a connection say that it is."""
        if cast(DeviceConnection, protocol).is_ending:
            message = message._replace(should_close=True)
        writer = AnswerWriter(protocol, self._loop)
        return super()._make_request(message, payload, protocol, writer, task)


def has_too_long_field(raw_headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Tell whether a field is longer than the parser would let it be, if it were not for ranges."""
    return any(
        len(name) + len(value) > MAX_HEADER_FIELD_BYTES and name.lower() != b"range"
        for name, value in raw_headers
    )
