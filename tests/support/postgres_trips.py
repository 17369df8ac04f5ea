"""How many round trips to PostgreSQL something takes: a relay that reads the client's messages.

    with counting_trips(postgres.port) as trips:
        url = postgres.url(...) with the port trips.port
        ...
        before = trips.count
        await something()
        assert trips.count - before == 1

A client of the wire protocol waits after each `Sync`, `Flush` and simple `Query`
(PostgreSQL's documentation, "Message Flow"), so those are counted. Without TLS.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from attrs import define, field

from tests.support.tcp_proxy import Filter, TcpProxy

AWAITED: Final = (b"S", b"H", b"Q")
SSL_REQUEST: Final = 80877103
_LENGTH_BYTES: Final = 4


@define(eq=False)
class Trips:
    """What passed a relay so far."""

    count: int = 0
    queries: list[str] = field(factory=list)  # texts that were parsed, or asked simply
    _lock: threading.Lock = field(factory=threading.Lock, init=False)
    port: int = 0
    delay_seconds: float = 0.0  # of whatever a client sends: how far away the server is

    def note(self, kind: bytes, body: bytes) -> None:
        """Take note of a message of a client."""
        with self._lock:
            self.count += kind in AWAITED
            if kind == b"Q":
                self.queries.append(body.rstrip(b"\0").decode())
            elif kind == b"P":
                self.queries.append(body.split(b"\0")[1].decode())


@contextmanager
def counting_trips(server_port: int) -> Iterator[Trips]:
    """Relay to a server's port, and count."""
    trips = Trips()
    with TcpProxy(server_port, make_client_filter=lambda: _reading(trips)) as relay:
        trips.port = relay.port
        yield trips


def _reading(trips: Trips) -> Filter:
    """Return a filter that passes everything on, and notes each whole message of one link."""
    pending = bytearray()
    is_started = False

    def pass_on(chunk: bytes) -> bytes:
        nonlocal is_started
        time.sleep(trips.delay_seconds)  # in the relay's own thread; all links wait
        pending.extend(chunk)
        while len(pending) > _LENGTH_BYTES:
            kind = bytes(pending[:1]) if is_started else b""  # the first message has no kind
            length = int.from_bytes(pending[len(kind) : len(kind) + _LENGTH_BYTES])
            if len(pending) < len(kind) + length:
                break
            body = bytes(pending[len(kind) + _LENGTH_BYTES : len(kind) + length])
            del pending[: len(kind) + length]
            if kind:
                trips.note(kind, body)
            else:
                is_started = int.from_bytes(body[:_LENGTH_BYTES]) != SSL_REQUEST
        return chunk

    return pass_on
