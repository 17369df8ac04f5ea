"""One POST to a target: at addresses that the egress rule allows, with no redirect followed."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from enum import StrEnum
from http import HTTPStatus
from ipaddress import ip_address
from typing import Final, Self

import aiohttp
from attrs import frozen
from yarl import URL

from control_plane.webhooks.bounds import ATTEMPT_SECONDS
from control_plane.webhooks.event import WebhookEvent
from control_plane.webhooks.signature import signed_headers
from control_plane.webhooks.webhook_target import WebhookTarget, is_address
from shared.failures import forget_frames
from shared.upstream.aiohttp_errors import upstream_error
from shared.upstream.body_reading import leave
from shared.upstream.errors import (
    EgressRefusedError,
    ResolveError,
    TlsError,
    UpstreamError,
    UpstreamTimeoutError,
)
from shared.upstream.outbound_session import outbound_session
from shared.upstream.proxy import OutboundProxy
from shared.upstream.resolver import PinnedResolver
from shared.upstream.retry_after import retry_after_seconds
from shared.upstream.tls_contexts import Authorities
from shared.upstream.transport import TransportResources, judged_connector

USER_AGENT: Final = "registry-control-plane"
MAX_RETRY_AFTER_SECONDS: Final = 3600.0  # a target does not silence us for longer


class DeliveryOutcome(StrEnum):
    """How a try ended: the label of `control_plane_webhook_attempts_total`."""

    DELIVERED = "delivered"
    GONE = "gone"  # 410
    RATE_LIMITED = "rate_limited"  # 429
    REFUSED = "refused"  # any other 4xx
    SERVER_ERROR = "server_error"
    REDIRECT = "redirect"
    TIMEOUT = "timeout"
    NOT_RESOLVED = "not_resolved"
    NOT_ALLOWED = "not_allowed"  # by the egress rule
    TLS = "tls"
    CONNECT = "connect"


@frozen
class Delivered:
    """How one try ended."""

    outcome: DeliveryOutcome
    status: int | None = None
    retry_after: float | None = None  # seconds

    @property
    def is_success(self) -> bool:
        """Whether the target has the event."""
        return self.outcome is DeliveryOutcome.DELIVERED


@frozen(eq=False)
class Delivery:
    """Sends to one target."""

    _target: WebhookTarget
    _session: aiohttp.ClientSession
    _resources: TransportResources
    _authorities: Authorities

    @classmethod
    @asynccontextmanager
    async def open(
        cls, target: WebhookTarget, *, proxy: OutboundProxy | None, resources: TransportResources
    ) -> AsyncIterator[Self]:
        """Yield the way to a target; requests under way end with the block."""
        resolver = PinnedResolver(target.egress_rule, seconds=ATTEMPT_SECONDS)
        try:
            connector = judged_connector(resolver, proxy, resources)
            async with outbound_session(connector, user_agent=USER_AGENT) as session:
                yield cls(target, session, resources, Authorities.beside(target.ca_certificate))
        finally:
            await resolver.close()

    async def send(self, event: WebhookEvent, at: datetime) -> Delivered:
        """Send an event once; tell how that ended, whatever happened."""
        body = event.body
        headers = signed_headers(self._target.secrets, event.id, body, at)
        try:
            async with asyncio.timeout(ATTEMPT_SECONDS):
                return await self._post(body, headers)
        except UpstreamError as error:
            return Delivered(_outcome_of(error))
        except (aiohttp.ClientError, TimeoutError, OSError, RuntimeError) as error:
            # RuntimeError is aiohttp's for a closed session. The cause may quote the URL and our
            # headers: it ends here.
            forget_frames(error)
            return Delivered(_outcome_of(upstream_error(error)))

    async def _post(self, body: bytes, headers: Mapping[str, str]) -> Delivered:
        url = URL(self._target.url, encoded=True)
        if is_address(host := url.raw_host or ""):
            self._target.egress_rule.require_address(ip_address(host))
        tls = await self._resources.tls.of(self._authorities) if url.scheme == "https" else True
        response = await self._session.post(
            url,
            data=body,
            headers={**headers, "Content-Type": "application/json"},
            allow_redirects=False,
            ssl=tls,
        )
        try:
            return Delivered(
                _outcome_of_status(response.status),
                response.status,
                retry_after_seconds(response.headers, at_most=MAX_RETRY_AFTER_SECONDS),
            )
        finally:
            await leave(response)


def _outcome_of_status(status: int) -> DeliveryOutcome:
    match status:
        case HTTPStatus.GONE:
            return DeliveryOutcome.GONE
        case HTTPStatus.TOO_MANY_REQUESTS:
            return DeliveryOutcome.RATE_LIMITED
        case _ if status in range(200, 300):
            return DeliveryOutcome.DELIVERED
        case _ if status in range(300, 400):
            return DeliveryOutcome.REDIRECT
        case _ if status in range(400, 500):
            return DeliveryOutcome.REFUSED
        case _:
            return DeliveryOutcome.SERVER_ERROR


def _outcome_of(error: UpstreamError) -> DeliveryOutcome:
    match error:
        case EgressRefusedError():
            return DeliveryOutcome.NOT_ALLOWED
        case ResolveError():
            return DeliveryOutcome.NOT_RESOLVED
        case TlsError():
            return DeliveryOutcome.TLS
        case UpstreamTimeoutError():
            return DeliveryOutcome.TIMEOUT
        case _:
            return DeliveryOutcome.CONNECT
