"""One device's connection: HTTP/1.1 in order, with the facade's own rules around it.

- A handshake that `tls` does not accept is cut before its first request is read.
- The device is identified once. Every request of the connection is that device's.
- If its certificate expires or is revoked, it is cut at once, even in the middle of an answer.
- Nothing of a malformed request reaches the log or the answer. aiohttp's own 400 does both:
  `Authorization : Bearer X` leaked a whole token (docs/decisions/devices.md).
- Once the facade is told to stop, each answer is the last one of its connection.
- If headers do not come in time, or have no end, the connection is cut. Idle connections are
  closed, and old ones after an answer.
- A request that stands alone is shown to `AnswerAtOnce` first. What that answers is not parsed.

`connection_stage` draws how far a connection comes, `connection_clock` tells when its time is over,
`parsed_answer` gives what aiohttp answers.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from typing import Final, Protocol, cast

from aiohttp import web
from aiohttp.base_protocol import BaseProtocol
from attrs import frozen
from OpenSSL import SSL
from typing_extensions import override

from facade.answers.answer_headers import error_response, new_request_id
from facade.answers.distribution_errors import BAD_REQUEST
from facade.devices.aborted_pull import PullAbortedError, abort
from facade.devices.certificate_problem import CertificateProblem
from facade.devices.connection_clock import ConnectionClock
from facade.devices.connection_deadlines import ConnectionDeadlines, Due
from facade.devices.connection_stage import Stage
from facade.devices.device_transport import DeviceTransport
from facade.devices.handshake_end import TOO_MANY, ending_of_problem
from facade.devices.incoming_requests import IncomingRequest, IncomingRequests
from facade.devices.known_devices import KnownDevices
from facade.devices.live_connections import LiveConnections
from facade.devices.lone_head import is_lone_head
from facade.devices.parsed_answer import DeviceHandler, is_given, response_or_500
from facade.devices.presented_device import PresentedDevice
from facade.devices.pulls_under_way import DrainStage, PullsUnderWay
from facade.devices.tls import RefusedConnectionError
from shared.failures import forget_frames
from shared.pace import Pace
from shared.structured_log import get_logger
from shared.supervised import report

# Of a head that is not complete: 64 fields of 8,190 bytes, the request line, and a long `Range`.
MAX_HEAD_BYTES: Final = 552 * 1024

_log = get_logger("facade.device_connection")


@frozen
class ServingRules:
    """What all connections of a server have in common."""

    # May raise `PullAbortedError` once it has reset the connection.
    handler: DeviceHandler
    answer_at_once: "AnswerAtOnce"
    known_devices: KnownDevices
    live: LiveConnections
    pulls: PullsUnderWay
    max_age_seconds: float
    keep_alive_seconds: float
    connections: "set[DeviceConnection]"  # that are open, and lost ones that still answer


class DeviceConnection(BaseProtocol):
    """The protocol of one accepted connection."""

    __slots__ = (
        "_clock",
        "_deadlines",
        "_event_loop",
        "_head_bytes",
        "_incoming",
        "_is_in_step",
        "_is_pulling",
        "_is_reading",
        "_rules",
        "_stage",
        "_task",
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

    # What `web.BaseRequest` asks for, and nobody it: our handlers ask the connection.
    ssl_context = peername = sockname = None

    def __init__(self, rules: ServingRules) -> None:
        """Begin with nothing that came."""
        loop = self._event_loop = asyncio.get_running_loop()
        super().__init__(loop)
        self._rules = rules
        self._stage = Stage.AWAITING
        self._incoming = IncomingRequests.of(self, loop)
        self._task: asyncio.Task[None] | None = None  # of the newest answer
        self._is_reading = True
        self._is_in_step = True  # all that came was lone heads: the parser stands between requests
        self.lone_head = None
        self._head_bytes = 0  # since the last complete head; of a body less is read unasked
        now = loop.time()
        self.counts_as, self._is_pulling, self.awaited_since = "", False, now
        self.request_pace, self.peer = None, None
        self._deadlines = ConnectionDeadlines.begin(
            now, rules.max_age_seconds, rules.keep_alive_seconds
        )
        self._clock: ConnectionClock | None = None  # from the handshake on
        self._whole_transport: DeviceTransport | None = None

    @property
    def is_aged(self) -> bool:
        """Whether it has been open for long enough."""
        return self._deadlines.is_aged(self._event_loop.time())

    def certificate_problem(self, now: datetime) -> CertificateProblem | None:
        """Return why the device's certificate is not accepted now, or None."""
        return self._rules.live.trust.refusal(self.device, now)

    @property
    def is_too_late(self) -> bool:
        """Whether the facade begins nothing any more."""
        return self._rules.pulls.stage is DrainStage.OVER

    @property
    def is_answering(self) -> bool:
        """Whether the answer to a pull is under way, or waits for the device to read it."""
        return self._is_pulling or self.has_unsent

    @property
    def has_unsent(self) -> bool:
        """Whether something was written that the kernel has not taken yet."""
        whole = self._whole_transport
        return whole is not None and whole.get_write_buffer_size() > 0

    def room_now(self) -> int:
        """Return how many bytes the kernel takes now, so that none of them waits here."""
        whole = self._whole_transport
        return 0 if whole is None else whole.room_now()

    async def drain(self) -> None:
        """Wait until more may be written; raise `ConnectionError` if the device has gone."""
        await self._drain_helper()

    def begin_pull(self) -> None:
        """Note that the answer to a pull is under way."""
        self._is_pulling = True

    def end_pull(self) -> None:
        """Note that it was given, if there was one."""
        if self._is_pulling:
            self._is_pulling, self.awaited_since = False, self._event_loop.time()

    def forget_head(self) -> None:
        """Let go of what was asked: it may hold a secret, for as long as a device is idle."""
        self.lone_head = None

    def finish(self) -> None:
        """Close the connection once what is being answered on it is answered."""
        if self._stage is Stage.AWAITING:
            self._close()
        elif self._stage is Stage.ANSWERING:
            self._advance(Stage.LAST)

    async def shut_down(self, seconds: float) -> None:
        """Let the running answer finish within the seconds, then reset the connection.

        To close it would deliver what waits, and look like a complete answer. An answer that was
        cancelled so has as long again to end.
        """
        self.finish()
        if self._task is None or self._task.done():
            return
        cut = self._event_loop.call_later(seconds, self.cut)
        try:
            await asyncio.wait({self._task}, timeout=2 * seconds)
        finally:
            cut.cancel()

    def cut(self) -> None:
        """Reset the connection, also one that is closing and has not delivered everything."""
        abort(self._whole_transport)

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Accept the finished handshake and identify the device.

        Raises `RefusedConnectionError`; the transport then cuts the connection.
        """
        rules, whole = self._rules, cast(DeviceTransport, transport)
        self._whole_transport = whole
        if address := whole.get_extra_info("peername"):
            self.peer = str(address[0])
        tls: SSL.Connection = whole.get_extra_info("tls")
        self.device = rules.known_devices.identify(tls)
        # There may be new files, and OpenSSL does not look at an anchor's times.
        if (problem := self.certificate_problem(datetime.now(UTC))) is not None:
            raise RefusedConnectionError(ending_of_problem(problem))
        rules.live.admissions.note(self.device)
        if not rules.live.admit(self):
            raise RefusedConnectionError(TOO_MANY)
        self.counts_as = self.device.counts_as
        rules.pulls.add(self)
        rules.connections.add(self)
        self.transport = whole
        self._clock = ConnectionClock(
            self._deadlines, self.device.not_after, self._awaits, self._on_due
        )
        self._clock.look()

    @override
    def connection_lost(self, exc: BaseException | None) -> None:
        """End what is answered, and forget the rest."""
        if self._clock is not None:
            self._clock.stop()
            self._clock = None  # the two would hold each other
        self._rules.live.release(self)
        self._rules.pulls.remove(self)
        self._advance(Stage.ENDED)
        self._whole_transport = None
        super().connection_lost(exc)
        self._incoming.end()
        if self._task is None or self._task.done():
            self._rules.connections.discard(self)
        else:
            self._task.add_done_callback(lambda _: self._rules.connections.discard(self))
            self._task.cancel()

    @override
    def data_received(self, data: bytes) -> None:
        """Answer at once, or parse. A request that has begun must have its whole head in time."""
        if self._stage >= Stage.LAST:
            return
        head = data if self._is_in_step and is_lone_head(data) else None
        awaited = head if self._stage is Stage.AWAITING else None
        if awaited is not None and self._is_answered_at_once(awaited):
            return
        incoming = self._incoming
        received = incoming.feed(data)
        self._is_in_step = head is not None and received == 1 and incoming.is_newest_whole
        self.lone_head = awaited if self._is_in_step else None
        if received:
            self._deadlines.note_head()
            self._head_bytes = 0
            if self._stage is Stage.AWAITING:
                self._answer_next()
        elif incoming.wants_more:
            self._await_rest_of_head(len(data))
        if incoming.wants_more is not self._is_reading:
            self._read_as_wanted()

    @override
    def pause_reading(self) -> None:
        """Read no more of a body that is too long: its stream asks for that."""
        self._incoming.leave_body()
        self._read_as_wanted()

    def _advance(self, stage: Stage) -> None:
        """Go on to another stage; raise `RuntimeError` if it does not follow."""
        self._stage.require_next(stage)
        self._stage = stage

    def _answer_next(self) -> None:
        """Begin to answer what waits longest; if nothing does, await."""
        incoming = self._incoming.take()
        if incoming is None:
            if self._stage is not Stage.AWAITING:
                self._advance(Stage.AWAITING)
                if self._whole_transport is not None:
                    self._whole_transport.end_answer()
            return
        if self._stage is not Stage.ANSWERING:
            self._advance(Stage.ANSWERING)
        self._answer_by(partial(self._is_answered, incoming))

    def _answer_by(self, is_answered: Callable[[], Awaitable[bool]]) -> None:
        """Begin to answer in a task; `is_answered` tells whether the connection may go on."""
        self._task = self._event_loop.create_task(self._answer(is_answered))

    async def _answer(self, is_answered: Callable[[], Awaitable[bool]]) -> None:
        """Answer a request, and go on to the next one, or close the connection."""
        goes_on = False
        try:
            goes_on = await is_answered()
        except (ConnectionError, PullAbortedError):
            pass  # the device has left, or the answer was aborted: it is closed
        except Exception as error:  # noqa: BLE001 - a mistake of ours: the loop's owner tells of it
            report(error, self._event_loop)
        except asyncio.CancelledError as cancelled:
            forget_frames(cancelled)  # the request holds the task, which keeps this
            raise
        finally:
            if goes_on and self._stage is Stage.ANSWERING:
                self._deadlines.note_answer(self._event_loop.time())
                self._answer_next()
                if self._incoming.wants_more is not self._is_reading:
                    self._read_as_wanted()
            else:
                self._task = None  # if it was cancelled, it keeps this frame
                self._close()

    async def _is_answered(self, incoming: IncomingRequest) -> bool:
        """Give the answer; tell whether the connection may go on. Raises `ConnectionError`."""
        refused, rules = incoming.refused, self._rules

        async def answer(request: web.BaseRequest) -> web.StreamResponse:
            if refused is not None:
                return self.malformed(refused)
            return await response_or_500(request, rules.handler, self.device.id)

        is_last = self.is_aged or rules.pulls.stage is not DrainStage.SERVING
        return await is_given(self, incoming, answer, is_last=is_last)

    def malformed(self, error: Exception) -> web.Response:
        """Return the answer to a request that breaks HTTP's rules, or ours; nothing is quoted."""
        if self._rules.live.may_tell(self.device, "malformed request"):
            reason = type(error).__name__
            _log.info("malformed request", device=self.device.id, peer=self.peer, reason=reason)
        return error_response(BAD_REQUEST, new_request_id())

    def _close(self) -> None:
        """End in order: what was written is still delivered."""
        self._advance(Stage.ENDED)
        if self.transport is not None:
            self.transport.close()
            self.transport = None

    def _read_as_wanted(self) -> None:
        """Leave what the device sends in the kernel while enough of it waits here."""
        self._is_reading = self._incoming.wants_more
        if self.transport is None:
            return
        if self._is_reading:
            self.transport.resume_reading()
        else:
            self.transport.pause_reading()

    def _is_answered_at_once(self, head: bytes) -> bool:
        """Answer a request, if that takes no waiting: neither for the answer nor for the device."""
        transport, rules = self._whole_transport, self._rules
        if transport is None or not transport.sends_at_once:
            return False
        now = self._event_loop.time()
        if self._deadlines.is_aged(now) or rules.pulls.stage is not DrainStage.SERVING:
            return False  # its answer says that it is the last one
        answer = rules.answer_at_once(self, head)
        if answer is None:
            return False
        self._deadlines.note_exchange(now)
        if not isinstance(answer, bytes):
            self._go_on_with(answer)
            return True
        rules.live.note_answer(self)
        self.awaited_since = now
        transport.write(answer)
        transport.end_answer()
        return True

    def _go_on_with(self, answer: "BegunAnswer") -> None:
        """Give the rest of an answer in a task."""
        self._rules.live.begin_request(self)
        self.begin_pull()
        self._advance(Stage.ANSWERING)

        async def rest_is_given() -> bool:
            try:
                await answer.give_rest()
            finally:
                self.end_pull()
                self._rules.live.end_request(self)
            return True

        self._answer_by(rest_is_given)
        # One that was cancelled before it began would leave it open.
        cast("asyncio.Task[None]", self._task).add_done_callback(lambda _: answer.close())

    def _await_rest_of_head(self, more: int) -> None:
        is_first = self._deadlines.note_beginning(self._event_loop.time())
        if is_first and self._clock is not None:
            self._clock.look()  # it has to be whole earlier than something was due
        self._head_bytes += more
        if self._head_bytes > MAX_HEAD_BYTES and self._cut("a head without an end"):
            _log.info("a head without an end", device=self.device.id, peer=self.peer)

    def _cut(self, why: str) -> bool:
        """Cut a connection that does not get to its next request; tell whether to log it."""
        abort(self.transport)
        return self._rules.live.may_tell(self.device, why)

    def _awaits(self) -> bool:
        return self._stage is Stage.AWAITING

    def _on_due(self, due: Due) -> None:
        match due:
            case Due.EXPIRED:
                reason = "the certificate has expired"
                _log.info("connection cut", device=self.device.id, peer=self.peer, reason=reason)
                self.cut()
            case Due.CUT:
                if self._cut("no request in time"):
                    _log.info("no request in time", device=self.device.id, peer=self.peer)
            case Due.CLOSE:
                self._close()


class BegunAnswer(Protocol):
    """An answer whose beginning was given at once, and whose rest takes the device some time."""

    async def give_rest(self) -> None:
        """Give it. Raises `ConnectionError` and `PullAbortedError`, with the connection reset."""

    def close(self) -> None:
        """Let go of what it is read from. Safe to call twice."""


# Given the bytes of a request's whole head, it returns the bytes of the answer that it has not
# given yet, or an answer that it has begun to give, or None if it has none.
AnswerAtOnce = Callable[[DeviceConnection, bytes], bytes | BegunAnswer | None]
