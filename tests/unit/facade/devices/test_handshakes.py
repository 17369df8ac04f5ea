"""Handshakes that do not end give way: of whoever has most, the oldest."""

import asyncio

import pytest

from facade.devices.device_listener import Handshakes, site_of


async def stalled(name: str, ended: list[str]) -> None:
    """Wait until given up."""
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        ended.append(name)


async def test_the_oldest_of_the_site_with_most_gives_way() -> None:
    """Whoever opens thousands of them pushes out its own."""
    handshakes, ended = Handshakes(4), list[str]()
    handshakes.begin(stalled("good", ended), "192.0.2.1")
    for number in range(6):
        handshakes.begin(stalled(f"bad {number}", ended), "192.0.2.2")
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert ended == ["bad 0", "bad 1", "bad 2"]
    assert handshakes.count == 4
    handshakes.give_up_all()
    await asyncio.sleep(0.01)
    assert len(ended) == 7
    assert handshakes.count == 0


async def test_a_handshake_that_ends_makes_room() -> None:
    """Most end within milliseconds."""
    handshakes = Handshakes(1)
    for _ in range(5):
        handshakes.begin(asyncio.sleep(0), "192.0.2.1")
        await asyncio.sleep(0.001)
    assert handshakes.count == 0


@pytest.mark.parametrize(
    "address, site",
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("fe80::1%eth0", "fe80::"),
    ],
)
def test_a_site_is_an_address_or_an_ipv6_network(address: str, site: str) -> None:
    """One machine has all the addresses of its network."""
    assert site_of(address) == site
