"""One connection's HTTP session: pinned addresses, its own CA, no cookies.

It uses no proxy but the one that is given, unpacks nothing, and follows no redirect.
"""

import asyncio
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from ipaddress import ip_address
from typing import Final, Literal, Self, assert_never

import aiohttp
from attrs import field, frozen
from typing_extensions import override
from yarl import URL

from shared.failures import forget_frames
from shared.oci import Kind
from shared.secret import Secret
from shared.upstream.aiohttp_errors import upstream_error
from shared.upstream.body_reading import MonotonicClock
from shared.upstream.bounded_connection import bound_answers
from shared.upstream.kept_connections import KeptConnections
from shared.upstream.large_reads import ReadMemory
from shared.upstream.patience import (
    SLOW_WINDOW_SECONDS,
    SMALL_BODY_SECONDS,
    STALL_SECONDS,
    TOKEN_SECONDS,
    Deadline,
    Patience,
    SpeedFloor,
)
from shared.upstream.proxy import OutboundProxy
from shared.upstream.resolver import Lookup, PinnedResolver, system_lookup
from shared.upstream.target import UpstreamTarget
from shared.upstream.tls_contexts import Authorities, TlsContexts
from shared.upstream.tunnel import TunnelConnector

MAX_CONNECTIONS: Final = 1024  # per connected registry; above what devices are let in with
READ_BUFFER_BYTES: Final = 64 * 1024  # as much as a relay writes at once; kept for each slow device
IDLE_CONNECTION_SECONDS: Final = 15.0  # load balancers close idle ones after 60; ours close before
MAX_HEADER_BYTES: Final = 16 * 1024  # one header; signed URLs in Location reach 4 KiB
MAX_HEADERS: Final = 128
CLEAN_CONNECTION_TRIES: Final = 16  # two kept connections may have something left on them
USER_AGENT: Final = "registry-facade"
Method = Literal["GET", "HEAD"]
OnAnswer = Callable[[int | BaseException, float], None]


@frozen
class Timeouts:
    """Bounds on waiting for a registry, in seconds.

    A whole blob has no bound, but it has to keep up a speed: see `patience.py`.
    """

    connect_seconds: float = 10.0  # for the name, and as long again for TCP and TLS to one address
    first_byte_seconds: float = 60.0  # from then on to the headers: some fetch a blob first
    stall_seconds: float = STALL_SECONDS  # of silence; it bounds the wait for the headers too
    token_seconds: float = TOKEN_SECONDS  # for the whole body of a token endpoint's answer
    small_body_seconds: float = SMALL_BODY_SECONDS  # of a manifest, or of a page of tags

    @property
    def answer_seconds(self) -> float:
        """For the headers of one answer, including the connection."""
        return self.connect_seconds + self.first_byte_seconds

    @property
    def chain_seconds(self) -> float:
        """For the headers of the last answer of a chain of redirects: as long as for two."""
        return 2 * self.answer_seconds

    def patience(self, kind: Kind) -> Patience:
        """Return how long the body of a manifest or a blob is waited for.

        If the configured silence is longer than the built-in bounds, being silent so long is not
        slow.
        """
        stall = self.stall_seconds
        match kind:
            case Kind.MANIFEST:
                return Deadline(max(self.small_body_seconds, stall), stall)
            case Kind.BLOB:
                return SpeedFloor(stall, max(SLOW_WINDOW_SECONDS, stall))
            case _ as unreachable:
                assert_never(unreachable)


class _LeftoverError(aiohttp.ServerDisconnectedError):
    """The kept connection holds bytes that nobody asked for; nothing was sent over it."""


class _CleanConnectionRequest(aiohttp.ClientRequest):
    """A request that goes out only on a connection with nothing left over on it.

    aiohttp puts a connection back when a body is complete, and does not look at it again. Bytes
    that a registry sends later, behind its Content-Length, would become the next request's answer.
    """

    @override
    async def send(self, conn: aiohttp.connector.Connection) -> aiohttp.ClientResponse:
        """Send, or have the request tried again on another connection."""
        if conn.protocol is None or conn.protocol.should_close:
            raise _LeftoverError
        return await super().send(conn)


class _CarriedResponse(aiohttp.ClientResponse):
    """An answer that knows its connection, even after that was put back for other requests."""

    carrier: aiohttp.client_proto.ResponseHandler | None = None

    @override
    async def start(self, connection: aiohttp.connector.Connection) -> aiohttp.ClientResponse:
        """Read the headers."""
        self.carrier = connection.protocol
        return await super().start(connection)


@frozen
class TransportResources:
    """What the transports of one process have in common; each has a session of its own."""

    tls: TlsContexts = field(factory=TlsContexts)
    kept: KeptConnections = field(factory=KeptConnections)
    memory: ReadMemory = field(factory=ReadMemory)
    trace: aiohttp.TraceConfig | None = None  # what is told of names and connections


class UpstreamTransport:
    """Sends single requests of one connection, to the registry and to where it points."""

    def __init__(
        self,
        target: UpstreamTarget,
        session: aiohttp.ClientSession,
        resolver: PinnedResolver,
        timeouts: Timeouts,
        tls: Callable[[], Awaitable[ssl.SSLContext]],
        clock: MonotonicClock = time.monotonic,
        on_request: Callable[[], None] = lambda: None,
        on_answer: OnAnswer = lambda _ended, _seconds: None,
    ) -> None:
        self.target = target
        self.timeouts = timeouts
        self.clock = clock
        self._rule = target.egress_rule
        self._session = session
        self._resolver = resolver
        self._tls = tls
        self._on_request = on_request
        self._on_answer = on_answer

    @classmethod
    async def open(
        cls,
        target: UpstreamTarget,
        *,
        timeouts: Timeouts | None = None,
        proxy: OutboundProxy | None = None,
        lookup: Lookup = system_lookup,
        clock: MonotonicClock = time.monotonic,
        on_request: Callable[[], None] = lambda: None,
        on_answer: OnAnswer = lambda _ended, _seconds: None,
        resources: TransportResources | None = None,
    ) -> Self:
        """Return a transport; raise `TlsError` if the connection's CA cannot be read.

        `resources`: those of the process; None: it makes its own. `clock` measures the waiting for
        bodies. `on_request` is told of each request that is sent, by the task that sends it.
        `on_answer` is told how it ended: the status of its answer, or what was raised, and after
        how many seconds.
        """
        timeouts, resources = timeouts or Timeouts(), resources or TransportResources()
        authorities = Authorities.beside(target.ca_certificate)
        resolver = PinnedResolver(
            target.egress_rule, lookup=lookup, seconds=timeouts.connect_seconds
        )
        session = aiohttp.ClientSession(
            connector=judged_connector(resolver, proxy, resources),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(
                total=None,
                sock_connect=timeouts.connect_seconds,
                sock_read=timeouts.stall_seconds,
            ),
            headers={"User-Agent": USER_AGENT, "Accept-Encoding": "identity"},
            request_class=_CleanConnectionRequest,
            response_class=_CarriedResponse,
            auto_decompress=False,
            trust_env=False,
            requote_redirect_url=False,
            trace_configs=[resources.trace] if resources.trace else None,
            read_bufsize=READ_BUFFER_BYTES,
            max_line_size=MAX_HEADER_BYTES,
            max_field_size=MAX_HEADER_BYTES,
            max_headers=MAX_HEADERS,
        )
        tls = partial(resources.tls.of, authorities)  # made when first needed: not for plain HTTP
        return cls(target, session, resolver, timeouts, tls, clock, on_request, on_answer)

    async def close(self) -> None:
        """Close every connection; bodies that are being read break."""
        await self._session.close()
        await self._resolver.close()

    async def send(
        self,
        method: Method,
        url: URL,
        *,
        headers: Mapping[str, str],
        authorization: Secret | None = None,
    ) -> aiohttp.ClientResponse:
        """Return the answer's headers, with its body still to be read; redirects are not followed.

        The caller closes the response. Raises `UpstreamError` of the step that failed.
        """
        began = time.monotonic()
        try:
            self._require_literal(url)
            self._on_request()
            response = await self._answered(method, url, headers, authorization)
        except BaseException as error:
            self._on_answer(error, time.monotonic() - began)
            raise
        self._on_answer(response.status, time.monotonic() - began)
        return response

    async def _answered(
        self, method: str, url: URL, headers: Mapping[str, str], authorization: Secret | None
    ) -> aiohttp.ClientResponse:
        tls = await self._tls() if url.scheme == "https" else None
        try:
            async with asyncio.timeout(self.timeouts.answer_seconds):
                return await self._send(method, url, _sent(headers, authorization), tls)
        except (aiohttp.ClientError, TimeoutError, OSError, RuntimeError) as error:
            # RuntimeError is aiohttp's for a closed session. The cause may quote upstream's bytes
            # and our own headers: it ends here.
            forget_frames(error)
            raise upstream_error(error) from None

    async def _send(
        self, method: str, url: URL, headers: dict[str, str], tls: ssl.SSLContext | None
    ) -> aiohttp.ClientResponse:
        """Send on a connection with nothing left over; each try drops one that has something."""
        tries = 0
        while True:
            try:
                return await self._session.request(
                    method, url, headers=headers, allow_redirects=False, ssl=tls or True
                )
            except _LeftoverError:
                tries += 1
                if tries == CLEAN_CONNECTION_TRIES:
                    raise

    def _require_literal(self, url: URL) -> None:
        """Judge an address in the URL itself, which aiohttp does not resolve."""
        try:
            address = ip_address(url.raw_host or "")
        except ValueError:
            return  # a name: the resolver judges it
        self._rule.require_address(address)


def judged_connector(
    resolver: PinnedResolver, proxy: OutboundProxy | None, resources: TransportResources
) -> aiohttp.BaseConnector:
    """Return a connector to the addresses that a resolver allows; it bounds what they answer."""
    connector: aiohttp.BaseConnector
    if proxy is not None:
        connector = TunnelConnector(
            proxy, resolver, limit=MAX_CONNECTIONS, keepalive_timeout=IDLE_CONNECTION_SECONDS
        )
    else:
        connector = aiohttp.TCPConnector(
            resolver=resolver,
            use_dns_cache=False,
            limit=MAX_CONNECTIONS,
            keepalive_timeout=IDLE_CONNECTION_SECONDS,
        )
    return bound_answers(connector, resources.kept, resources.memory)


def _sent(headers: Mapping[str, str], authorization: Secret | None) -> dict[str, str]:
    if authorization is None:
        return dict(headers)
    return {**headers, "Authorization": authorization.reveal_text()}


def leave_connection(response: aiohttp.ClientResponse) -> None:
    """Have no later request use an answer's connection; one that uses it now goes on.

    A load balancer may give the next connection to another node.
    """
    if isinstance(response, _CarriedResponse) and response.carrier is not None:
        response.carrier.force_close()
