"""A registry that does its worst, while another device asks for a warm manifest of another one."""

import asyncio

import pytest

from shared.outside_bytes import Party
from tests.adversary.facade.attacked import AttackedFacade, meanwhile
from tests.adversary.framing import FRAMING, FRAMING_IS_BOUNDED, SOME
from tests.adversary.guards import check, guards_nothing
from tests.support.facade_states import CANARY_TOKEN, USERNAME, pull_path
from tests.support.simulators.behaviour import Behaviour, Endless, RedirectsTo, Stalls
from tests.support.simulators.login import BearerLogin
from tests.support.simulators.registry import RegistrySimulator, StoreSimulator

pytestmark = pytest.mark.attack
AT_ONCE = 16  # blobs of one device
SLOW: dict[str, Behaviour] = {
    "no answer": Stalls(),
    "a byte a second": Endless(
        b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n", b" ", pause_seconds=1.0
    ),
}
STALLED = 30  # of one device: as many pulls as it may have connections


@guards_nothing("waiting costs next to nothing; what this harness adds is seen here")
@pytest.mark.parametrize("kind", SLOW)
async def test_a_registry_that_takes_its_time(kind: str, attacked: AttackedFacade) -> None:
    """As many pulls as a device may have."""
    paths = [attacked.blob(bytes([each]) * 1000, get=SLOW[kind]) for each in range(STALLED)]
    await attacked.connect()
    device = attacked.attacker()
    async with (
        attacked.watched(f"30 pulls, {kind}", Party.REGISTRY) as attack,
        meanwhile(*(device.get(path) for path in paths)),
    ):
        await attack.to_its_end()


@FRAMING_IS_BOUNDED
@check(
    "shared/upstream/bounded_connection.py",
    "        self.force_close()\n        if self._expected is None:\n            self.abort()\n",
    "        return\n",
)
@pytest.mark.parametrize("kind", FRAMING)
async def test_framing_without_an_end(kind: str, attacked: AttackedFacade) -> None:
    """Always another digest, so that no memory of the last one ends it."""
    await attacked.connect()
    device, number = attacked.attacker(), 0
    async with attacked.watched(kind, Party.REGISTRY) as attack:
        while attack.goes_on:
            contents = [b"%d" % each * 10_000 for each in range(number, number + AT_ONCE)]
            number += AT_ONCE
            paths = [attacked.blob(each, get=FRAMING[kind]) for each in contents]
            async with meanwhile(*(device.get(path) for path in paths)) as pulls:
                await asyncio.wait(pulls, timeout=attack.left)
            attacked.registry.forget()


@FRAMING_IS_BOUNDED
@pytest.mark.parametrize("kind", SOME)
async def test_a_token_endpoint_without_an_end(kind: str, attacked: AttackedFacade) -> None:
    """Each repository needs a token of its own, so that it is asked again and again."""
    device, number = attacked.attacker(), 0
    async with RegistrySimulator(login=BearerLogin(USERNAME, CANARY_TOKEN)) as registry:
        registry.paths["/token"] = FRAMING[kind]
        await attacked.connect(registry)
        async with attacked.watched(f"a token endpoint: {kind}", Party.REGISTRY) as attack:
            while attack.goes_on:
                names = [f"team/app-{each}" for each in range(number, number + AT_ONCE)]
                number += AT_ONCE
                paths = [
                    pull_path(registry, registry.blob(b"a", repository=each), repository=each)
                    for each in names
                ]
                async with meanwhile(*(device.get(path) for path in paths)) as pulls:
                    await asyncio.wait(pulls, timeout=attack.left)
        assert any(request.path == "/token" for request in registry.requests)


@FRAMING_IS_BOUNDED
@pytest.mark.parametrize("kind", SOME)
async def test_a_store_without_an_end(kind: str, attacked: AttackedFacade) -> None:
    """Where a registry redirects to is no better known than the registry."""
    device, number = attacked.attacker(), 0
    await attacked.connect(allowed_networks=("127.0.0.0/8",))
    async with StoreSimulator() as store:
        async with attacked.watched(f"a store: {kind}", Party.REGISTRY) as attack:
            while attack.goes_on:
                contents = [b"%d" % each * 10_000 for each in range(number, number + AT_ONCE)]
                number += AT_ONCE
                paths = [
                    attacked.blob(each, get=RedirectsTo(store.put(each, get=FRAMING[kind])))
                    for each in contents
                ]
                async with meanwhile(*(device.get(path) for path in paths)) as pulls:
                    await asyncio.wait(pulls, timeout=attack.left)
                attacked.registry.forget()
        assert store.requests
