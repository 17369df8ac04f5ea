"""Somebody without a certificate, who leaves handshakes or is refused them: others are let in."""

import asyncio

import pytest

from shared.outside_bytes import Party
from tests.adversary.bounds import IGNORES_WAITING, patient
from tests.adversary.facade.attacked import AttackedFacade
from tests.adversary.guards import bounds
from tests.adversary.programs import running
from tests.support.eventually import eventually

pytestmark = pytest.mark.attack
PER_SECOND = 300
PAUSE_SECONDS = 0.2
LET_IN_SECONDS = patient(10.0)  # until one is; it takes 3 s until an address is known to stall
LET_IN = 1 if IGNORES_WAITING else 10  # at the least, in the seconds of an attack
TOO_OFTEN = 'facade_device_handshakes_refused_total{reason="too_often"} '
MET_SECONDS = patient(60.0)  # until 8 addresses have had a thousand handshakes each
STRANGERS = 32  # connections that are made anew for ever


@bounds(
    "facade.devices.handshake.STALL_SECONDS",
    "facade.devices.tls.HANDSHAKE_TIMEOUT_SECONDS",
    "facade.devices.handshake_time.MOST_HANDSHAKE_SECONDS",
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


def too_often(attacked: AttackedFacade) -> float:
    """Return how many were refused unread, because their address had been strange too often."""
    told = attacked.facade.operations("/metrics")[1].splitlines()
    (found,) = [each for each in told if each.startswith(TOO_OFTEN)]
    return float(found.removeprefix(TOO_OFTEN))


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
        await eventually(lambda: too_often(attacked) > 0, MET_SECONDS)
    assert (await attacked.attacker().get("/v2/")).status == 200
