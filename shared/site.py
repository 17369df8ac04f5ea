"""The site of a network address: the part of it that belongs to one peer. Shares are by site."""

from ipaddress import IPv6Address, ip_network
from typing import Final

IPV6_SITE_BITS: Final = 64  # one machine has all of these addresses


def site_of(address: str) -> str:
    """Return whom an address belongs to: itself, or its IPv6 network."""
    if ":" not in address:
        return address
    six = IPv6Address(address.partition("%")[0])
    if six.ipv4_mapped is not None:
        return str(six.ipv4_mapped)
    return str(ip_network((six, IPV6_SITE_BITS), strict=False).network_address)
