"""A listening socket is given up without breaking connections that were made already."""

import socket
from collections.abc import Iterator

import pytest

from shared.accept_loop import ACCEPTS_AT_ONCE, AcceptLoop

WAITING = 3 * ACCEPTS_AT_ONCE


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    """Connections wait in its queue."""
    with socket.create_server(("127.0.0.1", 0), backlog=WAITING) as made:
        made.setblocking(False)  # noqa: FBT003 - the standard library's own signature
        yield made


@pytest.mark.parametrize("places", [WAITING, ACCEPTS_AT_ONCE])
async def test_whoever_has_connected_is_taken_at_the_end(
    listening: socket.socket, places: int
) -> None:
    """As many as there is place for; the rest meets a reset when the socket is closed."""
    taken: list[socket.socket] = []
    accepting = AcceptLoop(
        listening, lambda accepted, _: taken.append(accepted), lambda: len(taken) < places
    )
    clients = [socket.create_connection(listening.getsockname()) for _ in range(WAITING)]
    accepting.start()
    accepting.finish()
    listening.close()
    assert len(taken) == places
    for each in taken:
        each.setblocking(True)  # noqa: FBT003 - as above
        each.sendall(b"hello")
    heard = [each.recv(5) for each in clients[:places]]
    assert heard == [b"hello"] * places
    for each in clients[places:]:
        with pytest.raises(ConnectionResetError):
            each.recv(5)
    for each in [*taken, *clients]:
        each.close()
