"""The simulators' own promise: they leave nothing to the test that comes next."""

import asyncio
import contextlib
import socket

from tests.support.eventually import eventually
from tests.support.simulators.registry import RegistrySimulator


async def test_a_connection_that_comes_in_the_moment_of_the_close_is_ended() -> None:
    """Its task was cancelled before its first step, and its socket stayed open."""
    async with RegistrySimulator() as registry:
        client = socket.create_connection(("127.0.0.1", registry.port))
        while not registry.open_connections:  # noqa: ASYNC110 - the very next step is the close
            await asyncio.sleep(0)
    client.setblocking(False)  # noqa: FBT003 - the standard library's own signature
    with contextlib.closing(client):
        await eventually(lambda: is_ended(client))


def is_ended(client: socket.socket) -> bool:
    """Tell whether the server has closed a connection, or reset it."""
    try:
        return client.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True
