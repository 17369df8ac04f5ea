"""The way of one pull, from the raw request to the last byte, in the order of this file."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from functools import lru_cache
from http import HTTPStatus
from typing import Final, cast

import attrs
from aiohttp import HttpVersion10, HttpVersion11, web
from attrs import define, field

from facade.answers import distribution_errors as errors
from facade.answers.answer_headers import SERVER_NAME, answer_headers, error_response
from facade.answers.distribution_errors import DeviceRefusedError, PullRefusedError
from facade.content.source import Content, PullInProgress
from facade.devices.aborted_pull import PullAbortedError
from facade.devices.device_connection import DeviceConnection
from facade.loop.loop_turns import LoopTurns
from facade.metrics.metrics import FacadeMetrics
from facade.metrics.pull_metrics import RefusedBy
from facade.pulls.blob_body import STEPS_A_TURN, blob_body
from facade.pulls.device_requests import DeviceRequests
from facade.pulls.failure_answers import PULL_FAILURES, answer_to, refused_by, why_not_asked
from facade.pulls.gate import Gate
from facade.pulls.held_manifests import HeldManifests
from facade.pulls.known_pull import KnownPull
from facade.pulls.named import read_names
from facade.pulls.pull_slots import PullSlots
from facade.pulls.referrers_answers import ReferrersAnswers
from facade.pulls.relay import WRITE_BYTES, relay
from facade.pulls.remembered_requests import RememberedRequests
from facade.pulls.request_log import RefusedDevice, RequestLog, RequestRecord
from facade.registries.connection_work import ConnectionWork
from facade.registries.payer import Payers
from facade.registries.spender import spending
from facade.registries.upstreams import Upstreams
from facade.values.byte_range import ByteRanges
from facade.values.device_identity import DeviceIdentity
from facade.values.piece import Piece
from facade.values.pull_path import ApiVersionCheck, Pull, Refusal, parse_request
from facade.values.referrers_request import ReferrersRequest, parse_referrers
from shared.oci import OCTET_STREAM, Kind
from shared.upstream.hosts import upstream_repository

API_VERSION_HEADERS: Final = {"Docker-Distribution-API-Version": "registry/2.0"}
# A fleet asks for the same again and again. Each takes up to 4 KiB for its target, 1 KiB for its
# pull.
REMEMBERED_REQUESTS: Final = 1024
# For a longer one it makes no difference how it is asked for.
REMEMBERED_BLOB_BYTES: Final = 16 * 1024 * 1024
HTTP_VERSIONS: Final = (HttpVersion10, HttpVersion11)  # the parser accepts 0.9 and 2.0, too

_REFUSALS: Final = {
    Refusal.METHOD: errors.UNSUPPORTED_METHOD,
    Refusal.ROUTE: errors.UNSUPPORTED_ROUTE,
    Refusal.NAME: errors.NAME_INVALID,
    Refusal.PORT: errors.PORT_INVALID,
    Refusal.DIGEST: errors.DIGEST_INVALID,
    Refusal.TAG: errors.TAG_NOT_SERVED,
}


@define(eq=False)
class PullHandler:
    """Answers every request of every device."""

    _gate: Gate
    _upstreams: Upstreams
    _work: ConnectionWork
    _content: Content
    _payers: Payers
    _slots: PullSlots
    _metrics: FacadeMetrics
    _request_log: RequestLog
    _remembered: RememberedRequests  # for `AnswersAtOnce`
    _device_requests: DeviceRequests
    _held: HeldManifests
    _referrers: ReferrersAnswers
    _turns: LoopTurns = field(factory=lambda: LoopTurns(STEPS_A_TURN), init=False)

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request. One log line tells of it, whatever becomes of it."""
        record = RequestRecord(request.method)
        status: int | None = None  # no whole answer
        try:
            response = await self._answer_or_refusal(request, record)
            status = response.status
        except BaseException as failure:
            status = record.note_failure(failure)
            raise
        finally:
            self._request_log.tell(record, status)
        return response

    async def _answer_or_refusal(
        self, request: web.BaseRequest, record: RequestRecord
    ) -> web.StreamResponse:
        """Answer; if the pull ends with an error, tell the device, or abort what has begun."""
        try:
            return await self._answer(request, record)
        except PULL_FAILURES as failure:
            if reason := why_not_asked(failure):
                self._metrics.not_asked.labels(reason).inc()
            if request.writer.output_size:
                raise PullAbortedError(str(failure)) from failure
            record.reason, record.refused_by = str(failure), refused_by(failure)
            answer = answer_to(failure, record.route)
            return error_response(answer, record.request_id)

    async def _answer(self, request: web.BaseRequest, record: RequestRecord) -> web.StreamResponse:
        connection = _connection_of(request)
        record.peer = connection.peer
        record.device = connection.device.identity  # for the log, also if it is refused
        asked = asked_for(request.method, request.raw_path)
        if isinstance(asked, KnownPull):
            record.known = asked
        elif isinstance(asked, Refusal | ReferrersRequest):
            record.named = read_names(request.raw_path)
        device = self._identify(connection, record)
        await self._device_requests.require_pace(connection, device.id)
        if request.version not in HTTP_VERSIONS:
            raise PullRefusedError(
                errors.HTTP_VERSION, "neither HTTP/1.1 nor HTTP/1.0", RefusedBy.REQUEST
            )
        if isinstance(asked, Refusal):
            raise PullRefusedError(_REFUSALS[asked], asked.value, RefusedBy.REQUEST)
        if isinstance(asked, ApiVersionCheck):
            return _api_version(record.request_id)
        if isinstance(asked, ReferrersRequest):
            return await self._referrers.answer(request, record, asked, device)
        async with self._slots.slot(device.id):
            return await self._pull(request, record, asked.pull, device)

    def _identify(self, connection: DeviceConnection, record: RequestRecord) -> DeviceIdentity:
        """Return who asks. A device that is refused is noted for the log and the metrics."""
        try:
            return self._gate.identify_device(connection, datetime.now(UTC))
        except DeviceRefusedError as refused:
            record.refused = RefusedDevice(connection.device, refused.code)
            raise

    async def _pull(
        self, request: web.BaseRequest, record: RequestRecord, pull: Pull, device: DeviceIdentity
    ) -> web.StreamResponse:
        connection = self._gate.authorize(pull, device, datetime.now(UTC))
        record.connection = connection
        device_connection = _connection_of(request)
        device_connection.begin_pull()
        payer = self._payers.payer(device.id, connection.access_key)
        asked = PullInProgress(
            pull,
            connection,
            self._upstreams,
            payer,
            room_now=device_connection.room_now,
        )
        try:
            with self._work.running(connection), spending(payer):
                return await self._serve(request, record, asked)
        finally:
            record.source = asked.origin.source

    async def _serve(
        self, request: web.BaseRequest, record: RequestRecord, asked: PullInProgress
    ) -> web.StreamResponse:
        pull = asked.pull
        if _matches(request.headers.get("If-None-Match"), pull):
            await self._content.require_right(asked)
            return _response(record, pull, HTTPStatus.NOT_MODIFIED)
        if pull.kind is Kind.MANIFEST:
            return await self._send_manifest(request, record, asked)
        if request.method == "HEAD":
            length = await self._content.blob_length(asked)
            response = _response(record, pull, HTTPStatus.OK, OCTET_STREAM)
            response.headers["Content-Length"] = str(length)
            return response
        return await self._send_blob(request, record, asked)

    async def _send_manifest(
        self, request: web.BaseRequest, record: RequestRecord, asked: PullInProgress
    ) -> web.StreamResponse:
        pull, manifest = asked.pull, await self._content.manifest(asked)
        content = manifest.content
        headers = answer_headers(pull.digest, manifest.media_type, record.request_id)
        if request.method == "GET":
            if len(content) > WRITE_BYTES:  # a device that does not read it is to be cut
                response = web.StreamResponse(headers=headers)
                response.content_length = len(content)
                async with self._content.stored_manifest(asked) as pieces:
                    if pieces is None:
                        return await self._send_from_memory(
                            request, response, record, asked, content
                        )
                    del manifest, content  # the device may take its time
                    counted = self._request_log.counting(record, pull.kind)
                    await relay(request, response, pieces, on_given=counted)
                return response
            self._request_log.counting(record, pull.kind)(len(content))
        self._remember(request, record)
        return web.Response(headers=headers, body=content)

    def _remember(self, request: web.BaseRequest, record: RequestRecord) -> None:
        """Have a request that stands alone answered at once from now on, where that can be."""
        connection = _connection_of(request)
        if connection.lone_head is not None and record.known is not None:
            self._remembered.remember(
                connection.lone_head, request, record.known, connection.device.counts_as
            )

    async def _send_from_memory(
        self,
        request: web.BaseRequest,
        response: web.StreamResponse,
        record: RequestRecord,
        asked: PullInProgress,
        content: bytes,
    ) -> web.StreamResponse:
        counted = self._request_log.counting(record, asked.pull.kind)
        with self._held.hold(asked.payer.device, len(content)):
            await relay(request, response, _one_piece(content), on_given=counted)
        return response

    async def _send_blob(
        self, request: web.BaseRequest, record: RequestRecord, asked: PullInProgress
    ) -> web.StreamResponse:
        pull = asked.pull
        if request.version < HttpVersion11:
            raise PullRefusedError(errors.HTTP_VERSION, "a blob over HTTP/1.0", RefusedBy.REQUEST)
        ranges = _asked_ranges(request, pull)
        if ranges is not None:
            await self._device_requests.require_pace_of_ranges(
                _connection_of(request), asked.payer.device, len(ranges.asked)
            )
            asked = attrs.evolve(asked, first=ranges.beginning)
        async with self._content.blob(asked) as blob:
            response = web.StreamResponse(
                headers=answer_headers(pull.digest, OCTET_STREAM, record.request_id)
            )
            body = await blob_body(response, ranges, blob, self._turns)
            if ranges is None and (blob.length or 0) <= REMEMBERED_BLOB_BYTES:
                self._remember(request, record)
            del ranges  # the device may take its time
            if body.several is not None:
                self._metrics.pulls.answered_ranges(body.several)
            if not body.is_verified:
                _mark_unverified(response)
                record.reason = "ranges of a blob that is not proven yet"
                self._metrics.unverified_ranges.inc()
            counted = self._request_log.counting(record, pull.kind, body.content_in)
            await relay(request, response, body.pieces, on_given=counted)
        return response


def _connection_of(request: web.BaseRequest) -> DeviceConnection:
    return cast(DeviceConnection, request.protocol)


async def _one_piece(content: bytes) -> AsyncIterator[Piece]:
    yield content


@lru_cache(REMEMBERED_REQUESTS)
def asked_for(
    method: str, raw_target: str
) -> ApiVersionCheck | KnownPull | ReferrersRequest | Refusal:
    """Return what is asked, a repository by its full upstream name (`library/` on Docker Hub)."""
    if (listed := parse_referrers(method, raw_target)) is not None:
        return attrs.evolve(listed, subject=_upstream_pull(listed.subject))
    asked = parse_request(method, raw_target)
    return KnownPull(method, _upstream_pull(asked)) if isinstance(asked, Pull) else asked


def _upstream_pull(pull: Pull) -> Pull:
    return attrs.evolve(pull, repository=upstream_repository(pull.host, pull.repository))


def _matches(if_none_match: str | None, pull: Pull) -> bool:
    """Tell whether the device has these bytes already (RFC 9110 section 13.1.2)."""
    if if_none_match is None:
        return False
    wanted = {f'"{pull.digest}"', f'W/"{pull.digest}"'}
    return any(tag.strip() in wanted for tag in if_none_match.split(","))


def _asked_ranges(request: web.BaseRequest, pull: Pull) -> ByteRanges | None:
    """Return what ranges are asked for, unless their condition fails (RFC 9110 section 13.1.5).

    Raises `TooManyRangesError`.
    """
    if request.headers.get("If-Range", f'"{pull.digest}"') != f'"{pull.digest}"':
        return None
    header = request.headers.get("Range")
    return ByteRanges.parse(header) if header is not None else None


def _mark_unverified(response: web.StreamResponse) -> None:
    """Do not claim that the bytes are the digest's, and let nobody keep them."""
    response.headers["Cache-Control"] = "no-store"
    del response.headers["Docker-Content-Digest"]


def _api_version(request_id: str) -> web.Response:
    headers = {"X-Request-Id": request_id, "Server": SERVER_NAME, **API_VERSION_HEADERS}
    return web.Response(body=b"{}", content_type=errors.JSON_MEDIA_TYPE, headers=headers)


def _response(
    record: RequestRecord,
    pull: Pull,
    status: HTTPStatus,
    media_type: str | None = None,
) -> web.Response:
    headers = answer_headers(pull.digest, media_type, record.request_id)
    return web.Response(status=status, headers=headers)
