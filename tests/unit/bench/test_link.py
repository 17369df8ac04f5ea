"""The link between servers and their registry carries everything, and counts what it carries."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.bench.forwarder import LATE_SECONDS, Pace
from tests.bench.link import UNLIMITED, link

ANSWER = bytes(range(256)) * 4096  # a MiB
QUESTION = b"all of it"


@contextmanager
def answering() -> Iterator[int]:
    """Run a server that sends `ANSWER` to each question; give its port."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    accepted, _ = server.accept()
                except OSError:  # it was closed: the end of the test
                    return
                with accepted:
                    while accepted.recv(len(QUESTION)):
                        accepted.sendall(ANSWER)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


def ask(port: int) -> bytes:
    """Return what is answered."""
    received = b""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(QUESTION)
        while len(received) < len(ANSWER):
            received += connection.recv(65536)
    return received


@pytest.mark.parametrize("rate", [UNLIMITED, 64 * 1024 * 1024])
def test_a_link_carries_each_byte_and_counts_answers_alone(tmp_path: Path, rate: int) -> None:
    """The ratio to a blob's length is the upstream factor of a server."""
    with answering() as to_port, link(tmp_path / "link", to_port) as slow:
        slow.limit(per_connection=rate, in_all=rate)
        assert slow.carried_when_quiet() == 0
        assert ask(slow.port) == ANSWER
        assert slow.carried_when_quiet() == len(ANSWER)


def test_a_pace_gives_bytes_their_time() -> None:
    """What comes at once waits for what came before it; who comes later has waited already."""
    now = 100.0
    pace = Pace(lambda: now)
    first = pace.wait_for(1000, 1000)
    assert first == pytest.approx(1 - LATE_SECONDS)
    assert pace.wait_for(1000, 1000) == pytest.approx(first + 1)
    now += 2.5
    assert pace.wait_for(1000, 1000) == pytest.approx(first)


def test_without_a_limit_nothing_waits() -> None:
    """Zero is no rate."""
    assert Pace().wait_for(1 << 40, UNLIMITED) == 0
