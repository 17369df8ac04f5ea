"""Somebody who reaches the operations address, while a device asks for a warm manifest."""

from typing import Final

import pytest

from shared.outside_bytes import Party
from tests.adversary.facade.attacked import AttackedFacade
from tests.adversary.guards import bounds
from tests.bench.process_cost import open_sockets
from tests.support.held_sockets import held_sockets

pytestmark = pytest.mark.attack

HALF_REQUESTS: Final = 900
MOST_SOCKETS: Final = 200  # the operations address's 64, and all else of the facade


@bounds("facade.serving.operations_connections.MOST_CONNECTIONS")
async def test_half_requests_at_the_operations_address(attacked: AttackedFacade) -> None:
    """As many as there were descriptors, and then no device was let in. Probes are answered."""
    facade, most = attacked.facade, 0
    async with attacked.watched("half requests at operations", Party.STRANGER) as attack:
        while attack.goes_on:
            async with held_sockets(facade.operations_port, HALF_REQUESTS):
                assert facade.is_ready()
                most = max(most, open_sockets([facade.child.pid]))
    assert most < MOST_SOCKETS
