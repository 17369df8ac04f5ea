"""Which parts of a connection a facade will refuse, approved or not: said when it is made. Pure.

The control plane does not know how facades are configured. It knows what they refuse by default,
what they always refuse, and the form of device identities if that was configured.
"""

from collections.abc import Iterator
from typing import Final

from control_plane.connections.scope_notes import scope_notes
from shared.canonical_json import Network
from shared.connection import ConnectionDocument
from shared.identity_form import IdentityForm
from shared.upstream.egress import LOOPBACK, NEVER, EgressRule
from shared.upstream.errors import EgressRefusedError

_ONLY_WITH_LOOPBACK: Final = "a facade speaks to them only where FACADE_ALLOW_LOOPBACK=true is set"


def connection_notes(document: ConnectionDocument, form: IdentityForm | None) -> list[str]:
    """Return a sentence for each part that a facade will refuse, or refuses by default."""
    networks = (note for network in document.allowed_networks for note in _of_network(network))
    fleets = (
        f"no certificate here ({form}) names the fleet {fleet}"
        for fleet in document.fleets
        if form is not None and not form.says_fleet(fleet)
    )
    return [*_of_host(document), *scope_notes(document), *networks, *fleets]


def _of_host(document: ConnectionDocument) -> Iterator[str]:
    host, address = document.host.name, document.host.address
    if host == "localhost" or host.endswith(".localhost"):  # RFC 6761 section 6.3
        yield f"{host} has loopback addresses: {_ONLY_WITH_LOOPBACK}"
    if address is None:
        return
    if any(address in network for network in LOOPBACK if network.version == address.version):
        yield f"{host} is a loopback address: {_ONLY_WITH_LOOPBACK}"
        return
    for kind, networks in NEVER.items():
        if any(address in network for network in networks if network.version == address.version):
            yield f"{host} is {kind} address: no facade ever speaks to it, whatever is allowed"
            return
    try:
        EgressRule(document.allowed_networks).require_address(address)
    except EgressRefusedError as error:
        yield f"{host}: {error.message}; a private one needs an allowed network that holds it"


def _of_network(network: Network) -> Iterator[str]:
    if any(_overlap(network, each) for each in LOOPBACK):
        yield f"{network} holds loopback addresses: {_ONLY_WITH_LOOPBACK}"
    for kind, networks in NEVER.items():
        if any(_is_within(network, each) for each in networks):
            what = kind.partition(" ")[2]
            yield f"{network} holds {what} addresses alone, which no facade speaks to"


def _overlap(one: Network, other: Network) -> bool:
    return one.version == other.version and one.overlaps(other)


def _is_within(network: Network, other: Network) -> bool:
    return (
        network.version == other.version
        and network.prefixlen >= other.prefixlen
        and network.overlaps(other)
    )
