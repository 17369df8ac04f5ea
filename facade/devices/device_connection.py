"""One device's connection: aiohttp's HTTP/1.1 protocol, with the facade's own rules around it.

- A handshake that `tls` does not accept is cut before its first request is read.
- The device is identified once. Every request of the connection is that device's.
- If its certificate expires or is revoked, it is cut at once, even in the middle of an answer.
- Nothing of a malformed request reaches the log or the answer. aiohttp's own 400 does both:
  `Authorization : Bearer X` leaked a whole token (docs/decisions/devices.md).
- Once the facade is told to stop, each answer is the last one of its connection.
- If headers do not come in time, or have no end, the connection is cut. Idle connections are
  closed, and old ones after an answer.
- A request that stands alone is shown to `AnswerAtOnce` first. What that answers is not parsed.
"""

import asyncio
import random
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final, cast

from aiohttp import web
from aiohttp.streams import EMPTY_PAYLOAD
from aiohttp.web_protocol import RequestHandler
from OpenSSL import SSL
from typing_extensions import override

from facade.answers.answer_headers import error_response, new_request_id
from facade.answers.distribution_errors import BAD_REQUEST, INTERNAL
from facade.devices.certificate_problem import CertificateProblem
from facade.devices.handshake_end import TOO_MANY, ending_of_problem
from facade.devices.known_devices import KnownDevices
from facade.devices.live_connections import LiveConnections
from facade.devices.presented_device import PresentedDevice
from facade.devices.pulls_under_way import DrainStage, PullsUnderWay
from facade.devices.tls import RefusedConnectionError
from facade.errors import FacadeError
from shared.pace import Pace
from shared.structured_log import get_logger

# From the handshake, or a later request's first byte, to complete headers; aiohttp has no limit.
REQUEST_HEADERS_SECONDS: Final = 15.0
AGE_JITTER: Final = 0.1  # of the age, so that a fleet that came at once does not leave at once
LOOK_AT_CLOCK_SECONDS: Final = 60.0  # timers run on another clock than certificates
MAX_LONE_HEAD_BYTES: Final = 2048  # containerd's for a manifest has some 700
# Of a head that is not complete: 64 fields of 8,190 bytes, the request line, and a long `Range`.
MAX_HEAD_BYTES: Final = 552 * 1024

_END_OF_HEAD: Final = b"\r\n\r\n"
_log = get_logger("facade.device_connection")


class PullAbortedError(FacadeError):
    """The connection was reset in the middle of an answer, so that it cannot look complete."""


def abort(transport: asyncio.Transport | None) -> None:
    """Reset the connection if there still is one, dropping what waits in its buffers."""
    if transport is not None:
        transport.abort()


class DeviceConnection(RequestHandler):
    """The protocol of one accepted connection."""

    __slots__ = (
        "_answer_at_once",
        "_clock_timer",
        "_ends_at",
        "_head_bytes",
        "_headers_timer",
        "_is_in_step",
        "_is_pulling",
        "_known_devices",
        "_live",
        "_pulls",
        "_whole_transport",
        "awaited_since",
        "counts_as",
        "device",
        "lone_head",
        "peer",
        "request_pace",
    )

    device: PresentedDevice
    awaited_since: float
    counts_as: str  # whose it is, among the pulls under way
    peer: str | None  # the device's network address; None: not connected yet
    request_pace: Pace | None  # that its device shares; None: not asked for yet, or no limit
    lone_head: bytes | None  # of the request in progress, if nothing came with it or since

    def __init__(
        self,
        server: web.Server,
        known_devices: KnownDevices,
        live: LiveConnections,
        pulls: PullsUnderWay,
        max_age_seconds: float,
        answer_at_once: "AnswerAtOnce",
        **settings: Any,
    ) -> None:
        """Take who devices are, and whom the connection is kept by."""
        super().__init__(server, **settings)
        self._answer_at_once = answer_at_once
        self._is_in_step = True  # all that came was lone heads: the parser stands between requests
        self.lone_head = None
        self._head_bytes = 0  # since the last complete head; of a body less is read unasked
        self._known_devices = known_devices
        self._live = live
        self._pulls = pulls
        self.counts_as, self._is_pulling, self.awaited_since = "", False, self._loop.time()
        self.request_pace, self.peer = None, None
        share = random.uniform(1 - AGE_JITTER, 1)  # noqa: S311 - no secret
        self._ends_at = self._loop.time() + share * max_age_seconds
        self._headers_timer: asyncio.TimerHandle | None = None
        self._clock_timer: asyncio.TimerHandle | None = None
        self._whole_transport: asyncio.Transport | None = None

    @property
    def is_aged(self) -> bool:
        """Whether it has been open for long enough."""
        return self._loop.time() >= self._ends_at

    @property
    def is_ending(self) -> bool:
        """Whether the next answer is the last one."""
        return self.is_aged or self._pulls.stage is not DrainStage.SERVING

    def certificate_problem(self) -> CertificateProblem | None:
        """Return why the device's certificate is not accepted now, or None."""
        return self._live.refusal(self.device)

    @property
    def is_too_late(self) -> bool:
        """Whether the facade begins nothing any more."""
        return self._pulls.stage is DrainStage.OVER

    @property
    def is_answering(self) -> bool:
        """Whether the answer to a pull is under way, or waits for the device to read it."""
        whole = self._whole_transport
        return self._is_pulling or (whole is not None and whole.get_write_buffer_size() > 0)

    def begin_pull(self) -> None:
        """Note that the answer to a pull is under way."""
        self._is_pulling = True

    def end_pull(self) -> None:
        """Note that it was given, if there was one."""
        if self._is_pulling:
            self._is_pulling, self.awaited_since = False, self._loop.time()

    def finish(self) -> None:
        """Close the connection once everything that was asked on it is answered."""
        if self._request_in_progress or self._messages:
            self.close()
        else:
            self.force_close()

    def cut(self) -> None:
        """Reset the connection, also one that is closing and has not delivered everything."""
        abort(self._whole_transport)

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Accept the finished handshake and identify the device.

        Raises `RefusedConnectionError`; the transport then cuts the connection.
        """
        self._whole_transport = cast(asyncio.Transport, transport)
        if address := transport.get_extra_info("peername"):
            self.peer = str(address[0])
        tls: SSL.Connection = transport.get_extra_info("tls")
        self.device = self._known_devices.identify(tls)
        # There may be new files, and OpenSSL does not look at an anchor's times.
        if (problem := self.certificate_problem()) is not None:
            raise RefusedConnectionError(ending_of_problem(problem))
        self._live.admissions.note(self.device)
        if not self._live.admit(self):
            raise RefusedConnectionError(TOO_MANY)
        self.counts_as = self.device.counts_as
        self._pulls.add(self)
        super().connection_made(transport)
        self._await_headers()
        self._look_at_clock()

    @override
    def connection_lost(self, exc: BaseException | None) -> None:
        """Forget the timers."""
        for timer in (self._headers_timer, self._clock_timer):
            if timer is not None:
                timer.cancel()
        self._live.release(self)
        self._pulls.remove(self)
        self._whole_transport = None
        super().connection_lost(exc)

    @override
    def data_received(self, data: bytes) -> None:
        """Answer at once, or parse. A request that has begun must have its whole head in time."""
        head = data if self._is_in_step and is_lone_head(data) else None
        awaited = head if self._awaits_request else None
        if awaited is not None and self._is_answered_at_once(awaited):
            return
        before = self._request_count
        super().data_received(data)
        received = self._request_count - before
        self._is_in_step = head is not None and received == 1 and not self._rest_of_request_comes()
        self.lone_head = awaited if self._is_in_step else None
        if received:
            self._have_headers()
            self._head_bytes = 0
            return
        if self._headers_timer is None:
            self._await_headers()
        self._head_bytes += len(data)
        if self._head_bytes > MAX_HEAD_BYTES and self._cut("a head without an end"):
            _log.info("a head without an end", device=self.device.id, peer=self.peer)

    @property
    def _awaits_request(self) -> bool:
        """Whether every request that came is answered."""
        if self._close or self._force_close:
            return False
        if self._waiter is None:  # aiohttp handles a request, or was not given any yet
            return self._request_count == 0
        return not self._waiter.done()

    def _rest_of_request_comes(self) -> bool:
        """Tell whether the newest request has a body, or asks for another protocol."""
        return self._upgraded or self._messages[-1][1] is not EMPTY_PAYLOAD

    def _is_answered_at_once(self, head: bytes) -> bool:
        """Answer a request, if that takes no waiting: neither for the answer nor for the device."""
        transport = self.transport
        if transport is None or transport.is_closing() or transport.get_write_buffer_size():
            return False
        answer = self._answer_at_once(self, head) if not self.is_ending else None
        if answer is None:
            return False
        self._have_headers()
        self.awaited_since = self._loop.time()
        # As aiohttp does after each answer. Its timer looks at this when it fires.
        self._next_keepalive_close_time = self.awaited_since + self._keepalive_timeout
        transport.write(answer)
        return True

    async def shutdown(self, timeout: float | None = 15.0) -> None:  # noqa: ASYNC109 - aiohttp's
        """Let the running answer finish within the seconds, then reset the connection.

        aiohttp would close it instead, which delivers what waits and looks like a complete answer;
        before that it would wait for as long again.
        """
        if timeout is None:
            await super().shutdown(None)
            return
        cut = self._loop.call_later(timeout, abort, self.transport)
        try:
            await super().shutdown(timeout)
        finally:
            cut.cancel()

    def _await_headers(self) -> None:
        self._headers_timer = self._loop.call_later(REQUEST_HEADERS_SECONDS, self._too_late)

    def _have_headers(self) -> None:
        if self._headers_timer is not None:
            self._headers_timer.cancel()
            self._headers_timer = None

    def _too_late(self) -> None:
        if self._request_in_progress or self._messages:
            self._await_headers()  # pipelined behind what is being answered
            return
        if self._cut("no request in time"):
            _log.info("no request in time", device=self.device.id, peer=self.peer)

    def _cut(self, why: str) -> bool:
        """Cut a connection that does not get to its next request; tell whether to log it."""
        abort(self.transport)
        return self._live.may_tell(self.device, why)

    def _look_at_clock(self) -> None:
        """Cut the connection if the certificate has expired; close it if it is old and idle."""
        left = (self.device.not_after - datetime.now(UTC)).total_seconds()
        if left <= 0:
            reason = "the certificate has expired"
            _log.info("connection cut", device=self.device.id, peer=self.peer, reason=reason)
            self.cut()
            return
        if self.is_aged:
            if not (self._request_in_progress or self._messages):
                self.force_close()
                return
        else:
            left = min(left, self._ends_at - self._loop.time())
        delay = min(left, LOOK_AT_CLOCK_SECONDS)
        self._clock_timer = self._loop.call_later(delay, self._look_at_clock)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - the parser's message may quote the request
    ) -> web.StreamResponse:
        """Answer a request that the parser refuses or the handler failed at, without quoting it."""
        if isinstance(exc, PullAbortedError) or request.writer.output_size > 0:
            abort(self.transport)
            raise ConnectionError("the answer was aborted")
        answer = BAD_REQUEST if status == BAD_REQUEST.status else INTERNAL
        if answer is INTERNAL:
            _log.error("request failed", device=self.device.id, exc_info=exc)
        elif self._live.may_tell(self.device, "malformed request"):
            reason = type(exc).__name__
            _log.info("malformed request", device=self.device.id, peer=self.peer, reason=reason)
        return error_response(answer, new_request_id())


# Given the bytes of a request's whole head, it returns the whole answer, or None if it has none.
AnswerAtOnce = Callable[[DeviceConnection, bytes], bytes | None]


def is_lone_head(data: bytes) -> bool:
    """Tell whether the bytes are one head, and nothing after it."""
    end = len(data) - len(_END_OF_HEAD)
    return len(data) <= MAX_LONE_HEAD_BYTES and data.find(_END_OF_HEAD) == end >= 0
