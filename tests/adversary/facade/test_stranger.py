"""Somebody without a certificate, who leaves handshakes or is refused them: others are let in."""

import asyncio

import pytest

from shared.outside_bytes import Party
from tests.adversary.facade.attacked import AttackedFacade
from tests.adversary.guards import bounds
from tests.adversary.programs import running

pytestmark = pytest.mark.attack
PER_SECOND = 300
PAUSE_SECONDS = 0.2
LET_IN_SECONDS = 10.0  # until one is; it takes 3 s until an address is known to stall
LET_IN = 10  # at the least, in the seconds of an attack
STRANGERS = 32  # connections that are made anew for ever


@bounds(
    "facade.devices.handshake.STALL_SECONDS",
    "facade.devices.tls.HANDSHAKE_TIMEOUT_SECONDS",
)
@pytest.mark.parametrize("addresses", [1, 50])
async def test_handshakes_that_are_left(attacked: AttackedFacade, addresses: int) -> None:
    """The kernel's queue is one for all: while nobody is accepted it is closed to everybody."""
    name = f"{PER_SECOND} handshakes a second are left, by {addresses} addresses"
    let_in = 0
    async with (
        running(
            "stalls",
            str(attacked.facade.port),
            *("--per-second", str(PER_SECOND), "--addresses", str(addresses)),
        ),
        attacked.watched(name, Party.STRANGER) as attack,
    ):
        while attack.goes_on:
            async with asyncio.timeout(LET_IN_SECONDS):
                assert (await attacked.attacker().get("/v2/")).status == 200
            let_in += 1
            await asyncio.sleep(PAUSE_SECONDS)
    assert let_in >= LET_IN


@bounds(
    "facade.devices.strange_addresses.STRANGE_AT_ONCE",
    "facade.devices.strange_addresses.STRANGE_PER_SECOND",
)
@pytest.mark.parametrize("addresses", [1, 8])
async def test_handshakes_that_are_refused_again_and_again(
    attacked: AttackedFacade, addresses: int
) -> None:
    """Each cost two milliseconds of a core, as often as a stranger liked."""
    name = f"strangers connect as fast as they can, from {addresses} addresses"
    async with (
        running(
            "reconnects",
            str(attacked.facade.port),
            *("--connections", str(STRANGERS), "--addresses", str(addresses)),
        ),
        attacked.watched(name, Party.STRANGER) as attack,
    ):
        await attack.to_its_end()
    counted = attacked.facade.operations("/metrics")[1]
    assert 'facade_device_handshakes_refused_total{reason="too_often"}' in counted
    assert (await attacked.attacker().get("/v2/")).status == 200
