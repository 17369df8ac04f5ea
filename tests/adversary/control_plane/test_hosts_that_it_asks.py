"""Hosts that the control plane asks, and that answer without an end, or not at all.

A registry that an operator has checked, a target of webhooks, and the provider of single sign-on.
"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import orjson
import pytest

from shared.outside_bytes import Party
from tests.adversary.control_plane.attacked import AttackedPlane
from tests.adversary.framing import FRAMING, FRAMING_IS_BOUNDED, SOME
from tests.support.control_plane import ControlPlane
from tests.support.simulators.behaviour import Answers, Behaviour, Stalls
from tests.support.simulators.openid_provider import OpenIdSimulator
from tests.support.simulators.registry import RegistrySimulator
from tests.support.simulators.webhook_receiver import new_secret
from tests.system.control_plane.conftest import StartPlane

pytestmark = pytest.mark.attack
AT_ONCE: Final = 16
KINDS: Final[dict[str, Behaviour]] = {kind: FRAMING[kind] for kind in SOME} | {"silence": Stalls()}
HOOK: Final = "/hooks/pager"
KEYS: Final = "/keys"
JSON: Final = (("Content-Type", "application/json"),)


@pytest.fixture
async def hostile() -> AsyncIterator[RegistrySimulator]:
    """A host that answers as a test says."""
    async with RegistrySimulator() as host:
        yield host


@pytest.fixture
async def own_plane(
    start_plane: StartPlane, hostile: RegistrySimulator, tmp_path: Path
) -> ControlPlane:
    """A control plane that tells one target of events, and asks one provider; both are hostile."""
    targets = tmp_path / "targets.json"
    target = {
        "name": "pager",
        "url": f"{hostile.origin}{HOOK}",
        "secrets": [new_secret()],
        "plain_http": True,
        "allowed_networks": ["127.0.0.0/8"],
    }
    targets.write_bytes(orjson.dumps({"targets": [target]}))
    hostile.paths["/.well-known/openid-configuration"] = Answers(
        200,
        JSON,
        orjson.dumps(
            {
                "issuer": hostile.origin,
                "jwks_uri": f"{hostile.origin}{KEYS}",
                "authorization_endpoint": f"{hostile.origin}/auth",
                "token_endpoint": f"{hostile.origin}/token",
            }
        ),
    )
    provider = OpenIdSimulator().settings(CONTROL_PLANE_OIDC_ISSUER=hostile.origin)
    return await start_plane({**provider, "CONTROL_PLANE_WEBHOOKS_FILE": str(targets)})


@FRAMING_IS_BOUNDED
@pytest.mark.parametrize("kind", KINDS)
async def test_a_registry_that_is_checked(
    kind: str, attacked: AttackedPlane, hostile: RegistrySimulator
) -> None:
    """An operator may name any host, and have it asked again and again."""
    hostile.ping = KINDS[kind]
    alice, statuses = attacked.plane.client("alice"), set[int]()
    body = {"host": hostile.authority, "provider": "static", "plain_http": True}
    async with attacked.watched(f"checks of a registry: {kind}", Party.REGISTRY) as attack:
        while attack.goes_on:
            checks = [
                asyncio.create_task(alice.call("POST", "/v1/connection-checks", body))
                for _ in range(AT_ONCE)
            ]
            done, waiting = await asyncio.wait(checks, timeout=attack.left)
            for check in waiting:
                check.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
            statuses |= {check.result().status for check in done}
    assert statuses <= {200, 422, 429}
    assert any(request.path == "/v2/" for request in hostile.requests)


@FRAMING_IS_BOUNDED
@pytest.mark.parametrize("kind", KINDS)
async def test_a_target_of_webhooks(
    kind: str, attacked: AttackedPlane, hostile: RegistrySimulator
) -> None:
    """Events wait for it, and nobody waits with them."""
    hostile.paths[HOOK] = KINDS[kind]
    alice, made = attacked.plane.client("alice"), 0
    async with attacked.watched(f"a target of webhooks: {kind}", Party.REGISTRY) as attack:
        while attack.goes_on:
            await alice.connect(f"registry-{made}.example")
            made += 1
    assert any(request.path == HOOK for request in hostile.requests)


@FRAMING_IS_BOUNDED
@pytest.mark.parametrize("kind", KINDS)
async def test_a_provider_of_single_sign_on(
    kind: str, attacked: AttackedPlane, hostile: RegistrySimulator
) -> None:
    """Tokens that name unknown keys have it asked; operators' own tokens go on meanwhile."""
    hostile.paths[KEYS] = KINDS[kind]
    strangers = OpenIdSimulator()
    statuses = set[int]()
    async with attacked.watched(f"keys of a provider: {kind}", Party.REGISTRY) as attack:
        while attack.goes_on:
            caller = attacked.plane.client(None, token=strangers.access_token(iss=hostile.origin))
            call = asyncio.create_task(caller.call("GET", "/v1/me"))
            await asyncio.wait([call], timeout=attack.left)
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
            if not call.cancelled() and call.exception() is None:
                statuses.add(call.result().status)
    assert statuses <= {401, 429, 503}
    assert any(request.path == KEYS for request in hostile.requests)
