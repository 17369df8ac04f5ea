"""The way of one request for referrers, in the order of this file.

Who may pull a manifest may ask what refers to it, if its connection's document says that devices
may. Everything else is decided as for a pull: who asks, the pace, the slots, the gate, what it may
cost. No digest proves such a list, so the answer has none, and nobody may keep it.
"""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Final, cast

from aiohttp import web
from attrs import frozen

from facade.answers import distribution_errors as errors
from facade.answers.answer_headers import list_headers
from facade.answers.distribution_errors import PullRefusedError
from facade.content.referrers import Referrers, ReferrersPage
from facade.content.referrers_index import index_of
from facade.content.source import PullInProgress
from facade.devices.device_connection import DeviceConnection
from facade.metrics.metrics import FacadeMetrics
from facade.metrics.pull_metrics import RefusedBy
from facade.pulls.gate import Gate
from facade.pulls.held_manifests import HeldManifests
from facade.pulls.pull_slots import PullSlots
from facade.pulls.relay import WRITE_BYTES, relay
from facade.pulls.request_log import RequestRecord
from facade.registries.connection_work import ConnectionWork
from facade.registries.payer import Payers
from facade.registries.spender import spending
from facade.registries.upstreams import Upstreams
from facade.values.device_identity import DeviceIdentity
from facade.values.piece import Piece
from facade.values.pull_path import Refusal
from facade.values.referrers_request import ReferrersRequest
from shared.approved_connection import ApprovedConnection
from shared.oci import OCI_INDEX, Digest, InvalidDigestError, Listing

FILTERED: Final = {"OCI-Filters-Applied": "artifactType"}


@frozen
class ReferrersAnswers:
    """Answers the requests of devices for what refers to a manifest."""

    _gate: Gate
    _upstreams: Upstreams
    _work: ConnectionWork
    _referrers: Referrers
    _payers: Payers
    _slots: PullSlots
    _held: HeldManifests
    _metrics: FacadeMetrics

    async def answer(
        self,
        request: web.BaseRequest,
        record: RequestRecord,
        asked: ReferrersRequest,
        device: DeviceIdentity,
    ) -> web.StreamResponse:
        """Return the answer; raise what a pull raises."""
        self._authorized(record, asked, device)  # a route that is not served takes no slot
        after = _after(asked)
        async with self._slots.slot(device.id):
            record.connection = connection = self._authorized(record, asked, device)
            cast(DeviceConnection, request.protocol).begin_pull()
            page = await self._page(record, asked, after, connection, device)
            found = page.of_types(asked.artifact_types)
            record.reason = page.words
            headers = list_headers(OCI_INDEX, record.request_id)
            if asked.artifact_types:
                headers |= FILTERED
            if page.following is not None:
                headers["Link"] = f'<{asked.next_target(page.following)}>; rel="next"'
            if page.is_in_doubt:
                headers["Warning"] = _warning(page.doubts)
            return await self._send(request, record, headers, index_of(found), device)

    def _authorized(
        self, record: RequestRecord, asked: ReferrersRequest, device: DeviceIdentity
    ) -> ApprovedConnection:
        """Return the connection of the manifest; where it lists nothing, there is no such route."""
        record.listing = Listing.REFERRERS
        connection = self._gate.authorize(asked.subject, device, datetime.now(UTC))
        if not connection.document.referrers:
            record.listing = None
            raise PullRefusedError(errors.UNSUPPORTED_ROUTE, Refusal.ROUTE.value, RefusedBy.REQUEST)
        return connection

    async def _page(
        self,
        record: RequestRecord,
        asked: ReferrersRequest,
        after: Digest | None,
        connection: ApprovedConnection,
        device: DeviceIdentity,
    ) -> ReferrersPage:
        payer = self._payers.payer(device.id, connection.access_key)
        pull = PullInProgress(asked.subject, connection, self._upstreams, payer)
        try:
            with self._work.running(connection), spending(payer):
                return await self._referrers.page(pull, after)
        finally:
            record.source = pull.origin.source

    async def _send(
        self,
        request: web.BaseRequest,
        record: RequestRecord,
        headers: dict[str, str],
        content: bytes,
        device: DeviceIdentity,
    ) -> web.StreamResponse:
        def count(given: int) -> None:
            record.body_bytes += given
            self._metrics.pulls.sent(Listing.REFERRERS, given)

        if request.method == "HEAD" or len(content) <= WRITE_BYTES:
            count(len(content) if request.method == "GET" else 0)
            return web.Response(headers=headers, body=content)
        response = web.StreamResponse(headers=headers)
        response.content_length = len(content)
        with self._held.hold(device.id, len(content)):  # a device that does not read it is cut
            await relay(request, response, _one_piece(content), on_given=count)
        return response


def _after(asked: ReferrersRequest) -> Digest | None:
    try:
        return asked.after()
    except InvalidDigestError:
        raise PullRefusedError(errors.DIGEST_INVALID, "last", RefusedBy.REQUEST) from None


def _warning(doubts: int) -> str:
    """Return what people are told by their clients (OCI distribution 1.1, "Warnings")."""
    return f'299 - "not proven, and so not listed: {doubts} of the registry\'s list"'


async def _one_piece(content: bytes) -> AsyncIterator[Piece]:
    yield content
