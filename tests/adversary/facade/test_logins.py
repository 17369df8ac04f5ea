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

from facade.registries.token_broker import MAX_LOGIN_BYTES
from shared.outside_bytes import Party
from shared.upstream.token_exchange import MAX_TOKEN_BYTES
from tests.adversary.facade.test_device import attacker
from tests.adversary.watch import Target, Watch
from tests.support.facade_process import Facade, device_session
from tests.support.facade_states import CANARY_TOKEN, USERNAME, connect, pull_path
from tests.support.simulators.login import BearerLogin
from tests.support.simulators.registry import RegistrySimulator
from tests.support.simulators.wire import RecordedRequest
from tests.support.statement_writer import StatementWriter

pytestmark = pytest.mark.attack
AT_ONCE: Final = 16
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


@pytest.mark.parametrize(
    "size", [MAX_TOKEN_BYTES, 70_000], ids=["as long as they may be", "of 70 KB"]
)
async def test_a_long_token_for_each_of_many_repositories(
    watch: Watch,
    target: Target,
    facade: Facade,
    own_writer: StatementWriter,
    registry: RegistrySimulator,
    size: int,
) -> None:
    """4,096 of 70 KB were 280 MiB of one connection."""
    assert isinstance(registry.login, LoginThatCosts)
    registry.login.token_bytes = size
    await connect(facade, own_writer, registry)
    numbers, statuses = itertools.count(), list[int]()
    async with (
        watch("W7", f"tokens of {size:,} bytes", Party.REGISTRY, target) as attack,
        device_session(attacker(facade).tls()) as session,
    ):
        while attack.goes_on or len(statuses) * size <= MAX_LOGIN_BYTES:  # else nothing is attacked
            names = [f"team/{next(numbers)}" for _ in range(AT_ONCE)]
            pulls = (_pull(session, facade, registry, each) for each in names)
            statuses += await asyncio.gather(*pulls)
    assert set(statuses) == {200 if size <= MAX_TOKEN_BYTES else 503}  # as of any token endpoint


async def test_a_device_that_makes_repositories_up_from_the_start(
    watch: Watch,
    target: Target,
    facade: Facade,
    own_writer: StatementWriter,
    registry: RegistrySimulator,
) -> None:
    """60 of 194 pulls of others were refused. Here it asks first, before a token was ever given."""
    await connect(facade, own_writer, registry)
    numbers, others = itertools.count(), list[int]()
    async with (
        watch("W13", "invented repositories first", Party.DEVICE, target) as attack,
        device_session(attacker(facade).tls()) as session,
        device_session(facade.device().tls()) as another,
    ):
        assert await _pull(session, facade, registry, f"{INVENTED}/first") == 502

        async def pull_cold() -> None:
            while attack.goes_on:
                others.append(await _pull(another, facade, registry, f"team/{len(others) % 8}"))
                await asyncio.sleep(VICTIM_PAUSE_SECONDS)

        pulling = asyncio.create_task(pull_cold())
        while attack.goes_on:
            names = [f"{INVENTED}/{next(numbers)}" for _ in range(AT_ONCE)]
            await asyncio.gather(*(_pull(session, facade, registry, each) for each in names))
        await pulling
    assert set(others) == {200}


async def _pull(
    session: aiohttp.ClientSession, facade: Facade, registry: RegistrySimulator, repository: str
) -> int:
    """Pull a blob that nobody asked for before; return the status."""
    digest = registry.blob(secrets.token_bytes(16), repository=repository)
    path = pull_path(registry, digest, repository=repository)
    async with session.get(f"https://localhost:{facade.port}{path}") as answer:
        await answer.read()
        return answer.status
