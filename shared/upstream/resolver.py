"""Resolves names to addresses, and judges those: what is resolved here is what is connected to.

The connector connects to the very addresses that the rule let through. So a name that resolves
differently a moment later (DNS rebinding) changes nothing; a later connection resolves and judges
again.
"""

import asyncio
import socket
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from ipaddress import ip_address
from typing import Any, Final

from aiohttp.abc import AbstractResolver, ResolveResult
from typing_extensions import override

from shared.failures import without_frames
from shared.upstream.egress import EgressRule
from shared.upstream.errors import (
    EgressRefusedError,
    ResolveError,
    Step,
    UpstreamTimeoutError,
)

MAX_ADDRESSES: Final = 16  # tried one after the other; large registries give 8
MAX_LOOKUPS: Final = 4  # of one connection at once; further ones wait, and only for each other
LOOKUP_SECONDS: Final = 10.0  # the C library asks a silent server twice, for 5 s each
_NUMERIC: Final = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV

# What `socket.getaddrinfo` gives: family, type, protocol, canonical name, socket address.
AddressInfo = tuple[socket.AddressFamily, socket.SocketKind, int, str, tuple[Any, ...]]
# (host, port, family) to its addresses; blocks, and raises OSError if there are none.
Lookup = Callable[[str, int, socket.AddressFamily], Sequence[AddressInfo]]


def system_lookup(host: str, port: int, family: socket.AddressFamily) -> Sequence[AddressInfo]:
    """Ask the machine's own resolver."""
    return socket.getaddrinfo(
        host, port, family=family, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
    )


class PinnedResolver(AbstractResolver):
    """Gives only addresses that the rule allows.

    Lookups block, so each has a thread of the few that this resolver owns. In the loop's shared
    threads, one host with silent name servers would hold up all others. The threads end when there
    is nothing to look up: ten thousand idle registries have none.
    """

    def __init__(
        self,
        rule: EgressRule,
        *,
        lookup: Lookup = system_lookup,
        seconds: float = LOOKUP_SECONDS,
    ) -> None:
        self._rule = rule
        self._lookup = lookup
        self._seconds = seconds
        self._threads: ThreadPoolExecutor | None = None  # while something is looked up
        self._lookups = 0  # under way, or waiting for a thread

    @override
    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the allowed addresses of a name.

        Raises `ResolveError` for a name without addresses, `EgressRefusedError` when none of
        them is allowed, `UpstreamTimeoutError` when there is no answer in time.
        """
        allowed: list[ResolveResult] = []
        refusals: list[EgressRefusedError] = []
        for address_family, _, _, _, address in await self._look_up(host, port, family):
            try:
                self._rule.require_address(ip_address(address[0]))
            except EgressRefusedError as error:
                refusals.append(without_frames(error))
                continue
            allowed.append(_pinned(host, address, address_family))
        if not allowed:
            if refusals:
                raise without_frames(refusals[0])
            raise ResolveError("the host's name has no address")
        return allowed[:MAX_ADDRESSES]

    @override
    async def close(self) -> None:
        """Let running lookups end by themselves; nobody waits for them."""
        self._end_threads()

    async def _look_up(
        self, host: str, port: int, family: socket.AddressFamily
    ) -> Sequence[AddressInfo]:
        try:
            async with asyncio.timeout(self._seconds):
                return await self._begin_lookup(host, port, family)
        except TimeoutError:
            raise UpstreamTimeoutError(
                "the host's name does not resolve in time", step=Step.RESOLVE
            ) from None
        except (OSError, UnicodeError):  # UnicodeError: a label that IDNA refuses
            raise ResolveError("the host's name does not resolve") from None

    def _begin_lookup(
        self, host: str, port: int, family: socket.AddressFamily
    ) -> asyncio.Future[Sequence[AddressInfo]]:
        """Look up in a thread, which ends after the last lookup, even if nobody waits any more."""
        if self._threads is None:
            self._threads = ThreadPoolExecutor(MAX_LOOKUPS, thread_name_prefix="resolve")
        loop = asyncio.get_running_loop()
        lookup = self._threads.submit(self._lookup, host, port, family)
        self._lookups += 1

        def tell(_: object) -> None:
            with suppress(RuntimeError):  # the loop is closed: the process ends
                loop.call_soon_threadsafe(self._lookup_ended)

        lookup.add_done_callback(tell)
        return asyncio.wrap_future(lookup)

    def _lookup_ended(self) -> None:
        self._lookups -= 1
        if not self._lookups:
            self._end_threads()

    def _end_threads(self) -> None:
        if self._threads is not None:
            self._threads.shutdown(wait=False)
            self._threads = None


def _pinned(host: str, address: tuple[Any, ...], family: socket.AddressFamily) -> ResolveResult:
    return ResolveResult(
        hostname=host,
        host=str(address[0]),
        port=int(address[1]),
        family=family,
        proto=0,
        flags=_NUMERIC,
    )
