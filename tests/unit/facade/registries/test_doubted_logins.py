"""What is remembered of a login is doubted when using it fails: every way in which it may fail.

Then the registry is asked bare, once, and what it says holds.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from deploy.dev.device_ca import CertificateAuthority
from facade.registries.refusals import NONSENSE_SECONDS, REFUSAL_SECONDS, TROUBLE_SECONDS
from shared.upstream.redirect import MAX_REDIRECTS
from tests.support.eventually import eventually
from tests.support.simulators.behaviour import Answers, Behaviour, RawBytes, RedirectsTo, Stalls
from tests.support.simulators.login import BearerLogin
from tests.unit.facade.registries.login_world import (
    LONG,
    QUICK,
    ROBOT,
    ROBOTS_HEADER,
    LoginWorld,
    basic_login,
    login_world,
)

DEVICES = 50


@pytest.fixture
async def world(
    server_tls: ssl.SSLContext, server_ca: CertificateAuthority
) -> AsyncIterator[LoginWorld]:
    """A connection with user name and password."""
    async with login_world(server_tls, server_ca) as world:
        yield world


@pytest.fixture
async def anonymous(
    server_tls: ssl.SSLContext, server_ca: CertificateAuthority
) -> AsyncIterator[LoginWorld]:
    """A connection without."""
    async with login_world(server_tls, server_ca, None) as world:
        yield world


@pytest.fixture(params=[ROBOT, None], ids=["with a password", "anonymous"])
async def either(
    request: pytest.FixtureRequest, server_tls: ssl.SSLContext, server_ca: CertificateAuthority
) -> AsyncIterator[LoginWorld]:
    """A connection of either kind."""
    async with login_world(server_tls, server_ca, request.param) as world:
        yield world


# What an endpoint that was moved away from may say; the status that a device is told of it.
BAD_ENDPOINTS: dict[str, tuple[Behaviour, int]] = {
    "400": (Answers(400), 503),
    "401": (Answers(401), 502),
    "402": (Answers(402), 403),
    "403": (Answers(403), 502),
    "404": (Answers(404), 503),
    "408": (Answers(408), 503),
    "410": (Answers(410), 503),
    "429": (Answers(429), 429),
    "429 for a minute": (Answers(429, (("Retry-After", "60"),)), 429),
    "500": (Answers(500), 503),
    "503 for a while": (Answers(503, (("Retry-After", "20"),)), 503),
    "no JSON": (Answers(200, body=b"<html>"), 503),
    "no token": (Answers(200, body=b"{}"), 503),
    "too large": (Answers(200, body=b'{"token":"' + b"a" * 100_000 + b'"}'), 503),
    "no HTTP": (RawBytes(b"SSH-2.0-OpenSSH_9.2\r\n"), 502),
    "closed": (RawBytes(b""), 503),
    "leads away": (RedirectsTo("https://evil.invalid/token"), 502),
    "leads to itself": (RedirectsTo("?"), 502),
    "leads down": (RedirectsTo("ftp://x/"), 502),
}
# Requests of one try: a connection that closes in the face of the first is tried once more.
EXCHANGES = {"leads to itself": 1 + MAX_REDIRECTS, "closed": 2}


@pytest.mark.parametrize("way", BAD_ENDPOINTS)
async def test_an_endpoint_that_moved_is_found(world: LoginWorld, way: str) -> None:
    """In the very pull that finds it gone, by one bare question, and by every device at once."""
    assert await world.pull() == 200
    world.registry.paths["/token"], _ = BAD_ENDPOINTS[way]
    world.login.path = "/token2"
    world.expire()
    world.forget_requests()
    assert set(await world.pull_at_once(DEVICES)) == {200}
    assert world.bare_questions == 1
    assert world.exchanges("/token2") == 1
    assert world.exchanges() <= EXCHANGES.get(way, 1)
    world.forget_requests()
    assert await world.pull() == 200
    assert (world.bare_questions, len(world.registry.requests)) == (0, 1)


@pytest.mark.parametrize("way", BAD_ENDPOINTS)
async def test_an_endpoint_that_is_bad_for_a_while_is_used_again(
    world: LoginWorld, way: str
) -> None:
    """The registry names no other. A pull a second of many devices makes no storm."""
    assert await world.pull() == 200
    world.registry.paths["/token"], told = BAD_ENDPOINTS[way]
    world.expire()
    world.forget_requests()
    assert set(await world.pull_at_once(DEVICES)) == {told}
    assert world.bare_questions == 1
    # the registry named it again, but it had failed just now
    assert world.exchanges() <= EXCHANGES.get(way, 1)
    for _ in range(5):
        assert await world.pull() in (told, 503)  # the circuit is open
    assert world.bare_questions == 1
    del world.registry.paths["/token"]
    assert await world.until_served(61) <= 60


async def test_an_endpoint_that_says_nothing_is_left_for_another(
    server_tls: ssl.SSLContext, server_ca: CertificateAuthority
) -> None:
    """After the time that a registry has for an answer; once, whoever waits."""
    async with login_world(server_tls, server_ca, timeouts=QUICK) as world:
        assert await world.pull() == 200
        world.registry.paths["/token"] = Stalls(None)
        world.expire()
        world.forget_requests()
        assert set(await world.pull_at_once(3)) == {504}
        assert (world.bare_questions, world.exchanges()) == (1, 1)
        world.login.path = "/token2"
        assert await world.until_served(10) <= 2 * TROUBLE_SECONDS


async def test_an_endpoint_that_stays_bad_is_asked_seldom(world: LoginWorld) -> None:
    """For 5,000 s; and it is found again at the latest after its own time."""
    assert await world.pull() == 200
    world.registry.paths["/token"] = Answers(404)
    world.expire()
    world.forget_requests()
    for _ in range(500):
        assert set(await world.pull_at_once(3)) == {503}
        world.clock.advance(10.0)
    most = 5000 / (NONSENSE_SECONDS / 2)
    assert 5000 / (NONSENSE_SECONDS + 10.0) <= world.bare_questions <= most
    assert world.exchanges() <= most
    del world.registry.paths["/token"]
    assert await world.until_served(10) <= NONSENSE_SECONDS


@pytest.mark.parametrize("away", ["closed", "no TLS", "no name"])
async def test_an_endpoint_on_another_host_that_is_gone_is_found_elsewhere(
    world: LoginWorld, away: str
) -> None:
    """It does not listen, does not speak TLS, or has no address any more."""
    world.login.realm = world.realm_elsewhere
    assert await world.pull() == 200
    assert len(world.elsewhere.requests) == 1
    await world.close_elsewhere()
    if away == "no TLS":
        world.names.answer("localhost", [("127.0.0.1", world.registry.port)])
    if away == "no name":
        world.names.answer("localhost")
    world.expire()
    world.forget_requests()
    assert set(await world.pull_at_once(10)) == {503}
    assert world.bare_questions == 1
    world.login.realm = None
    assert await world.until_served(60) <= TROUBLE_SECONDS * 2 + 30.0
    world.login.realm = world.realm_elsewhere
    world.expire()
    world.forget_requests()
    assert await world.pull() == 200  # the one that works is not left for another
    assert world.bare_questions == 0


def foreign(_: LoginWorld) -> tuple[str, ...]:
    """Lead to another host."""
    return ('Bearer realm="https://evil.invalid/token",service="simulator"',)


def downgraded(world: LoginWorld) -> tuple[str, ...]:
    """Lead to another host without TLS, as behind a proxy that ends it."""
    return (f'Bearer realm="http://localhost:{world.registry.port}/token"',)


def misplaced(world: LoginWorld) -> tuple[str, ...]:
    """Lead to where there is no token."""
    return (f'Bearer realm="{world.registry.origin}/v2/"',)


def refusing(world: LoginWorld) -> tuple[str, ...]:
    """Lead to an allowed realm that knows nobody."""
    world.elsewhere.paths["/token"] = Answers(401)
    return (f'Bearer realm="{world.realm_elsewhere}"',)


def forbidding(world: LoginWorld) -> tuple[str, ...]:
    """Lead to an allowed realm that denies the scope."""
    world.elsewhere.paths["/token"] = Answers(403)
    return (f'Bearer realm="{world.realm_elsewhere}"',)


def useless(world: LoginWorld) -> tuple[str, ...]:
    """Lead to an allowed realm whose tokens the registry does not take."""
    world.elsewhere.paths["/token"] = Answers(200, body=b'{"token":"useless","expires_in":36000}')
    return (f'Bearer realm="{world.realm_elsewhere}"',)


def another_service(world: LoginWorld) -> tuple[str, ...]:
    """Lead to the right realm, whose token for another service is taken all the same."""
    return (f'Bearer realm="{world.registry.origin}/token",service="other"',)


BAD_ANSWERS: dict[str, Callable[[LoginWorld], tuple[str, ...]]] = {
    "another host": foreign,
    "http": downgraded,
    "no endpoint": misplaced,
    "an endpoint that refuses": refusing,
    "an endpoint that forbids": forbidding,
    "useless tokens": useless,
    "another service": another_service,
    "malformed": lambda _: ('Bearer realm="unterminated',),
    "no realm": lambda _: ("Bearer",),
    "unknown": lambda _: ("Negotiate",),
    "Basic": lambda _: ('Basic realm="x"',),
    "nothing": lambda _: (),
}


@pytest.mark.parametrize("bad", BAD_ANSWERS)
async def test_one_bad_answer_of_one_node_ends_with_its_own_time(
    either: LoginWorld, bad: str
) -> None:
    """As the first answer of all; at the latest half a minute later all is well, and stays so."""
    here = either
    here.registry.bad_challenges = BAD_ANSWERS[bad](here)
    here.registry.bad_answers = 1
    await here.pull()
    assert here.registry.bad_answers == 0
    assert await here.until_served(30) <= REFUSAL_SECONDS
    for _ in range(5):
        assert await here.pull() == 200
    here.expire()
    assert await here.pull() == 200


@pytest.mark.parametrize("bad", BAD_ANSWERS)
async def test_one_bad_answer_to_a_good_token_fails_one_pull_at_most(
    either: LoginWorld, bad: str
) -> None:
    """The token in hand is as good as before: the next pull shows it to the next node."""
    here = either
    assert await here.pull() == 200
    here.registry.bad_challenges = BAD_ANSWERS[bad](here)
    here.registry.bad_answers = 1
    await here.pull()
    assert await here.pull() == 200
    assert await here.pull() == 200


@pytest.mark.parametrize("bad", ["another host", "http", "no endpoint", "malformed", "nothing"])
async def test_a_node_that_stays_bad_is_asked_once_in_a_while(world: LoginWorld, bad: str) -> None:
    """By many devices at once, and by all of them a second later."""
    world.registry.bad_challenges = BAD_ANSWERS[bad](world)
    world.registry.bad_answers = 1_000_000
    first = await world.pull()
    assert first in (502, 503)
    world.clock.advance(LONG)
    world.forget_requests()
    assert set(await world.pull_at_once(DEVICES)) == {first}
    assert set(await world.pull_at_once(DEVICES)) == {first}
    assert world.bare_questions == 1
    assert world.exchanges("/v2/") <= 1


@pytest.mark.parametrize("bad", ["another host", "http", "malformed", "unknown", "nothing"])
async def test_a_bad_node_is_left_for_another(world: LoginWorld, bad: str) -> None:
    """A load balancer of connections gives every request of a kept one to the same node."""
    world.registry.bad_challenges = BAD_ANSWERS[bad](world)
    world.registry.is_sticky = True
    assert await world.pull() == 502
    world.clock.advance(NONSENSE_SECONDS)
    assert await world.pull() == 200


async def test_a_second_realm_that_refuses_the_anonymous_is_not_kept(
    anonymous: LoginWorld,
) -> None:
    """The realm that works serves again, and its token was in hand all the time."""
    world = anonymous
    assert await world.pull() == 200
    world.registry.bad_challenges = refusing(world)
    for _ in range(3):
        world.expire()  # so that the registry is asked by nobody but the token endpoint
        world.registry.paths["/token"] = Answers(500)
        world.registry.bad_answers = 1
        assert await world.pull() == 502
        del world.registry.paths["/token"]
        assert await world.until_served(30) <= REFUSAL_SECONDS
    assert all(each.header("Authorization") is None for each in world.elsewhere.requests)


async def test_a_bad_node_s_endpoint_that_refuses_the_password_locks_out_no_other_scope(
    world: LoginWorld,
) -> None:
    """Another one takes it; two that refuse are right, and the password is not shown around."""
    assert await world.pull("team/one") == 200
    world.registry.bad_challenges = refusing(world)
    world.registry.bad_answers = 1
    assert await world.pull("team/two") == 502
    assert await world.pull("team/three") == 200
    shown = world.passwords_shown
    world.registry.bad_answers = 10
    for number in range(10):
        assert await world.pull(f"team/bad-{number}") == 502
    assert world.passwords_shown == shown  # the endpoint's refusal is remembered for every scope
    assert await world.until_served(30, "team/two") <= REFUSAL_SECONDS


async def test_a_password_that_several_endpoints_refuse_is_shown_to_no_more(
    world: LoginWorld,
) -> None:
    """Artifactory has one for each repository: a changed password is found out by two of them."""
    assert await world.pull() == 200
    world.login.password = "changed"
    for number in range(10):
        world.registry.bad_challenges = (
            f'Bearer realm="{world.registry.origin}/token/{number}",service="simulator"',
        )
        world.registry.paths[f"/token/{number}"] = Answers(401)
        world.registry.bad_answers = 1
        assert await world.pull(f"team/{number}") == 502
    assert world.passwords_shown == 1 + 2
    assert await world.pull() == 200  # its token is good to its end


async def test_a_refused_password_is_refused_no_longer_for_who_asks_late(
    world: LoginWorld,
) -> None:
    """Whoever runs into a refusal that is remembered does not begin it anew."""
    world.registry.paths["/token"] = Answers(401)
    assert await world.pull("team/early") == 502
    world.clock.advance(REFUSAL_SECONDS / 2 - 0.01)
    for number in range(5):
        assert await world.pull(f"team/late-{number}") == 502
    assert world.passwords_shown == 1
    del world.registry.paths["/token"]
    while await world.pull("team/early") != 200:
        world.clock.advance(0.5)
    assert {await world.pull(f"team/late-{number}") for number in range(5)} == {200}


async def test_a_service_that_changed_is_asked_for(world: LoginWorld) -> None:
    """The registry has another name, and its endpoint knows the old one no more."""
    assert await world.pull() == 200
    world.login.service = "another"
    world.login.services = ("another",)
    world.expire()
    world.forget_requests()
    assert await world.pull() == 200
    services = [dict(each.query)["service"] for each in world.registry.requests if each.query]
    assert services == ["simulator", "another"]
    assert world.bare_questions == 1


def kinds(world: LoginWorld) -> dict[str, Any]:
    """Return the logins between which a registry may move."""
    return {"bearer": world.login, "basic": basic_login(), "open": None}


@pytest.mark.parametrize("token", ["at hand", "expired"])
@pytest.mark.parametrize(
    "moves",
    [
        ("bearer", "basic", "bearer"),
        ("bearer", "open", "bearer"),
        ("basic", "open", "basic"),
        ("open", "bearer", "basic", "open", "basic", "bearer"),
    ],
    ids=" ".join,
)
async def test_a_registry_that_asks_for_another_login_is_followed(
    world: LoginWorld, moves: tuple[str, ...], token: str
) -> None:
    """To Basic, to none at all, and back; its old token endpoint is gone with it."""
    for move in moves:
        world.registry.login = kinds(world)[move]
        world.registry.paths.clear()
        if move != "bearer":
            world.registry.paths["/token"] = Answers(404)
        if token == "expired":
            world.expire()
        served = [await world.pull() for _ in range(3)]
        assert served[1:] == [200, 200], move
        assert served[0] == 200, move


async def test_what_one_scope_found_out_is_not_forgotten_for_another(world: LoginWorld) -> None:
    """Each has its own endpoint, as in Artifactory."""
    assert await world.pull("team/one") == 200
    assert await world.pull("team/two") == 200
    world.registry.paths["/token"] = Answers(404)
    world.clock.advance(10.0)
    world.forget_requests()
    assert await world.pull("team/one") == await world.pull("team/two") == 200
    assert (world.bare_questions, world.exchanges()) == (0, 0)


async def test_a_renewal_ahead_that_fails_is_nobody_s_failure(world: LoginWorld) -> None:
    """The token is used to its end, and the move is found then."""
    assert await world.pull() == 200
    world.registry.paths["/token"] = Answers(404)
    world.login.path = "/token2"
    world.clock.advance(250.0)
    for _ in range(4):
        assert await world.pull() == 200
        await eventually(lambda: world.exchanges() > 1)
        world.clock.advance(4.0)
    world.clock.advance(10.0)
    assert await world.pull() == 200
    assert world.exchanges("/token2") == 1


async def test_a_device_that_leaves_while_it_asks_leaves_the_question_to_the_next(
    world: LoginWorld,
) -> None:
    """The others wait for one that will not be answered."""
    assert await world.pull() == 200
    world.registry.paths["/token"] = Answers(404)
    world.login.path = "/token2"
    world.expire()
    world.forget_requests()
    world.registry.gate.clear()
    asking = asyncio.create_task(world.pull())
    await eventually(lambda: len(world.registry.pulls) == 1)
    waiting = [asyncio.create_task(world.pull()) for _ in range(10)]
    asking.cancel()
    await asyncio.wait([asking])
    await eventually(lambda: len(world.registry.pulls) == 2)
    world.registry.gate.set()
    assert await asyncio.gather(*waiting) == [200] * 10
    assert world.bare_questions == 2


async def test_a_bare_question_that_breaks_is_asked_again_by_the_next(world: LoginWorld) -> None:
    """The registry said nothing of its login; one device is told so, the others are served."""
    assert await world.pull() == 200
    world.registry.paths["/token"] = Answers(404)
    world.login.path = "/token2"
    world.expire()
    world.forget_requests()
    world.registry.drops = 2  # the client tries once more where a kept connection is closed
    told = await world.pull_at_once(10)
    assert sorted(told) == [200] * 9 + [503]
    assert world.bare_questions <= 3
    assert world.exchanges("/token2") == 1


async def test_a_registry_that_lets_anybody_in_is_asked_bare_by_all(world: LoginWorld) -> None:
    """One finds out; the others then wait for nobody."""
    assert await world.pull() == 200
    world.registry.paths["/token"] = Answers(404)
    world.registry.login = None
    world.expire()
    world.forget_requests()
    assert set(await world.pull_at_once(10)) == {200}
    assert (world.bare_questions, world.exchanges()) == (10, 1)
    world.registry.gate.clear()
    pulls = [asyncio.create_task(world.pull()) for _ in range(5)]
    await eventually(lambda: world.bare_questions == 15)
    world.registry.gate.set()
    assert await asyncio.gather(*pulls) == [200] * 5


async def test_the_password_is_shown_to_nobody_new(world: LoginWorld) -> None:
    """Whatever a bad node names, only what the rule allows gets it."""
    world.registry.bad_challenges = foreign(world)
    world.registry.bad_answers = 3
    for _ in range(60):
        await world.pull()
        world.clock.advance(1.0)
    shown_at = {
        each.path for each in world.registry.requests if each.header("Authorization") is not None
    }
    assert {path for path in shown_at if not path.startswith("/v2/")} == {"/token"}
    tokens = [each for each in world.registry.requests if each.path == "/token"]
    assert {each.header("Authorization") for each in tokens} == {ROBOTS_HEADER}
    assert isinstance(world.registry.login, BearerLogin)
