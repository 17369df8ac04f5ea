"""Whatever an operator sends is nonsense for a while; another operator's lists are answered."""

import pytest

from shared.outside_bytes import Party
from tests.adversary.bounds import OPERATOR_P99_SECONDS
from tests.adversary.nonsense import Nonsense
from tests.adversary.watch import Target, Watch
from tests.support.control_plane import ControlPlane

pytestmark = pytest.mark.attack
BODIES = (
    b'{"host": "ghcr.io", "provider": "static", "username": "robot", "token": "canary"}',
    b'{"serial": "5e22", "issuer": "CN=device CA", "reason": "lost"}',
    b'{"host": "europe-docker.pkg.dev", "provider": "google_service_account", "token": "{}"}',
)
PATHS = (
    b"/v1/connections?check=false",
    b"/v1/device-revocations",
    b"/v1/device-revocations/batch",
    b"/v1/audit?limit=3&cursor=abc",
)


async def test_an_operator_who_sends_nonsense(
    watch: Watch, target: Target, own_plane: ControlPlane
) -> None:
    """Bodies and parameters; no token of the operator's fails anything but its own call."""
    nonsense, operator = Nonsense(), own_plane.client("alice")
    async with watch(
        "nonsense",
        "bodies and parameters",
        Party.OPERATOR,
        target,
        victim_p99_seconds=OPERATOR_P99_SECONDS,
    ) as attack:
        while attack.goes_on:
            path = "/v1/" + nonsense.header(*(each.decode() for each in PATHS)).lstrip("/")[:500]
            answer = await operator.call("POST", path, content=nonsense.like(*BODIES))
            assert answer.status < 500
            answer = await operator.call("POST", PATHS[0].decode(), content=nonsense.like(*BODIES))
            assert answer.status < 500
