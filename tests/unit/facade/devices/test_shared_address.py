"""Whether somebody else listens on the same address: told by the kernel's own table."""

import socket

import pytest

from facade.devices.shared_address import another_listens, has_another

HEADING = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt uid ...\n"
ROW = "   0: {address} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000 0 0 {inode} 1\n"
IPV6 = "00000000000000000000000001000000:20FB"
OURS, OTHER, ELSEWHERE = 7001, 7002, 7003


def row(inode: int, address: str = "0100007F:20FB", state: str = "0A") -> str:
    """Return a socket's row."""
    return ROW.format(address=address, state=state, inode=inode)


@pytest.mark.parametrize(
    "rows, expected",
    [
        ([], False),
        ([row(OURS)], False),
        ([row(OURS), row(OTHER)], True),
        ([row(OTHER), row(OURS)], True),
        ([row(OURS), row(ELSEWHERE, "0100007F:20FC")], False),
        ([row(OURS), row(ELSEWHERE, "0200007F:20FB")], False),
        ([row(OTHER)], False),
        ([row(OURS, IPV6), row(OTHER, IPV6)], True),
        ([row(OURS, IPV6), row(OTHER, "0" * 32 + ":20FB")], False),
        # An accepted connection has the same address, and does not listen.
        ([row(OURS), row(OTHER, state="01")], False),
    ],
)
def test_another_listener_at_the_same_address_is_found(rows: list[str], expected: bool) -> None:  # noqa: FBT001 - what is expected
    """By the address of our own row, whatever its place."""
    assert has_another([HEADING, *rows], OURS) is expected


def test_a_table_is_not_read_beyond_its_listeners() -> None:
    """It has a row for each connection of the machine."""
    rows = iter([HEADING, row(OURS), row(OTHER, state="01"), row(OTHER)])
    assert not has_another(rows, OURS)
    assert len([*rows]) == 1


def test_the_kernel_tells() -> None:
    """Of real sockets; a closed one shares nothing."""
    with socket.create_server(("127.0.0.1", 0), reuse_port=True) as first:
        assert not another_listens(first)
        with socket.create_server(first.getsockname(), reuse_port=True) as second:
            assert another_listens(first)
            assert another_listens(second)
        assert not another_listens(first)
    assert not another_listens(first)
