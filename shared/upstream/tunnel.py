"""aiohttp connections through an outbound proxy, each a tunnel to an address that was judged.

The proxy is asked for `CONNECT <address>:<port>`, so that what was resolved and allowed here is
what is connected to; TLS inside the tunnel is with the host by its name. Only where the proxy's
operator gave that up is it told the name, and then nobody here sees the address.
"""

import asyncio
import socket
import ssl
from http import HTTPStatus
from ipaddress import ip_address
from typing import Final

import aiohttp
from aiohttp.abc import AbstractResolver
from aiohttp.client_proto import ResponseHandler
from typing_extensions import override

from shared.upstream.errors import ConnectError, UpstreamError
from shared.upstream.proxy import (
    END_OF_HEADERS,
    MAX_ANSWER_BYTES,
    OutboundProxy,
    answered_status,
)

MAX_PROXY_ADDRESSES: Final = 4  # tried one after the other
_READ_BYTES: Final = 4096  # at once, of an answer that usually has 100


class _TunnelRefusedError(ConnectError):
    """The proxy does not connect to this address; it may to the next."""


class TunnelConnector(aiohttp.BaseConnector):
    """Makes connections through a proxy.

    `resolver` says which addresses a host may be spoken to at; what it raises is raised.
    """

    def __init__(
        self,
        proxy: OutboundProxy,
        resolver: AbstractResolver,
        tls: ssl.SSLContext,
        *,
        limit: int = 100,
        keepalive_timeout: float = 15.0,
    ) -> None:
        super().__init__(limit=limit, keepalive_timeout=keepalive_timeout)
        self._proxy = proxy
        self._resolver = resolver
        self._tls = tls

    @override
    async def _create_connection(
        self,
        req: aiohttp.ClientRequest,
        traces: list[aiohttp.tracing.Trace],
        timeout: aiohttp.ClientTimeout,
    ) -> ResponseHandler:
        """Return a connection through the first tunnel that comes about (aiohttp's own hook)."""
        failure: Exception = ConnectError("the host's name has no address")
        for authority in await self._authorities(req):
            try:
                async with asyncio.timeout(timeout.sock_connect):
                    return await self._connect(req, authority)
            except (_TunnelRefusedError, TimeoutError) as error:
                failure = error
        raise failure

    async def _authorities(self, req: aiohttp.ClientRequest) -> list[str]:
        host, port = req.url.raw_host or "", req.port or 0
        if self._proxy.resolves_names or _is_address(host):
            return [_authority(host, port)]
        return [
            _authority(found["host"], found["port"])
            for found in await self._resolver.resolve(host, port)
        ]

    async def _connect(self, req: aiohttp.ClientRequest, authority: str) -> ResponseHandler:
        tunnel = await _open_tunnel(self._proxy, authority)
        host = (req.url.raw_host or "").rstrip(".")  # certificates have no final dot
        is_tls = req.is_ssl()
        try:
            _, protocol = await asyncio.get_running_loop().create_connection(
                self._factory,
                sock=tunnel,
                ssl=self._tls if is_tls else None,
                server_hostname=host if is_tls else None,
            )
        except ssl.SSLCertVerificationError as error:
            tunnel.close()
            raise aiohttp.ClientConnectorCertificateError(req.connection_key, error) from None
        except ssl.SSLError as error:
            tunnel.close()
            raise aiohttp.ClientConnectorSSLError(req.connection_key, error) from None
        except BaseException:  # whatever ends this, cancellation included, ends the tunnel too
            tunnel.close()
            raise
        return protocol


async def connector_through(proxy: OutboundProxy | None) -> aiohttp.BaseConnector:
    """Return a connector to hosts that the operator or we name, whose addresses nobody judges."""
    if proxy is None:
        return aiohttp.TCPConnector()
    # Reading the system's authorities takes tens of milliseconds: off the loop.
    context = await asyncio.to_thread(ssl.create_default_context)
    return TunnelConnector(proxy, aiohttp.ThreadedResolver(), context)


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
        raise refusal
    return tunnel


async def _reach(proxy: OutboundProxy) -> socket.socket:
    """Return a connected socket. The proxy's own address is its operator's word, and not judged."""
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
    """Return why there is no tunnel behind an answer; None where there is one."""
    status = answered_status(head)
    if status is None or END_OF_HEADERS not in head:
        return ConnectError("the outbound proxy does not answer in HTTP")
    if status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        return ConnectError("the outbound proxy refuses our credential")
    if not 200 <= status < 300:  # noqa: PLR2004 - HTTP's class of successes
        return _TunnelRefusedError(
            f"the outbound proxy does not connect to the host, it answers {status}"
        )
    # In a tunnel we speak first (RFC 9112 section 6.3: a 2xx to CONNECT has no body).
    if not head.endswith(END_OF_HEADERS):
        return ConnectError("the outbound proxy sends more than an answer")
    return None


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _authority(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
