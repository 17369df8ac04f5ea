"""A device that asks for more than its pace, until it is told so."""

import time
from collections.abc import Mapping
from typing import Final

import pytest

from shared.outside_bytes import Party
from tests.adversary.bounds import patient
from tests.adversary.facade.attacked import AttackedFacade
from tests.adversary.facade.test_device import NOWHERE, flood
from tests.adversary.guards import bounds
from tests.support.eventually import eventually

pytestmark = pytest.mark.attack

PER_SECOND: Final = 100  # a device; fewer than by default, so that any machine asks for more
BURST: Final = 60 * PER_SECOND  # after a rest
SLACK: Final = 64  # what is under way when it is counted
MET_SECONDS: Final = patient(60.0)


@pytest.fixture
def more_settings() -> Mapping[str, str]:
    """A facade that answers so many requests of a device."""
    return {"FACADE_DEVICE_REQUESTS_PER_SECOND": str(PER_SECOND)}


@bounds("facade.pulls.device_requests.BURST_SECONDS")
async def test_a_device_that_asks_for_more_than_its_pace(attacked: AttackedFacade) -> None:
    """20,000 a second took a core."""
    began = time.monotonic()

    def too_many() -> float:
        return attacked.metric("facade_refused_total", reason="pace")

    def answered() -> float:
        return attacked.metric("facade_refused_total") - too_many()

    def most() -> float:
        return BURST + PER_SECOND * (time.monotonic() - began) + SLACK

    async with (
        attacked.watched("32 connections, beyond the pace", Party.DEVICE) as attack,
        flood(attacked.attacker(), NOWHERE),
    ):
        await attack.to_its_end()
        await eventually(
            lambda: (
                attacked.metric("facade_refused_total", reason="pace") > 0 or answered() > most()
            ),
            MET_SECONDS,
        )
        assert answered() <= most()
