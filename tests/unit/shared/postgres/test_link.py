"""What the kernel is told of a link."""

import socket

import pytest

from shared.postgres.connection_parameters import Keepalive
from shared.postgres.link import socket_options

ON = (socket.SOL_SOCKET, socket.SO_KEEPALIVE)


@pytest.mark.parametrize(
    "keepalive, options",
    [
        (Keepalive(), {ON: 1}),
        (Keepalive(is_on=False, idle_seconds=30), {ON: 0}),
        (
            Keepalive(idle_seconds=30, interval_seconds=10, count=3),
            {
                ON: 1,
                (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE): 30,
                (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL): 10,
                (socket.IPPROTO_TCP, socket.TCP_KEEPCNT): 3,
            },
        ),
        (
            Keepalive(is_on=False, user_timeout_milliseconds=5000),
            {ON: 0, (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT): 5000},
        ),
    ],
)
def test_what_is_left_to_the_system_is_not_set(
    keepalive: Keepalive, options: dict[tuple[int, int], int]
) -> None:
    """0 is the system's own value, as libpq has it."""
    assert socket_options(keepalive) == options
