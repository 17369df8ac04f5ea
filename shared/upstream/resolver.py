"""Names to addresses that were judged: what is resolved here is what is connected to.

The connector connects to the very addresses that the rule let through, so a name that answers
differently a moment later (DNS rebinding) changes nothing.
"""

import asyncio
import socket
from ipaddress import ip_address
from typing import Final

from aiohttp.abc import AbstractResolver, ResolveResult
from typing_extensions import override

from shared.upstream.egress import EgressRule
from shared.upstream.errors import EgressRefusedError, ResolveError

MAX_ADDRESSES: Final = 16  # tried one after the other; large registries give 8
_NUMERIC: Final = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV


class PinnedResolver(AbstractResolver):
    """Resolves in the loop's executor, and gives only addresses that the rule allows."""

    def __init__(self, rule: EgressRule) -> None:
        self._rule = rule

    @override
    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the allowed addresses of a name.

        Raises `ResolveError` for a name without addresses, `EgressRefusedError` when none of
        them is allowed.
        """
        allowed = []
        refusal: EgressRefusedError | None = None
        for address_family, address in await _addresses(host, port, family):
            try:
                self._rule.require_address(ip_address(address))
            except EgressRefusedError as error:
                refusal = refusal or error
                continue
            allowed.append(_pinned(host, address, port, address_family))
        if not allowed:
            raise refusal or ResolveError("the host's name has no address")
        return allowed[:MAX_ADDRESSES]

    @override
    async def close(self) -> None:
        """Hold nothing that would need closing."""


async def _addresses(
    host: str, port: int, family: socket.AddressFamily
) -> list[tuple[socket.AddressFamily, str]]:
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(
            host, port, family=family, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
        )
    except (OSError, UnicodeError):  # UnicodeError: a label that IDNA refuses
        raise ResolveError("the host's name does not resolve") from None
    return [(address_family, str(address[0])) for address_family, _, _, _, address in found]


def _pinned(host: str, address: str, port: int, family: socket.AddressFamily) -> ResolveResult:
    return ResolveResult(
        hostname=host, host=address, port=port, family=family, proto=0, flags=_NUMERIC
    )
