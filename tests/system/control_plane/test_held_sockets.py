"""Somebody opens sockets and holds them: nobody else is kept out."""

from pathlib import Path

import pytest

from control_plane.http.open_connections import MAX_CONNECTIONS_OF_SITE
from tests.support.control_plane import ControlPlane
from tests.support.eventually import eventually
from tests.support.held_sockets import HALF, held, held_sockets

MANY = 300


def descriptors(plane: ControlPlane) -> int:
    """Return how many the process has open."""
    return len(list(Path(f"/proc/{plane.child.pid}/fd").iterdir()))


@pytest.mark.parametrize("said", [HALF, b""], ids=["half a request", "nothing"])
async def test_an_address_holds_its_share_of_sockets_and_no_more(
    plane: ControlPlane, said: bytes
) -> None:
    """And whoever comes from the same address meanwhile is answered."""
    async with held_sockets(plane.port, MANY, said) as readers:
        await eventually(lambda: held(readers) <= MAX_CONNECTIONS_OF_SITE)
        for _ in range(3):
            answer = await plane.client("alice").call("GET", "/v1/connections")
            assert answer.status == 200
        most = descriptors(plane)

    async def only_the_question_is_open() -> bool:
        metrics = (await plane.client("eve").call("GET", "/metrics")).body.decode()
        return "control_plane_open_connections 1.0" in metrics

    await eventually(only_the_question_is_open)
    await eventually(lambda: descriptors(plane) <= most - MAX_CONNECTIONS_OF_SITE // 2)
