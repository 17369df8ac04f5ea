"""Addresses of this machine that are not loopback: what a private registry has."""

import socket
from ipaddress import IPv4Address, ip_address

from attrs import frozen

from shared.upstream.egress import NOT_PUBLIC

UNROUTED = IPv4Address("192.0.2.1")  # RFC 5737: documentation, nobody's
DISCARD_PORT = 9  # nothing is sent: connecting a datagram socket only picks a route


@frozen
class PrivateAddress:
    """An address that is not public. `is_ours`: of this machine, so that one can listen there."""

    address: IPv4Address
    is_ours: bool


def private_address() -> PrivateAddress:
    """Return this machine's own address if it is private, else one where nobody answers."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((str(UNROUTED), DISCARD_PORT))
        except OSError:  # no network at all
            return PrivateAddress(UNROUTED, is_ours=False)
        own = ip_address(probe.getsockname()[0])
    if isinstance(own, IPv4Address) and any(own in network for network in NOT_PUBLIC):
        return PrivateAddress(own, is_ours=True)
    return PrivateAddress(UNROUTED, is_ours=False)
