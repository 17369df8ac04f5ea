"""Clients of AWS over our own HTTP: bounded answers, our proxy, and nothing from the environment.

The libraries take a fifth of the time in which a facade starts, and most facades never ask AWS. So
`AwsSession` imports this in its own thread, when the first connection needs it.
"""

import asyncio
import functools
import socket
import ssl
from collections.abc import Callable, Hashable
from http import HTTPStatus
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Any, Final

import aiohttp
from aiobotocore.awsrequest import AioAWSResponse
from aiobotocore.config import AioConfig
from aiobotocore.httpsession import AIOHTTPSession
from aiobotocore.session import AioSession
from attrs import define, field, frozen
from botocore.httpsession import ProxyConfiguration, get_cert_path
from typing_extensions import override
from yarl import URL

from facade.registries.aws.aws_endpoints import AwsService, EndpointVariant
from facade.registries.aws.session_keys import SessionKeys
from shared.upstream.body_reading import read_bounded
from shared.upstream.bounded_connection import bound_answers
from shared.upstream.errors import UnexpectedAnswerError
from shared.upstream.patience import TOKEN_SECONDS, Deadline
from shared.upstream.proxy import OutboundProxy
from shared.upstream.resolver import LOOKUP_SECONDS
from shared.watched_files import stamp_of

MAX_ANSWER_BYTES: Final = 256 * 1024  # STS and ECR answer some KiB


class AwsClients:
    """Makes clients of one process's identity, at one endpoint where the operator names one."""

    def __init__(self, endpoint_url: str | None, proxy: OutboundProxy | None) -> None:
        self._endpoint_url = endpoint_url
        self._session = AioSession()
        # The session's default, for what it asks by itself too: STS, for a web identity.
        self._session.set_default_client_config(_config(proxy))

    def client(
        self,
        service: AwsService,
        region: str,
        keys: SessionKeys | None,
        variant: EndpointVariant,
    ) -> Any:
        """Return a client to enter; `keys` None: of the process's own identity."""
        return self._session.create_client(
            service,
            region_name=region,
            endpoint_url=self._endpoint_url,
            config=AioConfig(
                use_fips_endpoint=variant.use_fips, use_dualstack_endpoint=variant.use_dual_stack
            ),
            aws_access_key_id=keys.access_key_id if keys else None,
            aws_secret_access_key=keys.secret_access_key if keys else None,
            aws_session_token=keys.session_token if keys else None,
        )


@frozen
class _WholeBody:
    """A body that was read, as aiobotocore reads one."""

    _content: bytes

    async def read(self) -> bytes:
        return self._content


class _Proxies(ProxyConfiguration):  # type: ignore[misc] # botocore ships no types
    """botocore's choice of a proxy, except for origins that are reached directly."""

    def __init__(self, proxy: OutboundProxy | None) -> None:
        # It is told AWS's names, which are ours and from no record, so their addresses are not
        # judged.
        url = proxy and proxy.url.reveal_text()
        super().__init__(proxies={"https": url, "http": url} if url else {})
        self._direct: set[URL] = set()

    def leave_out(self, origin: URL) -> None:
        self._direct.add(origin)

    @override
    def proxy_url_for(self, url: str) -> str | None:
        return None if URL(url).origin() in self._direct else super().proxy_url_for(url)


_Contexts = tuple[ssl.SSLContext, ssl.SSLContext | None]  # of a host, and of a proxy before it


@define(eq=False)
class _SharedContexts:
    """The contexts that were made last, with what they were made of.

    Each client makes a session, and each session would read botocore's authorities again: twice 20
    ms for every token of ECR. If threads come together, one of them makes contexts in vain.
    """

    _made: tuple[Hashable, _Contexts] | None = field(default=None, init=False)

    def of(self, what: Hashable, make: Callable[[], _Contexts]) -> _Contexts:
        """Return what was made of the same, or make it. Blocks."""
        made = self._made
        if made is None or made[0] != what:
            made = self._made = (what, make())
        return made[1]


class _BoundedSession(AIOHTTPSession):  # type: ignore[misc] # aiobotocore ships no types
    """aiobotocore's HTTP, which would read into memory whatever comes, beside the proxy or not."""

    def __init__(
        self, *, outbound: OutboundProxy | None, contexts: _SharedContexts, **arguments: Any
    ) -> None:
        super().__init__(**arguments)
        self._outbound = outbound
        self._contexts = contexts
        self._proxy_config: _Proxies = _Proxies(outbound)

    @override
    def _build_ssl_contexts(self, proxy_url: str | None) -> _Contexts:
        authorities = get_cert_path(self._verify) if self._verify else None
        stamp = stamp_of(Path(authorities)) if authorities else None
        made_of = authorities, stamp, self._cert_file, proxy_url
        build = super()._build_ssl_contexts
        return self._contexts.of(made_of, lambda: build(proxy_url))

    @override
    async def _create_connector(self, proxy_url: str | None) -> aiohttp.TCPConnector:
        connector: aiohttp.TCPConnector = await super()._create_connector(proxy_url)
        return bound_answers(connector)

    @override
    async def send(self, request: Any) -> AioAWSResponse:
        request.stream_output = True  # leaves the body to be read here
        origin = URL(request.url).origin()
        if self._outbound and await _is_direct(self._outbound, origin):
            self._proxy_config.leave_out(origin)
        answer = await super().send(request)
        body = await read_bounded(answer.raw, MAX_ANSWER_BYTES, Deadline(TOKEN_SECONDS))
        answer.raw.close()
        if body is None:
            raise UnexpectedAnswerError("AWS answers more than was asked for")
        if answer.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
            body = b""  # a gateway's own page, where botocore wants XML and would not try again
        return AioAWSResponse(answer.url, answer.status_code, answer.headers, _WholeBody(body))


async def _is_direct(proxy: OutboundProxy, origin: URL) -> bool:
    """Tell whether AWS's host is one of the proxy's exceptions, resolving it only to know that."""
    host, port = origin.raw_host or "", origin.port or 0
    if proxy.no_proxy.covers_name(host, port):
        return True
    if proxy.resolves_names or not proxy.no_proxy.addresses:
        return False
    return proxy.no_proxy.covers_all(host, port, await _addresses(host, port))


async def _addresses(host: str, port: int) -> list[IPv4Address | IPv6Address]:
    """Return a host's addresses; none for one whose name means nothing here."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(LOOKUP_SECONDS):
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):  # TimeoutError is an OSError
        return []
    return [ip_address(address[0]) for *_, address in found]


def _config(proxy: OutboundProxy | None) -> AioConfig:
    return AioConfig(
        connect_timeout=5,
        read_timeout=15,
        retries={"mode": "standard", "total_max_attempts": 3},
        proxies={},  # not None: the environment's are not ours to use; the session has its own
        http_session_cls=functools.partial(
            _BoundedSession, outbound=proxy, contexts=_SharedContexts()
        ),
    )
