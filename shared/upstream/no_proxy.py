"""What is reached directly and not through the proxy: hosts, suffixes, networks. Pure.

An entry means what it means to Go's `net/http` (and so to containerd, skopeo and Kubernetes):

- `corp.example`: this host, and every host below it;
- `.corp.example` or `*.corp.example`: every host below it, and not this one;
- `10.0.0.7`, `[fd00::7]`, `10.0.0.0/8`, `fd00::/8`: addresses;
- `*`: everything.

A host, a suffix or an address may end in `:port`, and then means that port alone. Unlike in Go, an
address also means every name that leads to it, because we resolve names ourselves, unless the proxy
does.
"""

import re
from collections.abc import Iterable
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Annotated, Final, Self

from attrs import frozen

from shared.canonical_json import Network
from shared.setting_types import MAX_HOST_NAME_CHARACTERS, MAX_PORT, Form, InvalidSettingError
from shared.upstream.egress import Address

EVERYTHING: Final = "*"


_SEPARATORS: Final = re.compile(r"[\s,]+")
# Underscores: names of buckets have them, and a redirect may lead to one.
_LABEL: Final = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_PORT: Final = r"(?::(?P<port>[1-9][0-9]{0,4}))?"
_NAME: Final = re.compile(
    rf"(?P<below>\*?\.)?(?P<name>{_LABEL}(?:\.{_LABEL})*)\.?{_PORT}", re.ASCII | re.IGNORECASE
)
_ADDRESS: Final = re.compile(
    rf"(?:\[(?P<six>[0-9a-f:.]{{2,45}})\]|(?P<four>[0-9.]{{7,15}})){_PORT}",
    re.ASCII | re.IGNORECASE,
)
_MAPPED: Final = IPv6Network("::ffff:0:0/96")
_LAST_32: Final = 0xFFFFFFFF
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*", re.ASCII)  # such a last label means an address


@frozen
class NamedHosts:
    """A host by its name, those below it, or both."""

    name: str  # lower case, without a final dot
    below_alone: bool
    port: int | None = None

    def covers(self, host: str, port: int) -> bool:
        """Whether a host, named as we compare it, is one of these."""
        if self.port not in (None, port):
            return False
        return host.endswith(f".{self.name}") or (host == self.name and not self.below_alone)


@frozen
class Addresses:
    """The addresses of a network, or one address."""

    network: Network
    port: int | None = None

    def covers(self, address: Address, port: int) -> bool:
        """Whether an address is one of these."""
        if self.port not in (None, port) or address.version != self.network.version:
            return False
        return address in self.network


@frozen
class NoProxy:
    """A list of what is reached directly; an empty one leaves everything to the proxy."""

    everything: bool = False
    named: tuple[NamedHosts, ...] = ()
    addresses: tuple[Addresses, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the list; commas or spaces separate its entries. Raise `InvalidSettingError`."""
        entries = [entry for entry in _SEPARATORS.split(text) if entry]
        if not entries:
            raise InvalidSettingError(f"expected {EXPECTED}")
        read = [_entry(entry, place) for place, entry in enumerate(entries, 1)]
        return cls(
            everything=EVERYTHING in read,
            named=tuple(each for each in read if isinstance(each, NamedHosts)),
            addresses=tuple(each for each in read if isinstance(each, Addresses)),
        )

    def covers_name(self, host: str, port: int) -> bool:
        """Whether a host is reached directly whatever its addresses are."""
        literal = _literal(host)
        if literal is not None:
            return self.covers_address(literal, port)
        name = host.lower().removesuffix(".")
        return self.everything or any(each.covers(name, port) for each in self.named)

    def covers_address(self, address: Address, port: int) -> bool:
        """Whether an address is reached directly, whatever host it belongs to."""
        plain = _unmapped(address)
        return self.everything or any(each.covers(plain, port) for each in self.addresses)

    def covers_all(self, host: str, port: int, addresses: Iterable[Address]) -> bool:
        """Whether a host with these addresses is reached directly at each of them."""
        if self.covers_name(host, port):
            return True
        found = list(addresses)
        return bool(found) and all(self.covers_address(each, port) for each in found)


def _entry(entry: str, place: int) -> NamedHosts | Addresses | str:
    if entry == EVERYTHING:
        return EVERYTHING
    try:
        return _addresses(entry) or _named_hosts(entry)
    except ValueError:
        # It says which entry, but not its text: somebody may have given a URL with a password in
        # it.
        raise InvalidSettingError(f"entry {place} is none of {EXPECTED}") from None


def _addresses(entry: str) -> Addresses | None:
    """Return the addresses of an entry, None for one that may be a name; raise `ValueError`."""
    if "%" in entry:
        raise ValueError  # a zone is local to this machine; no name leads to one
    if "/" in entry:
        return Addresses(_unmapped_network(ip_network(entry, strict=False)))  # as Go: host bits
    if entry.count(":") > 1 and not entry.startswith("["):
        return Addresses(ip_network(_unmapped(IPv6Address(entry))))
    match = _ADDRESS.fullmatch(entry)
    if match is None:
        return None
    address = IPv6Address(match["six"]) if match["six"] else IPv4Address(match["four"])
    return Addresses(ip_network(_unmapped(address)), _port(match["port"]))


def _named_hosts(entry: str) -> NamedHosts:
    match = _NAME.fullmatch(entry)
    name = match["name"].lower() if match else ""
    is_number = _NUMBER.fullmatch(name.rpartition(".")[2]) is not None
    if match is None or is_number or len(name) > MAX_HOST_NAME_CHARACTERS:
        raise ValueError
    return NamedHosts(name, match["below"] is not None, _port(match["port"]))


def _port(text: str | None) -> int | None:
    port = int(text) if text else None
    if port is not None and port > MAX_PORT:
        raise ValueError
    return port


def _literal(host: str) -> Address | None:
    try:
        return ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        return None


def _unmapped(address: Address) -> Address:
    """Return what the kernel connects to: `::ffff:10.0.0.7` is 10.0.0.7."""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _unmapped_network(network: Network) -> Network:
    """Return the IPv4 network of one that holds mapped addresses alone."""
    if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED):
        return IPv4Network((int(network.network_address) & _LAST_32, network.prefixlen - 96))
    return network


EXPECTED: Final = (
    "the hosts, suffixes and networks that a list may name, such as"
    " registry.corp.example,.internal,10.0.0.0/8,[fd00::7]:5000"
)
NO_EXCEPTIONS: Final = NoProxy()
NoProxyList = Annotated[NoProxy, Form(NoProxy.parse, EXPECTED)]
