"""A login that failed is gone with who waited for it, though its failure is remembered."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from typing import Final

import pytest

from deploy.dev.device_ca import CertificateAuthority
from tests.support.leftovers import leftovers
from tests.support.simulators.behaviour import Answers, Behaviour, RawBytes, RedirectsTo, Stalls
from tests.unit.facade.registries.login_world import QUICK, LoginWorld, login_world

ENDPOINTS: Final[tuple[Behaviour, ...]] = (
    *(Answers(status) for status in (200, 401, 403, 404, 429, 451, 500)),
    Answers(200, body=b"x" * 100_000),
    RawBytes(b"nonsense\r\n\r\n"),
    RedirectsTo("https://elsewhere.example/token"),
    Stalls(),
    Stalls(after=3),
)


@pytest.fixture
async def world(
    server_tls: ssl.SSLContext, server_ca: CertificateAuthority
) -> AsyncIterator[LoginWorld]:
    """A connection with user name and password, that waits for a second."""
    async with login_world(server_tls, server_ca, timeouts=QUICK) as world:
        yield world


async def test_a_failed_login_is_gone(world: LoginWorld) -> None:
    """Before anything worked, and of what had worked."""
    names = [f"team/app-{number}" for number in range(len(ENDPOINTS))]
    assert await world.pull("team/once") == 200
    with leftovers() as left:
        for endpoint, name in zip(ENDPOINTS, names, strict=True):
            world.registry.paths["/token"] = endpoint
            for repository in (name, "team/once"):
                outcomes = await asyncio.gather(*(world.pull(repository) for _ in range(3)))
                assert 200 not in outcomes or repository == "team/once"
            world.expire()
        world.registry.login = None  # so that nothing is remembered any more
    assert sorted(set(left.frames)) == []


@pytest.mark.parametrize("challenge", ["Negotiate", 'Bearer realm="https://x.example/"', 'B "'])
async def test_a_challenge_that_leads_nowhere_is_gone(challenge: str, world: LoginWorld) -> None:
    """The realm is another's, or none can be read."""
    assert await world.pull("team/once") == 200
    world.registry.bad_challenges, world.registry.bad_answers = (challenge,), 1000
    with leftovers() as left:
        for _ in range(3):
            assert 200 not in await asyncio.gather(*(world.pull() for _ in range(3)))
            world.expire()
    assert sorted(set(left.frames)) == []
