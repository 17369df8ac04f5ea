"""Logins that cost much: by a token endpoint, or by a device that makes repositories up."""

import asyncio
import itertools
import secrets
import time
from collections.abc import AsyncIterator, Mapping
from typing import Final

import aiohttp
import pytest
from attrs import define
from typing_extensions import override

from shared.outside_bytes import Party
from tests.adversary.bounds import Allowed
from tests.adversary.facade.attacked import AttackedFacade, meanwhile
from tests.adversary.guards import bounds, check
from tests.support.facade_process import device_session
from tests.support.facade_states import CANARY_TOKEN, USERNAME, pull_path
from tests.support.memory import MIB
from tests.support.simulators.login import BearerLogin
from tests.support.simulators.registry import RegistrySimulator
from tests.support.simulators.wire import RecordedRequest

pytestmark = pytest.mark.attack
AT_ONCE: Final = 16
TOKEN_BYTES: Final = 16 * 1024  # as long as one may be
LOGINS_BYTES: Final = 8 * MIB  # that are remembered of one connection
ASKED_BYTES: Final = 4 * LOGINS_BYTES  # at the least, however long that takes
# Some 14 MiB are what so many pulls of small blobs take; with all tokens it is 50.
OF_LOGINS: Final = Allowed(growth_bytes=LOGINS_BYTES + 28 * MIB)
VICTIM_PAUSE_SECONDS: Final = 0.2  # between the cold pulls of another device
INVENTED: Final = "invented"


@define
class LoginThatCosts(BearerLogin):
    """Gives tokens of so many bytes, and answers 401 for repositories that were made up."""

    token_bytes: int = 0

    @override
    def token_answer(
        self, request: RecordedRequest
    ) -> tuple[int, tuple[tuple[str, str], ...], bytes]:
        scopes = [value for name, value in request.query if name == "scope"]
        if any(INVENTED in scope for scope in scopes):
            return 401, (), b"{}"
        token = secrets.token_urlsafe(24).ljust(self.token_bytes, "x")
        self.tokens[token] = (time.monotonic() + self.lifetime_seconds, ())
        return 200, (), b'{"token":"%b"}' % token.encode()


@pytest.fixture
def more_settings() -> Mapping[str, str]:
    """No bound on one device: what many could do together."""
    limits = ("MISSES_PER_MINUTE", "TOKENS_PER_MINUTE", "UPSTREAM_REQUESTS_PER_MINUTE")
    return {f"FACADE_DEVICE_{each}": "0" for each in limits}


@pytest.fixture
async def registry() -> AsyncIterator[RegistrySimulator]:
    """A registry with such a token endpoint."""
    async with RegistrySimulator(login=LoginThatCosts(USERNAME, CANARY_TOKEN)) as simulator:
        yield simulator


@bounds(
    "facade.registries.token_broker.MAX_LOGIN_BYTES",
    "shared.upstream.token_exchange.MAX_TOKEN_BYTES",
    "shared.upstream.token_exchange.MAX_TOKEN_RESPONSE_BYTES",
)
@pytest.mark.parametrize("size", [TOKEN_BYTES, 40_000], ids=["as long as they may be", "of 40 KB"])
async def test_a_long_token_for_each_of_many_repositories(
    attacked: AttackedFacade, registry: RegistrySimulator, size: int
) -> None:
    """4,096 of 70 KB were 280 MiB of one connection."""
    assert isinstance(registry.login, LoginThatCosts)
    registry.login.token_bytes = size
    await attacked.connect(registry)
    numbers, statuses = itertools.count(), list[int]()
    async with (
        attacked.watched(f"tokens of {size:,} bytes", Party.REGISTRY, OF_LOGINS) as attack,
        device_session(attacked.attacker().tls()) as session,
    ):
        while attack.goes_on or len(statuses) * size <= ASKED_BYTES:  # else nothing is attacked
            names = [f"team/{next(numbers)}" for _ in range(AT_ONCE)]
            pulls = (_pull(session, attacked, registry, each) for each in names)
            statuses += await asyncio.gather(*pulls)
    assert set(statuses) == {200 if size <= TOKEN_BYTES else 503}  # as of any token endpoint


@check(
    "facade/registries/token_endpoints.py",
    "                self._has_taken = True\n            return await self._exchange(",
    "                pass\n            return await self._exchange(",
)
async def test_a_device_that_makes_repositories_up_from_the_start(
    attacked: AttackedFacade, registry: RegistrySimulator
) -> None:
    """60 of 194 pulls of others were refused. Here it asks first, before a token was ever given."""
    await attacked.connect(registry)
    numbers, others = itertools.count(), list[int]()
    async with (
        attacked.watched("invented repositories first", Party.DEVICE) as attack,
        device_session(attacked.attacker().tls()) as session,
        device_session(attacked.attacker("another").tls()) as another,
    ):
        assert await _pull(session, attacked, registry, f"{INVENTED}/first") == 502

        async def pull_cold() -> None:
            while attack.goes_on:
                others.append(await _pull(another, attacked, registry, f"team/{len(others) % 8}"))
                await asyncio.sleep(VICTIM_PAUSE_SECONDS)

        async with meanwhile(pull_cold()) as pulling:
            while attack.goes_on:
                names = [f"{INVENTED}/{next(numbers)}" for _ in range(AT_ONCE)]
                await asyncio.gather(*(_pull(session, attacked, registry, each) for each in names))
            await asyncio.gather(*pulling)
    assert set(others) == {200}


async def _pull(
    session: aiohttp.ClientSession,
    attacked: AttackedFacade,
    registry: RegistrySimulator,
    repository: str,
) -> int:
    """Pull a blob that nobody asked for before; return the status."""
    digest = registry.blob(secrets.token_bytes(16), repository=repository)
    path = pull_path(registry, digest, repository=repository)
    async with session.get(f"https://localhost:{attacked.facade.port}{path}") as answer:
        await answer.read()
        return answer.status
