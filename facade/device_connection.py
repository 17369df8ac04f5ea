"""One device's connection: aiohttp's HTTP/1.1 protocol, with the facade's own rules around it.

- A handshake that `tls` does not accept is cut before its first request is read.
- The device is identified once; every request of the connection is asked by that device.
- Nothing of a malformed request reaches the log or the answer. aiohttp's own 400 was seen to do
  both: `Authorization : Bearer X` leaked a whole token.
- Headers that do not come in time, and idle connections, are closed.
"""

import asyncio
import secrets
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from typing import Any, Final, cast

from aiohttp import web
from aiohttp.web_protocol import RequestHandler
from attrs import frozen
from cryptography import x509

from facade.device_identity import DeviceIdentity, IdentityRule, UnidentifiedDeviceError
from facade.distribution_errors import BAD_REQUEST, INTERNAL, JSON_MEDIA_TYPE, ErrorAnswer
from facade.tls import RefusedConnectionError, presented_certificate
from shared.structured_log import get_logger

FIRST_REQUEST_SECONDS: Final = 15.0  # from the handshake to complete headers; aiohttp has no limit
KEEP_ALIVE_SECONDS: Final = 75.0  # aiohttp's hour keeps a vanished device's memory; nginx's default
MAX_REQUEST_LINE_BYTES: Final = 4096  # a pull's path is at most 665 characters
MAX_HEADER_FIELD_BYTES: Final = 8190  # containerd sends every Accept in one field
MAX_HEADER_FIELDS: Final = 64
SERVER_NAME: Final = "registry-facade"  # no versions: nothing to look exploits up with

_ABORT_ON_CLOSE: Final = struct.pack("ii", 1, 0)  # SO_LINGER on, zero seconds
_log = get_logger("facade.device_connection")


@frozen
class PresentedDevice:
    """Who is at the other end, or why nobody is known."""

    identity: DeviceIdentity | None
    issuer: str  # RFC 4514
    problem: str = ""


class PullAbortedError(Exception):
    """The connection was reset in the middle of an answer, which therefore cannot look whole."""


def abort(transport: asyncio.Transport | None) -> None:
    """Reset the connection, dropping what waits in the send buffer.

    A plain abort was seen to deliver 6 MB more over 3.6 s.
    """
    if transport is None:
        return
    connection: socket.socket | None = transport.get_extra_info("socket")
    if connection is not None:
        try:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT_ON_CLOSE)
        except OSError as error:
            _log.debug("connection was gone before its reset", reason=type(error).__name__)
    transport.abort()


class DeviceConnection(RequestHandler):
    """The protocol of one accepted connection."""

    __slots__ = ("_first_request_timer", "_identity_rule", "device")

    device: PresentedDevice

    def __init__(
        self, server: "DeviceServer", identity_rule: IdentityRule, **settings: Any
    ) -> None:
        """Take the rule by which the certificate is read."""
        super().__init__(server, **settings)
        self._identity_rule = identity_rule
        self._first_request_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Accept the finished handshake and identify the device, or cut the connection."""
        connection = cast(asyncio.Transport, transport)
        tls: ssl.SSLObject = connection.get_extra_info("ssl_object")
        try:
            certificate = presented_certificate(tls)
        except RefusedConnectionError as error:
            _log.warning("handshake refused", reason=str(error))
            abort(connection)
            return
        self.device = _present(certificate, self._identity_rule)
        super().connection_made(transport)
        self._first_request_timer = self._loop.call_later(FIRST_REQUEST_SECONDS, self._too_late)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Forget the timer."""
        if self._first_request_timer is not None:
            self._first_request_timer.cancel()
        super().connection_lost(exc)

    async def shutdown(self, timeout: float | None = 15.0) -> None:  # noqa: ASYNC109 - aiohttp's
        """Let the running answer finish within the seconds, then reset the connection.

        aiohttp would close it, which delivers what waits and ends like a whole answer, and would
        wait for as long again before that.
        """
        if timeout is None:
            await super().shutdown(None)
            return
        cut = self._loop.call_later(timeout, abort, self.transport)
        try:
            await super().shutdown(timeout)
        finally:
            cut.cancel()

    def _too_late(self) -> None:
        if self._request_count == 0:
            _log.info("no request in time", device=_id(self.device))
            abort(self.transport)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - the parser's message may quote the request
    ) -> web.StreamResponse:
        """Answer what the parser refuses, or what the handler failed at, without quoting it."""
        if isinstance(exc, PullAbortedError) or request.writer.output_size > 0:
            abort(self.transport)
            text = "the answer was aborted"
            raise ConnectionError(text)
        answer = BAD_REQUEST if status == BAD_REQUEST.status else INTERNAL
        if answer is INTERNAL:
            _log.error("request failed", device=_id(self.device), exc_info=exc)
        else:
            _log.info("malformed request", device=_id(self.device), reason=type(exc).__name__)
        return error_response(answer, new_request_id())


class DeviceServer(web.Server):
    """Makes a `DeviceConnection` for every accepted socket."""

    def __init__(
        self,
        handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
        identity_rule: IdentityRule,
    ) -> None:
        """Serve requests with this handler."""
        super().__init__(handler, handler_cancellation=True)
        self._identity_rule = identity_rule

    def __call__(self) -> DeviceConnection:
        """Return the protocol of a new connection."""
        return DeviceConnection(
            self,
            self._identity_rule,
            loop=self._loop,
            keepalive_timeout=KEEP_ALIVE_SECONDS,
            access_log=None,
            max_line_size=MAX_REQUEST_LINE_BYTES,
            max_field_size=MAX_HEADER_FIELD_BYTES,
            max_headers=MAX_HEADER_FIELDS,
            auto_decompress=False,
            lingering_time=0,
        )


def new_request_id() -> str:
    """Return the id that an answer bears and the log names."""
    return secrets.token_hex(8)


def error_response(answer: ErrorAnswer, request_id: str) -> web.Response:
    """Return the answer as OCI JSON."""
    response = web.Response(
        status=answer.status,
        body=answer.body(request_id),
        headers={
            **answer.headers,
            "Content-Type": JSON_MEDIA_TYPE,
            "X-Request-Id": request_id,
            "Server": SERVER_NAME,
        },
    )
    if answer.closes:
        response.force_close()
    return response


def _present(certificate: x509.Certificate, rule: IdentityRule) -> PresentedDevice:
    issuer = certificate.issuer.rfc4514_string()
    try:
        return PresentedDevice(rule.identify(certificate), issuer)
    except UnidentifiedDeviceError as error:
        return PresentedDevice(None, issuer, str(error))


def _id(device: PresentedDevice) -> str | None:
    return device.identity.id if device.identity else None
