"""Somebody without a certificate, who leaves handshakes or is refused them: others are let in."""

import asyncio
import sys

import pytest

from shared.outside_bytes import Party
from tests.adversary.watch import Target, Watch
from tests.support.facade_process import Facade

pytestmark = pytest.mark.attack
PER_SECOND = 300
PAUSE_SECONDS = 0.2
LET_IN_SECONDS = 10.0  # until one is; it takes 3 s until an address is known to stall
LET_IN = 10  # at the least, in the seconds of an attack
STRANGERS = 32  # connections that are made anew for ever


@pytest.mark.parametrize("addresses", [1, 50])
async def test_handshakes_that_are_left(
    watch: Watch, target: Target, facade: Facade, addresses: int
) -> None:
    """The kernel's queue is one for all: while nobody is accepted it is closed to everybody."""
    name = f"{PER_SECOND} handshakes a second are left, by {addresses} addresses"
    stranger = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.adversary.stalls", str(facade.port)),
        *("--per-second", str(PER_SECOND), "--addresses", str(addresses)),
    )
    let_in = 0
    try:
        async with watch("G4", name, Party.STRANGER, target) as attack:
            while attack.goes_on:
                async with asyncio.timeout(LET_IN_SECONDS):
                    assert (await facade.device().get("/v2/")).status == 200
                let_in += 1
                await asyncio.sleep(PAUSE_SECONDS)
    finally:
        stranger.kill()
        await stranger.wait()
    assert let_in >= LET_IN


@pytest.mark.parametrize("addresses", [1, 8])
async def test_handshakes_that_are_refused_again_and_again(
    watch: Watch, target: Target, facade: Facade, addresses: int
) -> None:
    """Each cost two milliseconds of a core, as often as a stranger liked."""
    name = f"strangers connect as fast as they can, from {addresses} addresses"
    strangers = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.adversary.reconnects", str(facade.port)),
        *("--connections", str(STRANGERS), "--addresses", str(addresses)),
    )
    try:
        async with watch("G4", name, Party.STRANGER, target) as attack:
            await attack.to_its_end()
    finally:
        strangers.kill()
        await strangers.wait()
    counted = facade.operations("/metrics")[1]
    assert 'facade_device_handshakes_refused_total{reason="too_often"}' in counted
    assert (await facade.device().get("/v2/")).status == 200
