"""An operator whose bodies say one thing twice, while another one lists connections."""

import asyncio

import pytest

from shared.outside_bytes import Party
from tests.adversary.bounds import OPERATOR_P99_SECONDS
from tests.adversary.watch import Target, Watch
from tests.support.control_plane import ControlPlane

pytestmark = pytest.mark.attack
AT_ONCE = 12
TWICE = b'"host":"ghcr.io",'
MANY = 60 * 1024 // len(TWICE)


@pytest.mark.parametrize("times", [2, MANY])
async def test_a_field_that_is_given_many_times(
    watch: Watch, target: Target, own_plane: ControlPlane, times: int
) -> None:
    """W15: who reviews a body may read the first one, and the last one was taken."""
    body = b"{" + TWICE * (times - 1) + b'"host":"evil.example","provider":"static"}'
    alice, statuses = own_plane.client("alice"), set[int]()
    async with watch(
        "W15",
        f"a field {times:,} times",
        Party.OPERATOR,
        target,
        victim_p99_seconds=OPERATOR_P99_SECONDS,
    ) as attack:
        while attack.goes_on:
            calls = (
                alice.call("POST", "/v1/connections?check=false", content=body)
                for _ in range(AT_ONCE)
            )
            statuses |= {answer.status for answer in await asyncio.gather(*calls)}
    assert statuses <= {422, 429}
    hosts = (await alice.call("GET", "/v1/connections")).body
    assert "evil.example" not in str(hosts)
