"""Which addresses and redirects may be spoken to. Pure: no names are resolved here.

An address is judged together with every IPv4 address that is embedded in it: to `ipaddress` of
Python 3.11, `::ffff:169.254.169.254` is not link-local, and `64:ff9b::a9fe:a9fe` and
`2002:a9fe:a9fe::` are global. The public networks are listed here from IANA's registries, because
`is_global` differs between patch releases and calls multicast global.
"""

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import Final

from attrs import frozen

from shared.canonical_json import Network
from shared.upstream.errors import EgressRefusedError

Address = IPv4Address | IPv6Address


def _networks(*networks: str) -> tuple[Network, ...]:
    return tuple(ip_network(network) for network in networks)


# Refused whatever a connection says.
NEVER: Final[dict[str, tuple[Network, ...]]] = {
    "a metadata or role-credential": _networks(
        "169.254.169.254/32",
        "169.254.170.2/32",
        "169.254.170.23/32",
        "168.63.129.16/32",  # Azure's WireServer
        "192.0.0.192/32",  # Oracle's
        "100.100.100.200/32",  # Alibaba's
        "fd00:ec2::/32",  # Amazon's
        "fd20:ce::/32",  # Google's
    ),
    "a link-local": _networks("169.254.0.0/16", "fe80::/10"),
    "a multicast": _networks("224.0.0.0/4", "ff00::/8"),
    "an unspecified": _networks("0.0.0.0/8", "::/128"),
    "a broadcast": _networks("255.255.255.255/32"),
}
LOOPBACK: Final = _networks("127.0.0.0/8", "::1/128")

# IANA's IPv4 and IPv6 Special-Purpose Address Registries: what no public host has.
NOT_PUBLIC: Final = _networks(
    "10.0.0.0/8",
    "100.64.0.0/10",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "240.0.0.0/4",
    "2001::/23",  # protocol assignments, Teredo, benchmarking, ORCHID
    "2001:db8::/32",
    "2002::/16",  # 6to4
    "3fff::/20",
)
GLOBAL_UNICAST: Final = IPv6Network("2000::/3")  # all of IPv6 that is handed out to public hosts
NAT64_WELL_KNOWN: Final = IPv6Network("64:ff9b::/96")  # RFC 6052

_V4_COMPATIBLE: Final = IPv6Network("::/96")  # RFC 4291 section 2.5.5.1, deprecated
_V4_MAPPED: Final = IPv6Network("::ffff:0:0/96")
_V4_TRANSLATED: Final = IPv6Network("::ffff:0:0:0/96")  # RFC 2765
_NAT64_LOCAL: Final = IPv6Network("64:ff9b:1::/48")  # RFC 8215
_SIX_TO_FOUR: Final = IPv6Network("2002::/16")  # RFC 3056
_TEREDO: Final = IPv6Network("2001::/32")  # RFC 4380
_ISATAP_IDENTIFIERS: Final = frozenset({0x00005EFE, 0x02005EFE})  # RFC 5214 section 6.1
_LAST_V4_COMPATIBLE_NAMES: Final = 1  # `::` and `::1` are no embedded addresses
_ALL_ONES: Final = 0xFFFFFFFF


@frozen
class EgressRule:
    """What one connection may speak to beside public addresses over TLS."""

    allowed_networks: tuple[Network, ...] = ()
    allow_loopback: bool = False
    plain_http: bool = False

    def require_address(self, address: Address) -> None:
        """Return if the address may be spoken to, else raise `EgressRefusedError`."""
        kind = self._refusal(_canonical(address))
        if kind is not None:
            raise EgressRefusedError(
                f"the host has {kind} address, which may not be spoken to", address=address
            )

    def _refusal(self, address: Address) -> str | None:
        faces = (address, *embedded_addresses(address))
        for kind, networks in NEVER.items():
            if any(_within(face, networks) for face in faces):
                return kind
        if _within(address, LOOPBACK):
            return None if self.allow_loopback else "a loopback"
        if any(_within(face, LOOPBACK) for face in faces):
            return "a loopback"
        if _within(address, self.allowed_networks) or all(map(_is_public, faces)):
            return None
        return "a private or reserved"


def embedded_addresses(address: Address) -> Iterator[IPv4Address]:
    """Give every IPv4 address that some gateway or stack may read out of an IPv6 address."""
    if isinstance(address, IPv4Address):
        return
    bits = int(address)
    last = bits & _ALL_ONES
    if address in _V4_COMPATIBLE and bits > _LAST_V4_COMPATIBLE_NAMES:
        yield IPv4Address(last)
    if any(address in network for network in (_V4_MAPPED, _V4_TRANSLATED, NAT64_WELL_KNOWN)):
        yield IPv4Address(last)
    if address in _NAT64_LOCAL:
        yield from _rfc6052_addresses(bits)
    if address in _SIX_TO_FOUR:
        yield IPv4Address(bits >> 80 & _ALL_ONES)
    if address in _TEREDO:
        yield IPv4Address(bits >> 64 & _ALL_ONES)  # the server
        yield IPv4Address(last ^ _ALL_ONES)  # the client, obfuscated
    if bits >> 32 & _ALL_ONES in _ISATAP_IDENTIFIERS:
        yield IPv4Address(last)


def _rfc6052_addresses(bits: int) -> Iterator[IPv4Address]:
    """Give the IPv4 address at each place where RFC 6052 section 2.2 puts it."""
    # Bits 64 to 71 are left out of all of them.
    without_u = bits >> 64 << 56 | bits & (1 << 56) - 1  # 120 bits
    for prefix_length in (48, 56, 64):
        yield IPv4Address(without_u >> (120 - prefix_length - 32) & _ALL_ONES)
    yield IPv4Address(bits & _ALL_ONES)


def _canonical(address: Address) -> Address:
    """Return what the kernel connects to: a mapped address is its IPv4 one, a scope is dropped."""
    if isinstance(address, IPv4Address):
        return address
    return address.ipv4_mapped or IPv6Address(int(address))


def _is_public(address: Address) -> bool:
    if _within(address, NOT_PUBLIC):
        return False
    if isinstance(address, IPv4Address):
        return True  # NEVER and LOOPBACK were tried before
    return address in GLOBAL_UNICAST or address in NAT64_WELL_KNOWN


def _within(address: Address, networks: tuple[Network, ...]) -> bool:
    return any(
        isinstance(network, IPv4Network) == isinstance(address, IPv4Address) and address in network
        for network in networks
    )
