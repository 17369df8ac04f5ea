"""Asks the provider: pinned addresses, a CA of its own, the outbound proxy, and bounds on it all.

The operator names the issuer, and the issuer's own answers name the other endpoints. So each
address is judged when it is connected to, as a registry's is (`shared.upstream.egress`): public
ones, and the networks that `CONTROL_PLANE_OIDC_NETWORKS` names. Nothing is followed, unpacked or
remembered.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from ipaddress import ip_address
from typing import Final, Self

import aiohttp
from aiohttp.abc import AbstractResolver
from attrs import field, frozen
from yarl import URL

from control_plane.single_sign_on.provider_metadata import ProviderAnswerError
from shared.canonical_json import Network
from shared.failures import forget_frames
from shared.upstream.aiohttp_errors import upstream_error
from shared.upstream.basic_credential import BasicCredential
from shared.upstream.body_reading import read_bounded
from shared.upstream.bounded_connection import bound_answers
from shared.upstream.egress import LOOPBACK, EgressRule
from shared.upstream.errors import UpstreamError
from shared.upstream.outbound_session import outbound_session
from shared.upstream.patience import Deadline
from shared.upstream.proxy import OutboundProxy
from shared.upstream.resolver import PinnedResolver
from shared.upstream.tls_contexts import Authorities, TlsContexts
from shared.upstream.transport import USER_AGENT
from shared.upstream.tunnel import TunnelConnector

MAX_ANSWER_BYTES: Final = 256 * 1024  # 64 keys with their certificates; a token answer has 16 KiB
REQUEST_SECONDS: Final = 10.0  # of one request, from the name to the body's end
MAX_CONNECTIONS: Final = 8  # to the provider; logins beyond them wait for a free one


class ProviderUnreachableError(Exception):
    """The provider does not answer, or says that it cannot; the message is in our own words."""


@frozen
class ProviderAnswer:
    """An answer's status and body."""

    status: int
    body: bytes = field(repr=False)

    @property
    def is_success(self) -> bool:
        """Whether the provider did what it was asked."""
        return self.status == HTTPStatus.OK


@frozen
class ProviderHttp:
    """One session with the provider."""

    _session: aiohttp.ClientSession
    _rule: EgressRule | None
    _authorities: Authorities
    _tls: TlsContexts

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        networks: tuple[Network, ...] | None,
        *,
        ca_certificate: str | None = None,
        proxy: OutboundProxy | None = None,
    ) -> AsyncIterator[Self]:
        """Yield it; raise `TlsError` if the CA cannot be read.

        `networks`: those that may be reached beside public addresses; None: no address is judged,
        as in a person's own shell.
        """
        rule = None if networks is None else _rule(networks)
        resolver = aiohttp.ThreadedResolver() if rule is None else PinnedResolver(rule)
        async with outbound_session(
            _connector(resolver, proxy),
            user_agent=USER_AGENT,
            accept="application/json",
            seconds=REQUEST_SECONDS,
        ) as session:
            yield cls(session, rule, Authorities.beside(ca_certificate), TlsContexts())

    async def get(self, url: str) -> bytes:
        """Return what a URL answers with 200.

        Raises `ProviderUnreachableError` and `ProviderAnswerError`.
        """
        answer = await self._send("GET", url, None, None)
        _require_not_away(answer)
        if not answer.is_success:
            raise ProviderAnswerError(f"it answers {answer.status}")
        return answer.body

    async def post(
        self, url: str, form: Mapping[str, str], basic: BasicCredential | None = None
    ) -> ProviderAnswer:
        """Return the answer to a form; raise `ProviderUnreachableError`, `ProviderAnswerError`."""
        answer = await self._send("POST", url, form, basic)
        _require_not_away(answer)
        return answer

    async def _send(
        self,
        method: str,
        url: str,
        form: Mapping[str, str] | None,
        basic: BasicCredential | None,
    ) -> ProviderAnswer:
        headers = {"Authorization": basic.authorization().reveal_text()} if basic else {}
        try:
            self._require_literal(url)
            tls = await self._tls.of(self._authorities) if url.startswith("https:") else True
            async with (
                asyncio.timeout(REQUEST_SECONDS),
                self._session.request(
                    method, url, data=form, headers=headers, allow_redirects=False, ssl=tls
                ) as response,
            ):
                body = await read_bounded(response, MAX_ANSWER_BYTES, Deadline(REQUEST_SECONDS))
                status = response.status
        except UpstreamError as error:
            raise ProviderUnreachableError(error.words) from None
        except (aiohttp.ClientError, TimeoutError, OSError, RuntimeError, ValueError) as error:
            forget_frames(error)  # its cause may hold our own headers
            raise ProviderUnreachableError(upstream_error(error).words) from None
        if body is None:
            raise ProviderAnswerError(f"it answers more than {MAX_ANSWER_BYTES} bytes")
        return ProviderAnswer(status, body)

    def _require_literal(self, url: str) -> None:
        """Judge an address in the URL itself, which is not resolved."""
        try:
            address = ip_address(URL(url, encoded=True).raw_host or "")
        except ValueError:
            return
        if self._rule is not None:
            self._rule.require_address(address)


def _require_not_away(answer: ProviderAnswer) -> None:
    is_too_much = answer.status == HTTPStatus.TOO_MANY_REQUESTS
    if is_too_much or answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise ProviderUnreachableError(f"it answers {answer.status}")


def _rule(networks: tuple[Network, ...]) -> EgressRule:
    is_loopback = any(
        one.version == other.version and one.overlaps(other)
        for one in networks
        for other in LOOPBACK
    )
    return EgressRule(allowed_networks=networks, allow_loopback=is_loopback)


def _connector(resolver: AbstractResolver, proxy: OutboundProxy | None) -> aiohttp.BaseConnector:
    if proxy is not None:
        return bound_answers(TunnelConnector(proxy, resolver, limit=MAX_CONNECTIONS))
    return bound_answers(
        aiohttp.TCPConnector(resolver=resolver, use_dns_cache=False, limit=MAX_CONNECTIONS)
    )
