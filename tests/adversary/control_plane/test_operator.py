"""An operator who does their worst, while another one lists connections."""

import asyncio

import pytest

from shared.outside_bytes import Party
from tests.adversary.bounds import OPERATOR_P99_SECONDS
from tests.adversary.watch import Target, Watch
from tests.support.control_plane import ControlPlane
from tests.support.simulators.google import ServiceAccount

pytestmark = pytest.mark.attack
KEYS_AT_ONCE = 12
HOST = "europe-docker.pkg.dev"


async def test_many_rsa_keys_at_once(watch: Watch, target: Target, own_plane: ControlPlane) -> None:
    """W14: twelve of them stopped the control plane for 1.6 s."""
    key = ServiceAccount.create().key_json()
    body = {"host": HOST, "provider": "google_service_account", "service_account_key": key}
    alice = own_plane.client("alice")
    statuses = set[int]()
    async with watch(
        "W14",
        "12 RSA keys at once",
        Party.OPERATOR,
        target,
        victim_p99_seconds=OPERATOR_P99_SECONDS,
    ) as attack:
        while attack.goes_on:
            answers = await asyncio.gather(
                *(
                    alice.call("POST", "/v1/connections?check=false", body)
                    for _ in range(KEYS_AT_ONCE)
                )
            )
            statuses |= {answer.status for answer in answers}
    assert statuses == {201, 409, 429}
