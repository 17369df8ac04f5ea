"""A stranger at the admin API, while an operator lists connections."""

import pytest

from shared.outside_bytes import Party
from tests.adversary.bounds import OPERATOR_P99_SECONDS
from tests.adversary.watch import Target, Watch
from tests.support.control_plane import ControlPlane
from tests.support.held_sockets import held_sockets
from tests.support.stranger import invented_logins

pytestmark = pytest.mark.attack
LOGINS_AT_A_TIME = 200
HALF_REQUESTS = 900
MAX_LOG_BYTES = 4 * 1024 * 1024  # two requests in three had a line of 250 bytes before


@pytest.mark.attack
async def test_tokens_of_invented_names(
    watch: Watch, target: Target, own_plane: ControlPlane
) -> None:
    """V13: each name was remembered, and each request had two lines."""
    async with watch(
        "V13",
        "tokens of invented names",
        Party.STRANGER,
        target,
        victim_p99_seconds=OPERATOR_P99_SECONDS,
    ) as attack:
        while attack.goes_on:
            await invented_logins(own_plane.url, LOGINS_AT_A_TIME)
    assert own_plane.log.stat().st_size < MAX_LOG_BYTES


@pytest.mark.attack
async def test_half_requests(watch: Watch, target: Target, own_plane: ControlPlane) -> None:
    """W8: nine hundred of them kept the sockets."""
    async with watch(
        "W8",
        "half requests on 900 sockets",
        Party.STRANGER,
        target,
        victim_p99_seconds=OPERATOR_P99_SECONDS,
    ) as attack:
        while attack.goes_on:
            async with held_sockets(own_plane.port, HALF_REQUESTS):
                answer = await own_plane.client("alice").call("GET", "/v1/connections")
                assert answer.status == 200
