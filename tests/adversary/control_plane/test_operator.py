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
INSIDE = {
    "names": ("metadata.invalid", "vault.invalid", "no-such-name.invalid"),
    "addresses": ("10.255.255.1", "169.254.169.254", "192.168.0.1", "0.0.0.0"),  # noqa: S104
}


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


async def test_a_map_of_the_inside(watch: Watch, target: Target, own_plane: ControlPlane) -> None:
    """W20: checks told which names there are inside, and which kinds of addresses."""
    alice = own_plane.client("alice")
    said = {kind: set[tuple[int, str]]() for kind in INSIDE}
    async with watch(
        "W20",
        "checks of inside names and addresses",
        Party.OPERATOR,
        target,
        victim_p99_seconds=OPERATOR_P99_SECONDS,
    ) as attack:
        while attack.goes_on:
            for kind, hosts in INSIDE.items():
                for host in hosts:
                    body = {"host": host, "provider": "static", "allowed_networks": ["10.0.0.0/8"]}
                    answer = await alice.call("POST", "/v1/connection-checks", body)
                    said[kind].add((answer.status, str(answer.json.get("problem"))))
    refused = (429, "None")
    for kind, word in (("names", "not_resolved"), ("addresses", "address_not_allowed")):
        assert said[kind] == {(200, word), refused}
