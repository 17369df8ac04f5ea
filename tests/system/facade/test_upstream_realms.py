"""Whom a registry says to log in with: shown the credential only if an approver could see it."""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator
from ipaddress import ip_network
from typing import Any

import pytest

from deploy.dev.device_ca import CertificateAuthority, IssuedCertificate
from tests.support.eventually import eventually
from tests.support.facade_process import Answer, Device, Facade
from tests.support.facade_states import CANARY_TOKEN, USERNAME, connect, pull_path
from tests.support.simulators.behaviour import Answers, RedirectsTo
from tests.support.simulators.login import BearerLogin
from tests.support.simulators.registry import (
    DEFAULT_REPOSITORY,
    RegistrySimulator,
    StoreSimulator,
)
from tests.support.statement_writer import StatementWriter


@pytest.fixture
def login() -> BearerLogin:
    """The login of `upstream`: its own token endpoint, until a test says otherwise."""
    return BearerLogin(USERNAME, CANARY_TOKEN)


@pytest.fixture
async def upstream(login: BearerLogin) -> AsyncIterator[RegistrySimulator]:
    """A registry that asks for tokens."""
    async with RegistrySimulator(login=login) as registry:
        yield registry


@pytest.fixture
async def foreign() -> AsyncIterator[StoreSimulator]:
    """Whoever a hostile registry would have our password sent to."""
    async with StoreSimulator() as listener:
        yield listener


@pytest.fixture
def device(facade: Facade, issued: IssuedCertificate) -> Device:
    """A good device."""
    return facade.device(issued)


@pytest.fixture
def over_tls(server_ca: CertificateAuthority) -> dict[str, Any]:
    """What a connection over TLS is approved with."""
    return {"plain_http": False, "ca_certificate": server_ca.pem.decode()}


async def pull(
    device: Device,
    upstream: RegistrySimulator,
    content: bytes = b"blob",
    repository: str = DEFAULT_REPOSITORY,
) -> Answer:
    """Pull a blob; a failed login is remembered for the repository."""
    digest = upstream.blob(content, repository=repository)
    return await device.get(pull_path(upstream, digest, repository=repository))


def assert_refused(answer: Answer) -> None:
    """Assert that the facade did not go where it was sent."""
    assert (answer.status, answer.error_code) == (502, "UNAVAILABLE")


async def test_the_registry_s_own_token_endpoint_is_asked(
    device: Device,
    facade: Facade,
    writer: StatementWriter,
    upstream: RegistrySimulator,
    login: BearerLogin,
) -> None:
    """With the password; the registry's blobs see the token alone."""
    await connect(facade, writer, upstream)
    assert (await pull(device, upstream)).body == b"blob"
    assert login.minted == 1
    for request in upstream.requests:
        scheme = (request.header("Authorization") or "none").partition(" ")[0]
        assert scheme == "Basic" if request.path == "/token" else scheme in ("none", "Bearer")


async def test_a_foreign_realm_is_not_even_connected_to(
    device: Device,
    facade: Facade,
    writer: StatementWriter,
    upstream: RegistrySimulator,
    foreign: StoreSimulator,
    login: BearerLogin,
) -> None:
    """Not with a password, not without one, and neither is it told that we were here."""
    await connect(facade, writer, upstream)
    own = upstream.authority
    for number, realm in enumerate(
        [
            f"{foreign.origin}/token",
            f"http://{own}@{foreign.authority}/token",
            f"http://{foreign.authority}#{own}/token",
            f"http://{foreign.authority}\\{own}/token",
            f"//{foreign.authority}/token",
            f"http://localhost:{foreign.port}/token",
            f"http://127.1:{foreign.port}/token",
            f"http://2130706433:{foreign.port}/token",
            f"https://{foreign.authority}/token",
        ]
    ):
        login.realm = realm
        answer = await pull(device, upstream, repository=f"team/app-{number}")
        assert (answer.status, answer.error_code) == (502, "UNAVAILABLE"), realm
        assert len(upstream.pulls) == number + 1
    assert foreign.connections_made == 0
    assert login.minted == 0


async def test_an_anonymous_connection_is_not_led_away_either(
    device: Device,
    facade: Facade,
    writer: StatementWriter,
    upstream: RegistrySimulator,
    foreign: StoreSimulator,
    login: BearerLogin,
) -> None:
    """Without a credential there is still an inside to be led to."""
    login.realm = f"{foreign.origin}/token"
    await connect(facade, writer, upstream, username=None, token=None)
    assert_refused(await pull(device, upstream))
    assert foreign.connections_made == 0


async def test_a_realm_that_was_approved_is_asked(
    device: Device,
    facade: Facade,
    writer: StatementWriter,
    server_tls: ssl.SSLContext,
    over_tls: dict[str, Any],
) -> None:
    """Over https, on the path that was approved and no other."""
    tokens = BearerLogin(USERNAME, CANARY_TOKEN)
    async with (
        RegistrySimulator(login=tokens, tls=server_tls) as endpoint,
        RegistrySimulator(login=tokens, tls=server_tls) as upstream,
    ):
        tokens.realm = realm = f"{endpoint.origin}/token"
        await connect(facade, writer, upstream, auth_realms=(realm,), **over_tls)
        assert (await pull(device, upstream)).body == b"blob"
        assert [request.path for request in endpoint.requests] == ["/token"]
        tokens.revoke_tokens()
        tokens.realm = f"{endpoint.origin}/other"
        assert (await pull(device, upstream, b"other")).status == 502
        assert [request.path for request in endpoint.requests] == ["/token"]


async def test_a_realm_in_the_clear_is_the_registry_s_own_or_none(
    device: Device,
    facade: Facade,
    writer: StatementWriter,
    upstream: RegistrySimulator,
    foreign: StoreSimulator,
    login: BearerLogin,
) -> None:
    """A password is not sent to another port in the clear, not even where it was approved."""
    login.realm = realm = f"{foreign.origin}/token"
    await connect(facade, writer, upstream, auth_realms=(realm,))
    assert_refused(await pull(device, upstream))
    assert foreign.connections_made == 0


async def test_a_registry_over_tls_has_no_realm_in_the_clear(
    device: Device,
    facade: Facade,
    writer: StatementWriter,
    server_tls: ssl.SSLContext,
    over_tls: dict[str, Any],
    foreign: StoreSimulator,
) -> None:
    """Nor on its own host."""
    login = BearerLogin(USERNAME, CANARY_TOKEN, realm=f"{foreign.origin}/token")
    async with RegistrySimulator(login=login, tls=server_tls) as upstream:
        await connect(facade, writer, upstream, **over_tls)
        assert_refused(await pull(device, upstream))
        login.realm = f"http://{upstream.authority}/token"
        assert_refused(await pull(device, upstream, repository="own/host"))
        assert len(upstream.pulls) == 2
    assert foreign.connections_made == 0
    assert login.minted == 0


@pytest.mark.parametrize(
    "realm",
    [
        "https://169.254.169.254/token",
        "https://168.63.129.16/token",
        "https://169.254.1.1/token",
        "https://10.0.0.1/token",
        "https://192.168.1.1/token",
    ],
)
async def test_an_approved_realm_does_not_lead_inside(
    realm: str,
    device: Device,
    facade: Facade,
    writer: StatementWriter,
    upstream: RegistrySimulator,
    login: BearerLogin,
) -> None:
    """The address rule holds for it as for every other host."""
    login.realm = realm
    await connect(facade, writer, upstream, auth_realms=(realm,))
    assert_refused(await pull(device, upstream))


async def test_metadata_is_no_realm_whatever_is_allowed(
    device: Device,
    facade: Facade,
    writer: StatementWriter,
    upstream: RegistrySimulator,
    login: BearerLogin,
) -> None:
    """Neither the realm's approval nor that of every network makes it one."""
    login.realm = realm = "https://169.254.169.254/token"
    networks = (ip_network("0.0.0.0/0"), ip_network("::/0"))
    await connect(facade, writer, upstream, auth_realms=(realm,), allowed_networks=networks)
    assert_refused(await pull(device, upstream))


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_token_endpoint_may_move_within_the_registry(
    status: int,
    device: Device,
    facade: Facade,
    writer: StatementWriter,
    upstream: RegistrySimulator,
    login: BearerLogin,
) -> None:
    """Its redirect is followed with the credential, as skopeo and containerd do."""
    login.realm, login.path = f"{upstream.origin}/token", "/token2"
    upstream.paths["/token"] = RedirectsTo("./token2", status)
    await connect(facade, writer, upstream)
    assert (await pull(device, upstream)).body == b"blob"
    assert login.minted == 1


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_token_endpoint_does_not_lead_to_a_foreign_one(
    status: int,
    device: Device,
    facade: Facade,
    writer: StatementWriter,
    upstream: RegistrySimulator,
    foreign: StoreSimulator,
    login: BearerLogin,
) -> None:
    """What may be shown the password does not say who else may."""
    login.answer = (status, (("Location", f"{foreign.origin}/token"),), b"")
    await connect(facade, writer, upstream)
    answer = await pull(device, upstream)
    assert answer.status in (502, 503)
    assert foreign.connections_made == 0


@pytest.mark.parametrize("username", [None, USERNAME], ids=["anonymous", "with a password"])
async def test_a_token_endpoint_that_moved_is_found(
    username: str | None, device: Device, facade: Facade, writer: StatementWriter
) -> None:
    """When the token has expired: in the very pulls that find the old one gone."""
    token = username and CANARY_TOKEN
    login = BearerLogin(username, token, lifetime_seconds=1.0)
    async with RegistrySimulator(login=login) as upstream:
        await connect(facade, writer, upstream, username=username, token=token)
        assert (await pull(device, upstream)).status == 200
        [(expiry, _)] = login.tokens.values()
        upstream.paths["/token"], login.path = Answers(404), "/token2"
        login.lifetime_seconds = 300  # the next one outlasts ten pulls, on whatever machine
        await eventually(lambda: time.monotonic() > expiry)
        asked = len(upstream.pulls)
        pulls = [pull(device, upstream, b"%d" % number) for number in range(10)]
        assert {answer.status for answer in await asyncio.gather(*pulls)} == {200}
        bare = [each for each in upstream.pulls[asked:] if each.header("Authorization") is None]
        assert len(bare) == 1
        assert login.minted == 2


CHALLENGES = [
    (),
    ("Negotiate",),
    ("Bearer",),
    ('Bearer service="x"',),
    ('Bearer realm="{realm}',),
    ('Bearer realm="{realm}",realm="{realm}"',),
    ("Digest realm=x",),
    ("x" * 12_000,),
    tuple(f"Scheme{number}" for number in range(40)),
    ("Bearer realm=\x01",),
]


async def test_a_challenge_that_makes_no_sense_is_answered_by_nothing(
    device: Device,
    facade: Facade,
    writer: StatementWriter,
    upstream: RegistrySimulator,
    login: BearerLogin,
) -> None:
    """A guess here would decide who is shown a credential."""
    await connect(facade, writer, upstream)
    for number, challenges in enumerate(CHALLENGES):
        login.challenges = challenges
        answer = await pull(device, upstream, repository=f"team/app-{number}")
        assert len(upstream.pulls) == number + 1
        assert (answer.status, answer.error_code) in (
            (502, "UNAVAILABLE"),
            (502, "DENIED"),
        ), challenges
    assert login.minted == 0
    assert all(request.header("Authorization") is None for request in upstream.requests)


async def test_a_bearer_challenge_behind_others_is_found(
    device: Device,
    facade: Facade,
    writer: StatementWriter,
    upstream: RegistrySimulator,
    login: BearerLogin,
) -> None:
    """`Negotiate` in a header of its own was seen to hide it; a password alone is not sent."""
    login.challenges = ("Negotiate", 'Basic realm="old"', 'BEARER Realm="{realm}" , Service=s')
    await connect(facade, writer, upstream)
    assert (await pull(device, upstream)).body == b"blob"
    presented = [
        request.header("Authorization") or ""
        for request in upstream.requests
        if request.path != "/token"
    ]
    assert not any(value.startswith("Basic") for value in presented)
