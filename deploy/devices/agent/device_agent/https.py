"""One request over TLS at a time: no proxy, no redirect, no cookie, and a pace for every answer.

`http.client` does little on its own, and that is why it is here: it follows nothing, and reads what
it is told to read.
"""

import http.client
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlsplit

from attrs import field, frozen

from device_agent.config import Limits, Peer
from device_agent.errors import ConfigurationError, LinkError, RefusedError, in_one_line
from device_agent.pace import Pace

READ_BYTES: Final = 256 * 1024  # the facade's own piece
MAX_REFUSAL_BYTES: Final = 4096  # of an error's body: a line of it is shown


class PacedSocket(ssl.SSLSocket):
    """A TLS socket whose reads take no longer than its pace allows.

    `ssl` counts a timeout over the whole of a read, and of the handshake, not over each packet.
    """

    pace: Pace | None = None

    def recv_into(self, buffer: Any, nbytes: int | None = None, flags: int = 0) -> int:
        """Read; `http.client` reads by nothing else."""
        if self.pace is None:
            return super().recv_into(buffer, nbytes, flags)
        self.settimeout(self.pace.remaining())
        try:
            count = super().recv_into(buffer, nbytes, flags)
        except TimeoutError as error:
            raise self.pace.slow() from error
        self.pace.came(count)
        return count


@frozen
class Answer:
    """The head of an answer, and its body as it comes."""

    status: int
    headers: Mapping[str, str]  # names in lower case
    _response: http.client.HTTPResponse = field(repr=False)

    def pieces(self) -> Iterator[bytes]:
        """Give the body, as fast as it comes. An end that came too early is an end."""
        while piece := self._response.read1(READ_BYTES):
            yield piece

    @property
    def length(self) -> int | None:
        """What Content-Length says; None if it says nothing that can be read."""
        text = self.headers.get("content-length", "")
        return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else None  # noqa: PLR2004 digits of 2**63

    def refusal(self) -> str:
        """Return status and words of an answer that is no content, in one line."""
        words = self._response.read1(MAX_REFUSAL_BYTES).decode(errors="replace")
        return in_one_line(f"{self.status} {words}")


@frozen
class Client:
    """Asks one peer."""

    peer: Peer
    limits: Limits
    _tls: ssl.SSLContext = field(repr=False)

    @classmethod
    def of(cls, peer: Peer, limits: Limits) -> "Client":
        """Read the peer's CA and the device's certificate; ConfigurationError if they are none."""
        try:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            context.load_verify_locations(peer.ca)
            if peer.certificate is not None:
                context.load_cert_chain(peer.certificate, peer.key, password=_no_password)
        except (OSError, ValueError) as error:
            files = ", ".join(str(each) for each in (peer.ca, peer.certificate, peer.key) if each)
            raise ConfigurationError(f"{files}: {in_one_line(error)}") from error
        context.sslsocket_class = PacedSocket
        return cls(peer, limits, context)

    @contextmanager
    def get(self, path: str, headers: Mapping[str, str]) -> Iterator[Answer]:
        """Ask for a path below the peer's address. A redirect is refused, a broken link is said."""
        where = urlsplit(self.peer.url)
        host, port = where.hostname or "", where.port or 443
        connection = http.client.HTTPSConnection(
            host, port, context=self._tls, timeout=self.limits.head_seconds
        )
        try:
            yield self._ask(connection, where.path.rstrip("/") + path, headers)
        except (OSError, http.client.HTTPException) as error:
            raise LinkError(
                f"{host}:{port}: {in_one_line(error) or type(error).__name__}"
            ) from error
        finally:
            connection.close()

    def _ask(
        self, connection: http.client.HTTPSConnection, path: str, headers: Mapping[str, str]
    ) -> Answer:
        connection.connect()
        pace = Pace.begin(self.limits)
        if isinstance(connection.sock, PacedSocket):
            connection.sock.pace = pace
        sent = {"Accept-Encoding": "identity", "User-Agent": "device-agent"}
        connection.request("GET", path, headers={**sent, **headers})
        response = connection.getresponse()
        pace.body_begins()
        if HTTPStatus.MULTIPLE_CHOICES <= response.status < HTTPStatus.BAD_REQUEST:
            raise RefusedError(
                f"{connection.host}:{connection.port} answered {response.status}:"
                " this device follows no redirect"
            )
        names = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, names, response)


def _no_password() -> str:
    """Ask nobody at a terminal: a key with a password is of no use to a timer."""
    raise ValueError("the key has a password")
