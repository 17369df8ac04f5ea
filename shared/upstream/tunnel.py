"""aiohttp connections through an outbound proxy: each is a tunnel to an address that was judged.

The proxy is asked for `CONNECT <address>:<port>`, so that it connects to the address that was
resolved and allowed here. TLS inside the tunnel is with the host by its name. Only if the proxy's
operator chose so is the proxy told the name; then nobody here sees the address.

Hosts that the operator excepts from the proxy are connected to directly, at the addresses that the
same resolver gave: an exception chooses the way, never which addresses may be spoken to.
"""

import asyncio
import socket
import ssl
from collections.abc import Iterable
from http import HTTPStatus
from ipaddress import ip_address
from typing import Final, assert_never

import aiohappyeyeballs
import aiohttp
from aiohttp.abc import AbstractResolver
from aiohttp.client_proto import ResponseHandler
from attrs import frozen
from typing_extensions import override

from shared.failures import without_frames
from shared.upstream.bounded_connection import bound_answers
from shared.upstream.egress import Address
from shared.upstream.errors import ConnectError, UpstreamError
from shared.upstream.proxy import (
    END_OF_HEADERS,
    MAX_ANSWER_BYTES,
    OutboundProxy,
    answered_status,
)

MAX_PROXY_ADDRESSES: Final = 4  # tried one after the other
DIRECT_DELAY_SECONDS: Final = 0.25  # before a direct host's next address is tried too (RFC 8305)
_READ_BYTES: Final = 4096  # at once, of an answer that usually has 100


@frozen
class Direct:
    """Past the proxy, to whichever of these addresses answers first."""

    addresses: tuple[Address, ...]
    port: int


@frozen
class Tunnel:
    """Through the proxy, which is asked for `host:port`."""

    authority: str


Way = Direct | Tunnel


class _NextWayError(ConnectError):
    """This way leads nowhere; the next one may."""


def ways_to(proxy: OutboundProxy, host: str, port: int, addresses: Iterable[Address]) -> list[Way]:
    """Return the ways to a host at these addresses: directly first, if that is allowed."""
    every = list(dict.fromkeys(addresses))
    covered = proxy.no_proxy.covers_name(host, port)
    direct = [each for each in every if covered or proxy.no_proxy.covers_address(each, port)]
    tunnels = (Tunnel(_authority(str(each), port)) for each in every if each not in direct)
    return [*([Direct(tuple(direct), port)] if direct else []), *tunnels]


class TunnelConnector(aiohttp.BaseConnector):
    """Makes connections through a proxy, or past it if its operator says so.

    `resolver` says at which addresses a host may be spoken to; its errors are raised. Each request
    names its TLS context.
    """

    def __init__(
        self,
        proxy: OutboundProxy,
        resolver: AbstractResolver,
        *,
        limit: int = 100,
        keepalive_timeout: float = 15.0,
    ) -> None:
        super().__init__(limit=limit, keepalive_timeout=keepalive_timeout)
        self._proxy = proxy
        self._resolver = resolver

    @override
    async def _create_connection(
        self,
        req: aiohttp.ClientRequest,
        traces: list[aiohttp.tracing.Trace],
        timeout: aiohttp.ClientTimeout,
    ) -> ResponseHandler:
        """Return a connection on the first way that leads somewhere (aiohttp's own hook)."""
        failure: Exception = ConnectError("the host's name has no address")
        for way in await self._ways(req):
            try:
                async with asyncio.timeout(timeout.sock_connect):
                    return await self._connect(req, way)
            except (_NextWayError, TimeoutError) as error:
                failure = without_frames(error)
        raise without_frames(failure)

    async def _ways(self, req: aiohttp.ClientRequest) -> list[Way]:
        host, port = req.url.raw_host or "", req.port or 0
        literal = _literal(host)
        if literal is not None:
            return ways_to(self._proxy, host, port, [literal])
        if self._proxy.is_told_name(host, port):
            return [Tunnel(_authority(host, port))]
        found = await self._resolver.resolve(host, port)
        return ways_to(self._proxy, host, port, (ip_address(each["host"]) for each in found))

    async def _connect(self, req: aiohttp.ClientRequest, way: Way) -> ResponseHandler:
        reached = await self._go(way)
        host = (req.url.raw_host or "").rstrip(".")  # certificates have no final dot
        is_tls = req.is_ssl()
        try:
            _, protocol = await asyncio.get_running_loop().create_connection(
                self._factory,
                sock=reached,
                ssl=req.ssl if is_tls else None,  # type: ignore[arg-type] # never a fingerprint here
                server_hostname=host if is_tls else None,
            )
        except ssl.SSLCertVerificationError as error:
            reached.close()
            raise aiohttp.ClientConnectorCertificateError(req.connection_key, error) from None
        except ssl.SSLError as error:
            reached.close()
            raise aiohttp.ClientConnectorSSLError(req.connection_key, error) from None
        except BaseException:  # whatever ends this, cancellation included, ends what was reached
            reached.close()
            raise
        return protocol

    async def _go(self, way: Way) -> socket.socket:
        """Return a socket that leads to the host; raise `ConnectError`."""
        match way:
            case Direct():
                return await _connect_directly(way)
            case Tunnel(authority=authority):
                return await _open_tunnel(self._proxy, authority)
            case _ as unreachable:
                assert_never(unreachable)


def connector_through(proxy: OutboundProxy | None) -> aiohttp.BaseConnector:
    """Return a connector to hosts that the operator or we name, whose addresses nobody judges."""
    if proxy is None:
        return bound_answers(aiohttp.TCPConnector())
    return bound_answers(TunnelConnector(proxy, aiohttp.ThreadedResolver()))


async def _connect_directly(way: Direct) -> socket.socket:
    """Return a socket that leads to the host itself; raise `_NextWayError`."""
    try:
        return await aiohappyeyeballs.start_connection(
            [_address_info(each, way.port) for each in way.addresses],
            happy_eyeballs_delay=DIRECT_DELAY_SECONDS,
        )
    except OSError:
        raise _NextWayError("the host does not accept a connection") from None


async def _open_tunnel(proxy: OutboundProxy, authority: str) -> socket.socket:
    """Return a socket that leads to `host:port`; raise `ConnectError`."""
    tunnel = await _reach(proxy)
    try:
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(tunnel, proxy.connect_request(authority))
        refusal = _refusal(await _read_head(tunnel))
    except OSError:
        tunnel.close()
        raise ConnectError("the outbound proxy closed the connection") from None
    except BaseException:  # cancellation included: nobody else knows of the socket
        tunnel.close()
        raise
    if refusal is not None:
        tunnel.close()
        raise without_frames(refusal)
    return tunnel


async def _reach(proxy: OutboundProxy) -> socket.socket:
    """Return a connected socket. The operator named the proxy, so its address is not judged."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(proxy.host, proxy.port, type=socket.SOCK_STREAM)
    except OSError:
        raise ConnectError("the outbound proxy's name does not resolve") from None
    for family, kind, protocol, _, address in found[:MAX_PROXY_ADDRESSES]:
        reached = socket.socket(family, kind, protocol)
        reached.setblocking(False)  # noqa: FBT003 - the standard library's own signature
        try:
            await loop.sock_connect(reached, address)
        except OSError:
            reached.close()
        except BaseException:  # cancellation included: nobody else knows of the socket
            reached.close()
            raise
        else:
            return reached
    raise ConnectError("the outbound proxy does not accept a connection")


async def _read_head(tunnel: socket.socket) -> bytes:
    """Return all that the proxy says until its headers end, or until it says too much."""
    loop = asyncio.get_running_loop()
    head = bytearray()
    while END_OF_HEADERS not in head and len(head) <= MAX_ANSWER_BYTES:
        received = await loop.sock_recv(tunnel, _READ_BYTES)
        if not received:
            break
        head += received
    return bytes(head)


def _refusal(head: bytes) -> UpstreamError | None:
    """Return why an answer opens no tunnel; None if it does."""
    status = answered_status(head)
    if status is None or END_OF_HEADERS not in head:
        return ConnectError("the outbound proxy does not answer in HTTP")
    if status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        return ConnectError("the outbound proxy refuses our credential")
    if not 200 <= status < 300:  # noqa: PLR2004 - HTTP's class of successes
        return _NextWayError(
            f"the outbound proxy does not connect to the host, it answers {status}"
        )
    # In a tunnel we speak first (RFC 9112 section 6.3: a 2xx to CONNECT has no body).
    if not head.endswith(END_OF_HEADERS):
        return ConnectError("the outbound proxy sends more than an answer")
    return None


def _literal(host: str) -> Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def _address_info(
    address: Address, port: int
) -> tuple[socket.AddressFamily, socket.SocketKind, int, str, tuple[str, int]]:
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6  # noqa: PLR2004 - IP's own
    return family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (str(address), port)


def _authority(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
