"""Makes the connection of every device, and ends them all.

It notes which connections are busy with a request, for those that give way to new ones.
"""

import asyncio
from collections.abc import Iterable
from typing import Final, cast

from aiohttp import web
from aiohttp.http_exceptions import LineTooLong

from facade.devices.connection_deadlines import KEEP_ALIVE_SECONDS
from facade.devices.connection_limits import MAX_AGE_SECONDS
from facade.devices.device_connection import AnswerAtOnce, DeviceConnection, ServingRules
from facade.devices.incoming_requests import MAX_HEADER_FIELD_BYTES
from facade.devices.known_devices import KnownDevices
from facade.devices.live_connections import LiveConnections
from facade.devices.parsed_answer import DeviceHandler
from facade.devices.pulls_under_way import PullsUnderWay
from facade.values.device_identity import Identification

_RANGE: Final = b"range"


class DeviceServer:
    """Makes a `DeviceConnection` for every accepted socket. For one event loop."""

    def __init__(
        self,
        handler: DeviceHandler,
        identity_rule: Identification,
        live: LiveConnections,
        *,
        answer_at_once: AnswerAtOnce = lambda _connection, _head: None,
        max_age_seconds: float = MAX_AGE_SECONDS,
        keep_alive_seconds: float = KEEP_ALIVE_SECONDS,
    ) -> None:
        """Serve requests with this handler, except those that can be answered at once."""
        self._handler = handler
        self.identity_rule = identity_rule
        self.live = live
        self.pulls = PullsUnderWay()
        self.connections: set[DeviceConnection] = set()
        self._rules = ServingRules(
            handler=self._handle,
            answer_at_once=answer_at_once,
            known_devices=KnownDevices(identity_rule),
            live=live,
            pulls=self.pulls,
            max_age_seconds=max_age_seconds,
            keep_alive_seconds=keep_alive_seconds,
            connections=self.connections,
        )

    def __call__(self) -> DeviceConnection:
        """Return the protocol of a new connection."""
        return DeviceConnection(self._rules)

    async def shut_down(self, seconds: float) -> None:
        """Let running answers finish within the seconds, each as the last one; end all others."""
        for connection in [*self.connections]:
            connection.finish()
        await asyncio.gather(*(each.shut_down(seconds) for each in self.connections))

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        connection = cast(DeviceConnection, request.protocol)
        self.live.begin_request(connection)
        try:
            if has_too_long_field(request.raw_headers):
                return connection.malformed(LineTooLong(b"", MAX_HEADER_FIELD_BYTES))
            return await self._handler(request)
        finally:
            connection.end_pull()
            connection.forget_head()
            self.live.end_request(connection)


def has_too_long_field(raw_headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Tell whether a field is longer than the parser would let it be, if it were not for ranges."""
    return any(
        len(name) + len(value) > MAX_HEADER_FIELD_BYTES and name.lower() != _RANGE
        for name, value in raw_headers
    )
