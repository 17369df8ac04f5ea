"""A connected registry's host, in the one form that is stored, signed, compared and spoken to.

aiohttp connects for `①②⑦.0.0.1`, `0.0.0.0` and `user:password@host` too
(docs/decisions/libraries.md), so a host is canonical ASCII before anything else sees it. How people
write hosts is the matter of `upstream.hosts`.
"""

import re
from ipaddress import AddressValueError, IPv4Address
from typing import Final, Self

from attrs import frozen

from shared.outside_bytes import Party, reads_bytes_of
from shared.safe_message import SafeMessage

MAX_HOST_NAME_CHARACTERS: Final = 253  # RFC 1035 section 2.3.4, without the final dot
MAX_PORT: Final = 65535
DEFAULT_TLS_PORT: Final = 443

_LABEL: Final = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_NAME: Final = rf"(?P<name>{_LABEL}(?:\.{_LABEL})*)"
_PORT: Final = r"(?P<port>[1-9][0-9]{0,4})"
_HOST: Final = re.compile(rf"{_NAME}(?::{_PORT})?", re.ASCII)
_PATH_FORM: Final = re.compile(rf"{_NAME}(?:_{_PORT})?", re.ASCII)
# If the last label is a number in any notation of inet_aton, the text is an address and no name
# (WHATWG URL, "ends in a number").
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*", re.ASCII)


class InvalidRegistryHostError(SafeMessage, ValueError):
    """The text is not a canonical `host[:port]`."""


@frozen(cache_hash=True)
class RegistryHost:
    """`name[:port]`: a lower-case DNS name or a dotted IPv4 address; never `:443`, never IPv6."""

    name: str
    port: int | None = None

    @classmethod
    @reads_bytes_of(Party.OPERATOR)
    def parse(cls, text: str) -> Self:
        """Return the host of `name[:port]`; raise `InvalidRegistryHostError` for anything else."""
        return cls._from_match(_HOST.fullmatch(text))

    @classmethod
    @reads_bytes_of(Party.DEVICE)
    def parse_path_form(cls, text: str) -> Self:
        """Return the host of `name[_port]`, as it stands in a device's path."""
        return cls._from_match(_PATH_FORM.fullmatch(text))

    @classmethod
    def _from_match(cls, match: re.Match[str] | None) -> Self:
        if match is None:
            raise InvalidRegistryHostError(
                "a registry host is a name of a-z, 0-9, '-' and '.', or an IPv4 address,"
                " with an optional port"
            )
        name, port = match["name"], int(match["port"]) if match["port"] else None
        if len(name) > MAX_HOST_NAME_CHARACTERS:
            raise InvalidRegistryHostError(
                f"a host name has at most {MAX_HOST_NAME_CHARACTERS} characters"
            )
        if port is not None and (port > MAX_PORT or port == DEFAULT_TLS_PORT):
            raise InvalidRegistryHostError(
                f"a port is 1 to {MAX_PORT}, and {DEFAULT_TLS_PORT} is left out"
            )
        if _NUMBER.fullmatch(name.rpartition(".")[2]):
            _require_dotted_address(name)
        return cls(name, port)

    @property
    def address(self) -> IPv4Address | None:
        """The address, if the host is written as one."""
        try:
            return IPv4Address(self.name)
        except AddressValueError:
            return None

    @property
    def path_form(self) -> str:
        """`name[_port]`: `:` cannot stand in a path component of an image reference."""
        return self.name if self.port is None else f"{self.name}_{self.port}"

    def __str__(self) -> str:
        """Return the canonical `name[:port]`."""
        return self.name if self.port is None else f"{self.name}:{self.port}"


def _require_dotted_address(name: str) -> None:
    try:
        IPv4Address(name)
    except AddressValueError as error:
        raise InvalidRegistryHostError(
            "a host that ends in a number is an IPv4 address of four decimal parts"
        ) from error
