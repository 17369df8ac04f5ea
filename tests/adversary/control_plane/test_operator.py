"""An operator who does their worst, while another one lists connections."""

import asyncio

import pytest

from shared.outside_bytes import Party
from tests.adversary.control_plane.attacked import AttackedPlane
from tests.adversary.guards import check
from tests.support.control_plane import ControlPlane
from tests.support.simulators.google import ServiceAccount
from tests.system.control_plane.conftest import StartPlane

pytestmark = pytest.mark.attack
KEYS_AT_ONCE = 12
HOST = "europe-docker.pkg.dev"
INSIDE = {
    "names": ("localhost", "vault.invalid", "no-such-name.invalid"),
    "addresses": ("10.255.255.1", "169.254.169.254", "192.168.0.1", "0.0.0.0"),  # noqa: S104
}


@pytest.fixture
async def own_plane(start_plane: StartPlane) -> ControlPlane:
    """A control plane whose checks reach nothing of its own network, as by default."""
    return await start_plane({"CONTROL_PLANE_CHECK_NETWORKS": None})


@check(
    "control_plane/connections/service_account_keys.py",
    "is_sound = await asyncio.to_thread(_is_sound, request.secret)",
    "is_sound = _is_sound(request.secret)",
)
async def test_many_rsa_keys_at_once(attacked: AttackedPlane) -> None:
    """Twelve of them stopped the control plane for 1.6 s."""
    key = ServiceAccount.create().key_json()
    body = {"host": HOST, "provider": "google_service_account", "service_account_key": key}
    alice = attacked.plane.client("alice")
    statuses = set[int]()
    async with attacked.watched("12 RSA keys at once", Party.OPERATOR) as attack:
        while attack.goes_on:
            answers = await asyncio.gather(
                *(
                    alice.call("POST", "/v1/connections?check=false", body)
                    for _ in range(KEYS_AT_ONCE)
                )
            )
            statuses |= {answer.status for answer in answers}
    assert 201 in statuses
    assert statuses <= {201, 409, 429}  # a slow machine meets no bound on one operator


@check(
    "control_plane/connections/checks.py",
    "    if problem is None or not is_about_addresses(problem):\n",
    "    if problem or problem is None or not is_about_addresses(problem):\n",
)
async def test_a_map_of_the_inside(attacked: AttackedPlane) -> None:
    """Checks told which names there are inside, and which kinds of addresses."""
    alice = attacked.plane.client("alice")
    said = {kind: set[tuple[int, str]]() for kind in INSIDE}
    async with attacked.watched("checks of inside names and addresses", Party.OPERATOR) as attack:
        while attack.goes_on:
            for kind, hosts in INSIDE.items():
                for host in hosts:
                    body = {"host": host, "provider": "static", "allowed_networks": ["127.0.0.0/8"]}
                    answer = await alice.call("POST", "/v1/connection-checks", body)
                    said[kind].add((answer.status, str(answer.json.get("problem"))))
    refused = (429, "None")
    for kind, word in (("names", "not_resolved"), ("addresses", "address_not_allowed")):
        assert said[kind] == {(200, word), refused}
