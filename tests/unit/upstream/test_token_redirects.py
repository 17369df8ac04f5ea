"""A token endpoint that redirects: whom it may lead the credential to."""

import ssl
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from deploy.dev.device_ca import CertificateAuthority
from shared.registry_host import RegistryHost
from shared.upstream.errors import (
    CredentialRefusedError,
    NotNowError,
    PolicyDeniedError,
    RateLimitedError,
    RealmNotAllowedError,
    RedirectRefusedError,
    ServerError,
    Step,
    TokenExchangeError,
    UpstreamError,
)
from shared.upstream.realm import Realm, realm_allowed
from shared.upstream.redirect import MAX_REDIRECTS
from shared.upstream.target import UpstreamTarget
from shared.upstream.token_exchange import next_realm
from tests.support.simulators.behaviour import Answers, RedirectsTo
from tests.support.simulators.login import BearerLogin, basic_header
from tests.support.simulators.registry import RegistrySimulator, StoreSimulator
from tests.unit.upstream.conftest import PASSWORD, ROBOT, Connect
from tests.unit.upstream.reading import read

STATUSES = [301, 302, 303, 307, 308]
AUTH = "https://auth.example/jwt/auth"
TARGET = UpstreamTarget(RegistryHost("registry.example", 5000), auth_realms=(AUTH,))
PLAIN = UpstreamTarget(RegistryHost("registry.example", 5000), plain_http=True, auth_realms=(AUTH,))
OWN = "https://registry.example:5000/service/token?service=x"


def login(path: str = "/token") -> BearerLogin:
    """A registry whose token endpoint knows the robot."""
    return BearerLogin(ROBOT.username, PASSWORD, path=path)


@pytest.mark.parametrize("status", STATUSES)
async def test_a_redirect_within_the_registry_is_followed_with_the_credential(
    connect: Connect, status: int
) -> None:
    """As skopeo and containerd do; the query is what the endpoint says it is."""
    async with RegistrySimulator(login=login("/token2")) as registry:
        assert isinstance(registry.login, BearerLogin)
        registry.login.realm = f"{registry.origin}/token"
        registry.paths["/token"] = RedirectsTo("../token2?a=%2f&scope=its:own", status)
        digest = registry.blob(b"content")
        client = await connect(registry, ROBOT)
        assert await read(client, digest) == b"content"
        first, second = registry.requests[1:3]
        assert (first.path, second.target) == ("/token", "/token2?a=%2f&scope=its:own")
        shown = {each.header("Authorization") for each in (first, second)}
        assert shown == {basic_header(ROBOT.username, PASSWORD)}


@pytest.mark.parametrize("status", STATUSES)
async def test_a_redirect_to_an_allowed_realm_is_followed_with_the_credential(
    connect: Connect, server_tls: ssl.SSLContext, server_ca: CertificateAuthority, status: int
) -> None:
    """The approver saw it; an anonymous connection is led there, too."""
    shared = login()
    tls: dict[str, Any] = {"tls": server_tls, "name": "localhost"}
    async with (
        RegistrySimulator(login=shared, **tls) as auth,
        RegistrySimulator(login=shared, **tls) as registry,
    ):
        shared.realm = f"{registry.origin}/old"
        registry.paths["/old"] = RedirectsTo(f"{auth.origin}/token", status)
        digest = registry.blob(b"content")
        target = UpstreamTarget(
            registry.host,
            ca_certificate=server_ca.pem.decode(),
            allow_loopback=True,
            auth_realms=(f"{auth.origin}/token",),
        )
        client = await connect(target, ROBOT)
        assert await read(client, digest) == b"content"
        [request] = auth.requests
        assert request.header("Authorization") == basic_header(ROBOT.username, PASSWORD)


async def test_a_redirect_to_another_origin_is_sent_nothing(connect: Connect) -> None:
    """Neither with a credential nor without; the operator is told which realm it would be."""
    async with StoreSimulator() as foreign, RegistrySimulator(login=login()) as registry:
        registry.paths["/token"] = RedirectsTo(f"{foreign.origin}/token?canary=secret")
        digest = registry.blob(b"content")
        for credential in (ROBOT, None):
            client = await connect(registry, credential)
            with pytest.raises(RealmNotAllowedError) as refusal:
                await read(client, digest)
            assert refusal.value.realm == f"{foreign.origin}/token"
            assert "redirects" in refusal.value.message
        assert foreign.connections_made == 0


async def test_a_chain_of_redirects_is_bounded(connect: Connect) -> None:
    """As every other chain."""
    async with RegistrySimulator(login=login()) as registry:
        registry.paths["/token"] = RedirectsTo("?again")
        digest = registry.blob(b"content")
        client = await connect(registry, ROBOT)
        with pytest.raises(RedirectRefusedError) as refusal:
            await read(client, digest)
        assert refusal.value.step is Step.EXCHANGE
        assert len([each for each in registry.requests if each.path == "/token"]) == (
            MAX_REDIRECTS + 1
        )


@pytest.mark.parametrize(
    "current, location, following",
    [
        (OWN, "/other?x=%2F", "https://registry.example:5000/other?x=%2F"),
        (OWN, "?account=a", "https://registry.example:5000/service/token?account=a"),
        (OWN, AUTH, AUTH),
        (OWN, f"{AUTH}?service=x", f"{AUTH}?service=x"),
        (AUTH, "/elsewhere/on/it", "https://auth.example/elsewhere/on/it"),
        (AUTH, OWN, OWN),
        ("http://registry.example:5000/token", AUTH, AUTH),
        ("http://registry.example:5000/token", "/t", "http://registry.example:5000/t"),
        ("http://registry.example:5000/token", OWN, OWN),
    ],
)
def test_the_same_origin_and_an_allowed_realm_are_led_to(
    current: str, location: str, following: str
) -> None:
    """From http to https, too, where the connection is allowed http."""
    target = TARGET if current.startswith("https") else PLAIN
    assert str(next_realm(URL(current, encoded=True), location, target, 0)) == following


@pytest.mark.parametrize(
    "target, current, location",
    [
        (TARGET, OWN, "http://registry.example:5000/token"),
        (PLAIN, OWN, "http://registry.example:5000/token"),
        (PLAIN, AUTH, "http://registry.example:5000/token"),
        (PLAIN, AUTH, "http://auth.example/jwt/auth"),
        (TARGET, OWN, None),
        (TARGET, OWN, "https://user@registry.example:5000/token"),
        (TARGET, OWN, "ftp://registry.example:5000/token"),
    ],
)
def test_a_redirect_down_to_http_is_never_followed(
    target: UpstreamTarget, current: str, location: str | None
) -> None:
    """Not even to the registry itself, whatever the connection says."""
    with pytest.raises(RedirectRefusedError):
        next_realm(URL(current, encoded=True), location, target, 0)


@pytest.mark.parametrize(
    "location",
    [
        "https://evil.example/jwt/auth",
        "https://auth.example/other",
        "https://registry.example/service/token",
        "//registry.example:5001/service/token",
        "https://auth.example.evil.example/jwt/auth",
    ],
)
def test_another_realm_is_not_led_to(location: str) -> None:
    """An entry that has a path allows that path alone."""
    with pytest.raises(RealmNotAllowedError):
        next_realm(URL(OWN, encoded=True), location, TARGET, 0)


@given(
    st.sampled_from(["", "//", "https://", "http://", "/", "../"]),
    st.sampled_from(["registry.example:5000", "registry.example", "auth.example", "evil.example"]),
    st.sampled_from(["", "/jwt/auth", "/a/../jwt/auth", "/%6awt/auth", "?x=/../", "#f", ":80/"]),
    st.sampled_from([TARGET, PLAIN]),
    st.sampled_from([OWN, AUTH, "http://registry.example:5000/token"]),
)
def test_whatever_is_followed_is_of_the_same_origin_or_allowed(
    prefix: str, host: str, rest: str, target: UpstreamTarget, current: str
) -> None:
    """The rule, said a second time."""
    try:
        following = next_realm(URL(current, encoded=True), prefix + host + rest, target, 0)
    except (RedirectRefusedError, RealmNotAllowedError):
        return
    assert not (current.startswith("https") and following.scheme == "http")
    realm = Realm.parse(str(following))
    assert realm.origin == Realm.parse(current).origin or realm_allowed(
        realm, host=target.host, plain_http=target.plain_http, auth_realms=target.auth_realms
    )


@pytest.mark.parametrize(
    "status, error",
    [
        (202, TokenExchangeError),
        (400, TokenExchangeError),
        (401, CredentialRefusedError),
        (402, PolicyDeniedError),
        (403, CredentialRefusedError),
        (404, TokenExchangeError),
        (405, TokenExchangeError),
        (408, NotNowError),
        (410, TokenExchangeError),
        (412, PolicyDeniedError),
        (421, NotNowError),
        (425, NotNowError),
        (429, RateLimitedError),
        (451, PolicyDeniedError),
        (500, ServerError),
        (502, ServerError),
        (503, ServerError),
        (504, ServerError),
        (599, ServerError),
    ],
)
async def test_a_status_of_the_token_endpoint_says_what_it_says_elsewhere(
    connect: Connect, status: int, error: type[UpstreamError]
) -> None:
    """But that a 404 or 410 is about the endpoint, and never about what is pulled."""
    async with RegistrySimulator(login=login()) as registry:
        registry.paths["/token"] = Answers(status)
        digest = registry.blob(b"content")
        client = await connect(registry, ROBOT)
        with pytest.raises(UpstreamError) as failure:
            await read(client, digest)
        assert type(failure.value) is error
        assert failure.value.step is Step.EXCHANGE
