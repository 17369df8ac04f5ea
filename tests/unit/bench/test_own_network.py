"""A run measures on a loopback of its own, or says that it could not leave the machine's."""

import subprocess
import sys

import pytest

from tests.bench.own_network import available, congestion_control

ENTER = """
import socket
from tests.bench import own_network

with socket.create_server(("127.0.0.1", 0)) as machines:
    before = machines.getsockname()
    try:
        own_network.enter({name!r})
    except own_network.NoOwnNetworkError:
        socket.create_connection(before).close()
        print("stayed", own_network.congestion_control())
    else:
        with socket.create_server(("127.0.0.1", 0)) as own:
            socket.create_connection(own.getsockname()).close()
        try:
            socket.create_connection(before).close()
        except ConnectionRefusedError:
            print("left", own_network.congestion_control())
"""


@pytest.mark.parametrize("name", available())
def test_everybody_there_has_the_congestion_control_that_was_asked_for(name: str) -> None:
    """And nobody else: the machine's network keeps its own, and cannot be reached from there."""
    before = congestion_control()
    command = [sys.executable, "-c", ENTER.format(name=name)]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ended.stdout in {f"left {name}\n", f"stayed {before}\n"}
    assert congestion_control() == before
