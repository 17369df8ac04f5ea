"""An outbound proxy as its operator names it, and what is said to it and answered. Pure.

Neither a connection nor the process's environment (`HTTPS_PROXY`) can name a proxy. It is asked for
tunnels alone (RFC 9110 section 9.3.6), for plain HTTP too, so that it sees no request. Its operator
may list what is reached directly. Which addresses may be spoken to at all is decided elsewhere, and
before that.
"""

import re
from ipaddress import AddressValueError, IPv6Address
from typing import Annotated, Final, Self
from urllib.parse import quote, unquote

from attrs import field, frozen

from shared.outside_bytes import Party, reads_bytes_of
from shared.secret import Secret
from shared.setting_types import MAX_PORT, Form
from shared.upstream.basic_credential import BasicCredential
from shared.upstream.no_proxy import NO_EXCEPTIONS, NoProxy

MAX_ANSWER_BYTES: Final = 16 * 1024  # of a proxy's status line and headers; real ones have 100
END_OF_HEADERS: Final = b"\r\n\r\n"

_URL: Final = re.compile(
    r"http://(?:(?P<username>[^\s:@/?#\[\]]+)(?::(?P<password>[^\s@/?#\[\]]*))?@)?"
    r"(?P<host>[a-z0-9](?:[a-z0-9._-]{0,251}[a-z0-9])?|\[[0-9a-f:.]{2,45}\])"
    r":(?P<port>[1-9][0-9]{0,4})/?",
    re.ASCII | re.IGNORECASE,
)
_STATUS_LINE: Final = re.compile(rb"HTTP/1\.[01] (?P<status>[1-5][0-9]{2})(?: [^\r\n]*)?\r\n")


@frozen
class OutboundProxy:
    """Where the proxy is, what it is shown, and what it is asked for."""

    host: str  # a name or an address, IPv6 without brackets
    port: int
    credential: BasicCredential | None = field(default=None, repr=False)
    resolves_names: bool = False
    no_proxy: NoProxy = NO_EXCEPTIONS

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the proxy of `http://[user:password@]host:port`; raise `ValueError`.

        User name and password are percent-encoded UTF-8. There is no default port, because tools
        disagree about it.
        """
        match = _URL.fullmatch(text)
        if match is None or int(match["port"]) > MAX_PORT:
            raise ValueError("not the URL of a proxy")
        host = match["host"].lower()
        if host.startswith("["):
            host = _ipv6(host[1:-1])
        return cls(host, int(match["port"]), _credential(match["username"], match["password"]))

    @property
    def url(self) -> Secret:
        """The URL with the credential in it, for a library that takes nothing else."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        if self.credential is None:
            return Secret(f"http://{host}:{self.port}")
        username = quote(self.credential.username, safe="")
        password = quote(self.credential.token.reveal(), safe="")
        return Secret(f"http://{username}:{password}@{host}:{self.port}")

    def is_told_name(self, host: str, port: int) -> bool:
        """Whether the proxy is given the host's name, so that nobody here resolves it."""
        return self.resolves_names and not self.no_proxy.covers_name(host, port)

    def connect_request(self, authority: str) -> bytes:
        """Return the request for a tunnel to `host:port`."""
        lines = [f"CONNECT {authority} HTTP/1.1", f"Host: {authority}"]
        if self.credential is not None:
            value = self.credential.authorization().reveal_text()
            lines.append(f"Proxy-Authorization: {value}")
        return "\r\n".join([*lines, "", ""]).encode()


@reads_bytes_of(Party.REGISTRY)
def answered_status(head: bytes) -> int | None:
    """Return the status of a proxy's answer; None if it is no answer of HTTP/1."""
    match = _STATUS_LINE.match(head)
    return int(match["status"]) if match else None


def _ipv6(text: str) -> str:
    try:
        return str(IPv6Address(text))
    except AddressValueError:
        raise ValueError("not an IPv6 address") from None


def _credential(username: str | None, password: str | None) -> BasicCredential | None:
    if username is None:
        return None
    # `strict`: otherwise a byte that is no UTF-8 would become another password
    return BasicCredential(
        unquote(username, errors="strict"), Secret(unquote(password or "", errors="strict"))
    )


ProxyUrl = Annotated[
    OutboundProxy,
    Form(OutboundProxy.parse, "a URL such as http://[user:password@]proxy.example:3128"),
]
