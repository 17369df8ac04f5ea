"""A login in a shell: how it is renewed, and what a provider may not do meanwhile."""

import time
from collections.abc import AsyncIterator

import pytest
from attrs import evolve

from control_plane.commands.answers import ProviderLoginAnswer
from control_plane.commands.provider_login import (
    ProviderLogin,
    ProviderLoginError,
    ProviderLoginWay,
)
from control_plane.commands.saved_login import SavedLogin
from control_plane.serving.config import ClientSettings
from shared.secret import Secret
from tests.support.simulators.openid_provider import CLI_CLIENT_ID, OpenIdSimulator

RESOURCE = {"resource": "https://registry.example/api"}


@pytest.fixture
async def provider() -> AsyncIterator[OpenIdSimulator]:
    """A provider that gives what a test wants."""
    async with OpenIdSimulator() as simulator:
        yield simulator


def login_of(provider: OpenIdSimulator, subject: str) -> SavedLogin:
    """Return somebody's login, which has ended."""
    token = Secret(provider.access_token(sub=subject))
    return SavedLogin(provider.issuer, CLI_CLIENT_ID, token, 0.0, Secret("r-1"), RESOURCE)


async def test_a_login_is_renewed_for_the_same_person_alone(provider: OpenIdSimulator) -> None:
    """A provider that mixes its persons up would make somebody act as another."""
    provider.renewed_token = provider.access_token(sub="ada", jti="2")
    login = login_of(provider, "ada")
    opened = ProviderLogin.open(ClientSettings(), provider.issuer, CLI_CLIENT_ID, RESOURCE)
    async with opened as shell:
        renewed = await shell.renewed(login)
        assert renewed.access_token == Secret(provider.renewed_token)
        assert (renewed.refresh_token, renewed.resource) == (Secret("r-1"), RESOURCE)
        assert renewed.expires_at > time.time()
        (asked,) = provider.token_requests
        assert asked == {
            "grant_type": "refresh_token",
            "refresh_token": "r-1",
            "client_id": CLI_CLIENT_ID,
            "Authorization": "",
            **RESOURCE,
        }
        with pytest.raises(ProviderLoginError, match="somebody else than yours"):
            await shell.renewed(login_of(provider, "ben"))
        with pytest.raises(ProviderLoginError, match="your login has ended"):
            await shell.renewed(evolve(login, refresh_token=None))


async def test_a_provider_that_is_none_is_told_in_words(provider: OpenIdSimulator) -> None:
    """And what to do; a provider without the wished way too."""
    for issuer, words in (
        (f"{provider.issuer}/elsewhere", "it answers 404"),
        (provider.issuer.replace("/firm", ""), "it answers 404"),
        ("http://127.0.0.1:1/firm", "CONTROL_PLANE_OIDC_CA_FILE"),
        ("http://login.example", "no https URL"),
    ):
        with pytest.raises(ProviderLoginError, match=words):
            async with ProviderLogin.open(ClientSettings(), issuer, "cli", {}):
                pass
    async with ProviderLogin.open(ClientSettings(), provider.issuer, "cli", {}) as shell:
        with pytest.raises(ProviderLoginError, match="knows no logins by --device"):
            await shell.by_device(("openid",), lambda _address, _code: None)
        assert await shell.revoke(login_of(provider, "ada")) is False


def test_the_control_plane_says_where_to_log_in() -> None:
    """In `GET /v1/login`; without single sign-on the words say what there is."""
    told: ProviderLoginAnswer = {
        "issuer": "https://login.example",
        "client_id": "cli",
        "audience": "api",
        "audience_parameter": "audience",
        "scopes": ["openid"],
    }
    way = ProviderLoginWay.of_answer({"single_sign_on": told}, "https://registry.example")
    assert (way.issuer, way.scopes, way.resource) == (
        "https://login.example",
        ("openid",),
        {"audience": "api"},
    )
    plain: ProviderLoginAnswer = {**told, "audience_parameter": None}
    assert ProviderLoginWay.of_answer({"single_sign_on": plain}, "").resource == {}
    with pytest.raises(ProviderLoginError, match="CONTROL_PLANE_TOKEN"):
        ProviderLoginWay.of_answer({"single_sign_on": None}, "https://registry.example")
