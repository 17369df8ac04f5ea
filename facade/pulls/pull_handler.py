"""The way of one pull, from the raw request to the last byte; reads down the page."""

import time
from asyncio import CancelledError
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from functools import lru_cache
from http import HTTPStatus
from typing import Final, cast

import attrs
from aiohttp import HttpVersion10, HttpVersion11, web
from attrs import define, field

from facade.content.arrival import ArrivalEndedError
from facade.content.held_back import WrongBytesError
from facade.content.source import Asked, Content, Piece
from facade.devices.device_connection import (
    SERVER_NAME,
    DeviceConnection,
    PullAbortedError,
    error_response,
    new_request_id,
)
from facade.devices.device_identity import DeviceIdentity
from facade.metrics import Metrics
from facade.pulls import distribution_errors as errors
from facade.pulls.access import Denied, authorize_pull
from facade.pulls.byte_range import ByteRange, Span, UnsatisfiableRangeError
from facade.pulls.device_allowance import TooCostlyError
from facade.pulls.distribution_errors import PullRefusedError
from facade.pulls.payer import Payer, Payers
from facade.pulls.pull_path import ApiVersionCheck, Pull, Refusal, parse_request
from facade.pulls.pull_turns import PullTurns, TooManyPullsError
from facade.pulls.relay import WRITE_BYTES, relay
from facade.pulls.upstream_answers import answer_to, why_not_asked
from facade.registries.upstreams import ConnectionRevokedError, Upstreams
from facade.statements.snapshot import Snapshot
from shared.approved_connection import ApprovedConnection
from shared.oci import OCTET_STREAM, Kind
from shared.sealed_secret import SealedSecretError
from shared.structured_log import get_logger
from shared.upstream.errors import UpstreamError
from shared.upstream.hosts import upstream_repository

# A digest's bytes never change; `private`, for who may read them is decided anew each time.
CACHE_CONTROL: Final = "private, max-age=31536000, immutable"
API_VERSION_HEADERS: Final = {"Docker-Distribution-API-Version": "registry/2.0"}
# A fleet asks the same again and again; of at most 4 KiB of target each, and a pull of 1 KiB.
REMEMBERED_REQUESTS: Final = 1024
HTTP_VERSIONS: Final = (HttpVersion10, HttpVersion11)  # the parser lets 0.9 and 2.0 pass too

_REFUSALS: Final = {
    Refusal.METHOD: errors.UNSUPPORTED_METHOD,
    Refusal.ROUTE: errors.UNSUPPORTED_ROUTE,
    Refusal.NAME: errors.NAME_INVALID,
    Refusal.DIGEST: errors.DIGEST_INVALID,
    Refusal.TAG: errors.TAG_NOT_SERVED,
}
_log = get_logger("facade.pull")


@define(eq=False)
class Exchange:
    """One request and what is known of it so far: what the log line at its end says."""

    request: web.BaseRequest
    request_id: str = field(factory=new_request_id)
    started: float = field(factory=time.perf_counter)
    device: DeviceIdentity | None = None
    pull: Pull | None = None
    connection: ApprovedConnection | None = None
    reason: str = ""
    body_bytes: int = 0

    def count(self, given: int) -> None:
        """Count bytes that were given to be sent."""
        self.body_bytes += given


@define(eq=False)
class PullHandler:
    """Answers every request of every device."""

    _snapshot: Snapshot
    _upstreams: Upstreams
    _content: Content
    _payers: Payers
    _turns: PullTurns
    _metrics: Metrics
    _staleness: Callable[[], str | None]  # why the snapshot may not be stood on, if so

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request; whatever it is, one line in the log tells of it."""
        exchange = Exchange(request)
        status: int | None = None  # no whole answer
        try:
            response = await self._answer(exchange)
            status = response.status
        except PullRefusedError as refused:
            exchange.reason = refused.reason
            response = error_response(refused.answer, exchange.request_id)
            status = response.status
        except PullAbortedError as aborted:
            exchange.reason = str(aborted)
            raise
        except (ConnectionError, CancelledError):
            exchange.reason = "the device left, or its connection was cut"
            raise
        except Exception:
            status = int(errors.INTERNAL.status)
            raise
        finally:
            self._tell(exchange, status)
        return response

    async def _answer(self, exchange: Exchange) -> web.StreamResponse:
        request = exchange.request
        exchange.device = self._identify_device(request)
        if request.version not in HTTP_VERSIONS:
            raise PullRefusedError(errors.HTTP_VERSION, "neither HTTP/1.1 nor HTTP/1.0")
        asked = _asked(request.method, request.raw_path)
        if isinstance(asked, Refusal):
            raise PullRefusedError(_REFUSALS[asked], asked.value)
        if isinstance(asked, ApiVersionCheck):
            return _api_version(exchange.request_id)
        exchange.pull = asked
        try:
            async with self._turns.turn(exchange.device.id):
                return await self._pull(exchange, asked, exchange.device)
        except TooManyPullsError as error:
            raise PullRefusedError(errors.TOO_MANY_PULLS, str(error)) from None

    async def _pull(
        self, exchange: Exchange, pull: Pull, device: DeviceIdentity
    ) -> web.StreamResponse:
        exchange.connection = connection = self._authorize(pull, device)
        payer = self._payers.payer(device.id)
        try:
            return await self._serve(exchange, pull, connection, payer)
        except (UpstreamError, WrongBytesError, SealedSecretError, TooCostlyError) as failure:
            if reason := why_not_asked(failure):
                self._metrics.not_asked.labels(reason).inc()
            raise PullRefusedError(answer_to(failure, pull.kind), str(failure)) from failure
        except ArrivalEndedError as ended:
            raise PullRefusedError(answer_to(ended.__cause__, pull.kind), str(ended)) from ended
        except ConnectionRevokedError:
            reason = "the connection was revoked meanwhile"
            if exchange.request.writer.output_size:
                raise PullAbortedError(reason) from None
            raise PullRefusedError(errors.NAME_UNKNOWN, reason) from None

    def _identify_device(self, request: web.BaseRequest) -> DeviceIdentity:
        connection = cast(DeviceConnection, request.protocol)
        presented = connection.device
        device = presented.identity
        if device is None:
            raise PullRefusedError(errors.DEVICE_DENIED, presented.problem)
        if (problem := connection.certificate_problem()) is not None:
            raise PullRefusedError(errors.DEVICE_DENIED, problem)
        if self._snapshot.is_revoked(device, presented.issuer):
            raise PullRefusedError(errors.DEVICE_REVOKED, "the device is revoked")
        return device

    def _authorize(self, pull: Pull, device: DeviceIdentity) -> ApprovedConnection:
        if stale := self._staleness():
            answer = errors.unavailable("the facade does not know what is approved")
            raise PullRefusedError(answer, stale)
        candidates = self._snapshot.connections_covering(pull.host, pull.repository)
        decision = authorize_pull(pull, device, candidates, datetime.now(UTC))
        if isinstance(decision, Denied):
            raise PullRefusedError(errors.NAME_UNKNOWN, decision.reason)
        return decision.connection

    async def _serve(
        self, exchange: Exchange, pull: Pull, connection: ApprovedConnection, payer: Payer
    ) -> web.StreamResponse:
        request = exchange.request
        async with self._upstreams.lease(connection) as upstream:
            asked = Asked(pull, connection, upstream, payer)
            if _matches(request.headers.get("If-None-Match"), pull):
                await self._content.require_right(asked)
                return _response(exchange, pull, HTTPStatus.NOT_MODIFIED)
            if pull.kind is Kind.MANIFEST:
                return await self._send_manifest(exchange, asked)
            if request.method == "HEAD":
                length = await self._content.blob_length(asked)
                response = _response(exchange, pull, HTTPStatus.OK, OCTET_STREAM)
                response.headers["Content-Length"] = str(length)
                return response
            return await self._send_blob(exchange, asked)

    async def _send_manifest(self, exchange: Exchange, asked: Asked) -> web.StreamResponse:
        manifest = await self._content.manifest(asked)
        content, headers = manifest.content, _headers(exchange, asked.pull, manifest.media_type)
        if exchange.request.method == "GET":
            exchange.body_bytes = len(content)
            if len(content) > WRITE_BYTES:  # a device that does not read it is to be cut
                response = web.StreamResponse(headers=headers)
                response.content_length = len(content)
                await relay(exchange.request, response, _one_piece(content))
                return response
        return web.Response(headers=headers, body=content)

    async def _send_blob(self, exchange: Exchange, asked: Asked) -> web.StreamResponse:
        request, pull = exchange.request, asked.pull
        if request.version < HttpVersion11:
            raise PullRefusedError(errors.HTTP_VERSION, "a blob over HTTP/1.0")
        async with self._content.blob(asked) as blob:
            span = Span.whole(blob.length)
            response = web.StreamResponse(headers=_headers(exchange, pull, OCTET_STREAM))
            response.headers["Accept-Ranges"] = "bytes"
            if byte_range := _asked_range(request, pull):
                span = _span(byte_range, blob.length)
                response.set_status(HTTPStatus.PARTIAL_CONTENT)
                response.headers["Content-Range"] = span.content_range
            response.content_length = span.count
            part = await blob.part(span)
            if not part.is_verified:
                _mark_unverified(response)
                exchange.reason = "a far range of a cold blob, relayed unverified"
                self._metrics.unverified_ranges.inc()
            await relay(request, response, part.pieces, on_given=exchange.count)
        return response

    def _tell(self, exchange: Exchange, status: int | None) -> None:
        request, pull = exchange.request, exchange.pull
        seconds = time.perf_counter() - exchange.started
        self._metrics.answered(status, pull.kind if pull else None, seconds)
        _log.info(
            "answered",
            request_id=exchange.request_id,
            device=exchange.device.id if exchange.device else None,
            host=str(pull.host) if pull else None,
            repository=str(pull.repository) if pull else None,
            kind=pull.kind.value if pull else None,
            digest=str(pull.digest) if pull else None,
            connection=str(exchange.connection.id) if exchange.connection else None,
            method=request.method,
            status=status,
            outcome="answered" if status else "aborted",
            bytes=exchange.body_bytes,
            duration_ms=round(seconds * 1000, 3),
            reason=exchange.reason,
        )


async def _one_piece(content: bytes) -> AsyncIterator[Piece]:
    yield content


@lru_cache(REMEMBERED_REQUESTS)
def _asked(method: str, raw_target: str) -> ApiVersionCheck | Pull | Refusal:
    """Return what is asked, a repository by its full upstream name (`library/` on Docker Hub)."""
    asked = parse_request(method, raw_target)
    if not isinstance(asked, Pull):
        return asked
    return attrs.evolve(asked, repository=upstream_repository(asked.host, asked.repository))


def _matches(if_none_match: str | None, pull: Pull) -> bool:
    """Tell whether the device has these bytes already (RFC 9110 section 13.1.2)."""
    if if_none_match is None:
        return False
    wanted = {f'"{pull.digest}"', f'W/"{pull.digest}"'}
    return any(tag.strip() in wanted for tag in if_none_match.split(","))


def _asked_range(request: web.BaseRequest, pull: Pull) -> ByteRange | None:
    """Return the one range that is asked for, if the condition on it holds (RFC 9110 13.1.5)."""
    if request.headers.get("If-Range", f'"{pull.digest}"') != f'"{pull.digest}"':
        return None
    header = request.headers.get("Range")
    return ByteRange.parse(header) if header is not None else None


def _span(byte_range: ByteRange, length: int) -> Span:
    try:
        return byte_range.span(length)
    except UnsatisfiableRangeError:
        raise PullRefusedError(
            errors.range_not_satisfiable(length), "range behind the end"
        ) from None


def _mark_unverified(response: web.StreamResponse) -> None:
    """Do not claim that the bytes are the digest's, and let nobody keep them."""
    response.headers["Cache-Control"] = "no-store"
    del response.headers["Docker-Content-Digest"]


def _api_version(request_id: str) -> web.Response:
    headers = {"X-Request-Id": request_id, "Server": SERVER_NAME, **API_VERSION_HEADERS}
    return web.Response(body=b"{}", content_type=errors.JSON_MEDIA_TYPE, headers=headers)


def _response(
    exchange: Exchange,
    pull: Pull,
    status: HTTPStatus,
    media_type: str | None = None,
) -> web.Response:
    return web.Response(status=status, headers=_headers(exchange, pull, media_type))


def _headers(exchange: Exchange, pull: Pull, media_type: str | None) -> dict[str, str]:
    headers = {
        "Docker-Content-Digest": str(pull.digest),
        "ETag": f'"{pull.digest}"',
        "Cache-Control": CACHE_CONTROL,
        "X-Request-Id": exchange.request_id,
        "Server": SERVER_NAME,
    }
    if media_type is not None:
        headers["Content-Type"] = media_type
    return headers
