"""An operator whose bodies say one thing twice, while another one lists connections."""

import asyncio

import pytest

from shared.outside_bytes import Party
from tests.adversary.control_plane.attacked import AttackedPlane
from tests.adversary.guards import check

pytestmark = pytest.mark.attack
AT_ONCE = 12
TWICE = b'"host":"ghcr.io",'
MANY = 60 * 1024 // len(TWICE)


@check(
    "control_plane/reading/field_reader.py",
    "    if repeated:\n",
    "    if False and repeated:\n",
)
@pytest.mark.parametrize("times", [2, MANY])
async def test_a_field_that_is_given_many_times(attacked: AttackedPlane, times: int) -> None:
    """Who reviews a body may read the first one, and the last one was taken."""
    body = b"{" + TWICE * (times - 1) + b'"host":"evil.example","provider":"static"}'
    alice, statuses = attacked.plane.client("alice"), set[int]()
    async with attacked.watched(f"a field {times:,} times", Party.OPERATOR) as attack:
        while attack.goes_on:
            calls = (
                alice.call("POST", "/v1/connections?check=false", content=body)
                for _ in range(AT_ONCE)
            )
            statuses |= {answer.status for answer in await asyncio.gather(*calls)}
    assert statuses <= {422, 429}
    hosts = (await alice.call("GET", "/v1/connections")).body
    assert "evil.example" not in str(hosts)
