"""Persons call the API with access tokens of the OpenID provider; other tokens are refused."""

import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

import orjson
import pytest
from joserfc.jwk import OctKey

from control_plane.operators.person import Person
from control_plane.single_sign_on.claims import ProviderLogout
from control_plane.single_sign_on.provider_logouts import ProviderLogouts
from tests.support.control_plane import ControlPlane, log_of
from tests.support.simulators.openid_provider import (
    CLI_CLIENT_ID,
    CLIENT_ID,
    OpenIdSimulator,
    signing_key,
)
from tests.system.control_plane.conftest import StartPlane

SECRET = "canary-client-secret"
DENIED = "this token of single sign-on is not accepted"


class SignedOn(NamedTuple):
    """A control plane, and the provider of its persons."""

    plane: ControlPlane
    provider: OpenIdSimulator

    async def me(self, token: str) -> dict[str, Any]:
        """Return who a token's holder is."""
        answer = await self.plane.client(None, token=token).call("GET", "/v1/me")
        assert answer.status == 200, answer.body
        found: dict[str, Any] = answer.json
        return found

    async def refusal(self, token: str, status: int = 401) -> str:
        """Return why a token is refused."""
        answer = await self.plane.client(None, token=token).call("GET", "/v1/me")
        assert answer.status == status, answer.body
        detail: str = answer.json["detail"]
        return detail


@pytest.fixture
async def signed_on(start_plane: StartPlane) -> AsyncIterator[SignedOn]:
    """A control plane that wants a second approver."""
    async with OpenIdSimulator() as provider:
        plane = await start_plane(
            provider.settings(
                CONTROL_PLANE_OIDC_CLIENT_SECRET=SECRET,
                CONTROL_PLANE_REQUIRE_SECOND_APPROVER="true",
            )
        )
        yield SignedOn(plane, provider)


async def test_a_person_is_who_the_provider_says(signed_on: SignedOn, host: str) -> None:
    """The identity is issuer and subject; the name is beside it, in answers and audit log."""
    plane, provider = signed_on
    ada = str(Person(provider.issuer, "ada"))
    me = await signed_on.me(provider.access_token())
    assert (me["name"], me["person"], me["role"], me["login"]) == (
        ada,
        ada,
        "approver",
        "single_sign_on",
    )
    assert me["display_name"] == "ada@firm.example"
    assert (await signed_on.me(provider.access_token(roles=["viewers"])))["role"] == "viewer"
    unverified = await signed_on.me(provider.access_token(email_verified=False))
    assert unverified["display_name"] == ada
    person = plane.client(None, token=provider.access_token())
    view = await person.connect(host)
    assert view["connected_by"] == ada
    refused = await person.approve(view, expect=409)
    assert "a draft of their own" in refused["detail"]
    assert (
        "your token is tied to none"
        in (await plane.client("bob").approve(view, expect=409))["detail"]
    )
    ben = plane.client(None, token=provider.access_token(sub="ben", email="ben@firm.example"))
    ben_here = str(Person(provider.issuer, "ben"))
    path = f"/v1/connections/{view['id']}/send-back"
    sent_back = (await ben.call("POST", path, {"comment": "which fleets?"})).json
    assert sent_back["names"] == {ada: "ada@firm.example", ben_here: "ben@firm.example"}
    shown = plane.run("connections", "show", host, operator="eve")
    assert "was sent back by ben@firm.example" in shown
    approved = await ben.approve(view, despite_send_back=True)
    assert approved["approved_by"] == ben_here
    assert approved["names"] == {ada: "ada@firm.example", ben_here: "ben@firm.example"}
    shown = plane.run("connections", "show", host, operator="eve")
    assert "by ada@firm.example" in shown
    assert "by ben@firm.example" in shown
    entries = [each for each in await person.audit() if each["action"].startswith("connection.")]
    assert [each["details"]["actor_name"] for each in entries] == [
        "ada@firm.example",
        "ben@firm.example",
        "ben@firm.example",
    ]
    check = {"host": host, "provider": "static"}
    assert (await ben.call("POST", "/v1/connection-checks", check)).status == 200
    checked = [each for each in await person.audit() if each["about"] == f"registry/{host}"]
    assert [each["details"]["actor_name"] for each in checked] == ["ben@firm.example"]
    of_bob = await plane.client("bob").connect(f"other-{host}")
    assert "it might be your own" in (await person.approve(of_bob, expect=409))["detail"]
    revoked = await ben.revoke(view["id"])
    assert revoked["names"] == {ben_here: "ben@firm.example"}
    assert "ben@firm.example revoked it" in (await person.approve(view, expect=409))["detail"]


async def test_any_other_token_is_refused_in_words(signed_on: SignedOn) -> None:
    """Each is one that a browser, another application or an attacker may hold."""
    plane, provider = signed_on
    now = int(time.time())
    published = provider.key.as_dict(private=False)
    shared_key = OctKey.import_key(orjson.dumps(published))
    other_key = signing_key(provider.key.kid or "")
    none = provider.access_token()
    header, claims, _ = none.split(".")
    without = OctKey.import_key("0" * 32)
    forged = {
        "algorithm that is not accepted": [
            provider.access_token(header={"alg": "HS256"}, key=shared_key),
            provider.access_token(header={"alg": "HS256"}, key=without),
            f"eyJhbGciOiJub25lIn0.{claims}.",
        ],
        "signature does not hold": [
            provider.access_token(key=other_key),
            f"{header}.{claims}.",
            f"{header}.{provider.access_token(sub='eve').split('.')[1]}.{none.split('.')[2]}",
        ],
        "another issuer": [
            provider.access_token(iss="https://login.example/firm"),
            provider.access_token(without=("iss",)),
        ],
        "another audience": [
            provider.access_token(aud=CLIENT_ID),
            provider.access_token(aud=[CLI_CLIENT_ID, "another"]),
        ],
        "it has expired": [provider.access_token(exp=now - 61)],
        "not valid yet": [
            provider.access_token(iat=now + 600),
            provider.access_token(nbf=now + 600),
        ],
        "ID token": [
            provider.access_token(header={"typ": "JWT"}, nonce="n"),
            provider.access_token(header={"typ": "JWT"}, at_hash="x", aud=CLIENT_ID),
        ],
        "logout token": [provider.access_token(header={"typ": "logout+jwt"})],
        "given to a client": [provider.access_token(sub=CLI_CLIENT_ID)],
        "no key of the id": [provider.access_token(header={"kid": "invented"})],
    }
    for words, tokens in forged.items():
        for token in tokens:
            detail = await signed_on.refusal(token)
            assert detail.startswith(DENIED), (words, detail)
            assert words in detail
    assert "no role here" in await signed_on.refusal(provider.access_token(roles=["x"]), 403)
    denials = [line for line in plane.log_lines if line["event"] == "login denied"]
    assert len(denials) >= sum(map(len, forged.values()))
    printed = plane.log.read_text()
    assert SECRET not in printed
    for tokens in forged.values():
        assert not any(token.split(".")[2][:20] in printed for token in tokens if token[-1] != ".")
    assert none.split(".")[2] not in printed


@pytest.mark.parametrize("nonsense", [None, b'{"keys":[{"kty":"EC"},7]}'])
async def test_the_provider_is_away(signed_on: SignedOn, nonsense: bytes | None) -> None:
    """Or answers nonsense: persons are told so with 503, and operators with tokens go on."""
    plane, provider = signed_on
    await signed_on.me(provider.access_token())
    provider.away, provider.nonsense = nonsense is None, nonsense
    await plane.restart()
    detail = await signed_on.refusal(provider.access_token(), 503)
    assert "operators' tokens work all the same" in detail
    assert (await plane.client("bob").call("GET", "/v1/me")).json["person"] is None
    ready = await plane.client(None).call("GET", "/readyz")
    assert ready.status == 200
    assert "the provider of single sign-on cannot be asked" in ready.json["notes"][-1]
    metrics = (await plane.client("eve").call("GET", "/metrics")).body.decode()
    assert 'control_plane_problem{part="single_sign_on"} 1.0' in metrics


async def test_a_logout_at_the_provider_ends_what_was_issued_before(signed_on: SignedOn) -> None:
    """A row of the database can end a login, and never make one."""
    plane, provider = signed_on
    now = int(time.time())
    before, after = provider.access_token(iat=now - 20), provider.access_token(iat=now)
    of_a_session = provider.access_token(sub="ben", iat=now - 20, sid="s-1")
    for token in (before, after, of_a_session):
        await signed_on.me(token)
    async with log_of(plane.database_url, plane.keys) as chain:
        logouts = ProviderLogouts(provider.issuer, chain)
        ada = Person(provider.issuer, "ada")
        came_at = datetime.fromtimestamp(now - 10, UTC)
        await logouts.note(ProviderLogout(ada, "s-9", now - 10), came_at)
        await logouts.note(ProviderLogout(ada, None, now - 15), came_at)
        await logouts.note(ProviderLogout(None, "s-1", now - 10), came_at)
        sent_again = datetime.fromtimestamp(now, UTC)
        await logouts.note(ProviderLogout(ada, None, now - 100), sent_again)
    for token in (before, of_a_session):
        assert "logged its person out since" in await signed_on.refusal(token)
    assert (await signed_on.me(after))["person"] == str(ada)
    assert (await signed_on.me(provider.access_token(sub="ben", sid="s-2")))["role"] == "approver"


async def test_a_logout_that_is_told_again_ends_no_more_however_much_later(
    plane: ControlPlane,
) -> None:
    """The provider may tell it again for as long as its token holds, which may have no end."""
    came_at, minutes = datetime(2026, 1, 1, 12, 0, 5, tzinfo=UTC), (0, 1, 3, 600)
    told_at = came_at.timestamp()
    clock = told_at
    logout = ProviderLogout(Person("https://id.example", "ada"), None, told_at - 5, "jti-1")
    async with log_of(plane.database_url, plane.keys) as chain:
        logouts = ProviderLogouts("https://id.example", chain, lambda: clock)
        for later in minutes:
            clock = told_at + 60 * later
            assert await logouts.note(logout, datetime.fromtimestamp(clock, UTC)) == came_at


async def test_how_to_log_in_is_open_and_holds_no_secret(
    signed_on: SignedOn, plane: ControlPlane
) -> None:
    """`control-plane login` asks it; without single sign-on a token is told what is missing."""
    own, provider = signed_on
    answer = await own.client(None).call("GET", "/v1/login")
    assert answer.json["single_sign_on"] == {
        "issuer": provider.issuer,
        "client_id": CLI_CLIENT_ID,
        "audience": "https://registry.example/api",
        "audience_parameter": None,
        "scopes": ["openid", "email"],
    }
    assert SECRET.encode() not in answer.body
    nothing = await plane.client(None).call("GET", "/v1/login")
    assert nothing.json == {"single_sign_on": None}
    refused = await plane.client(None, token=provider.access_token()).call("GET", "/v1/me")
    assert (refused.status, "CONTROL_PLANE_OIDC_ISSUER" in refused.json["detail"]) == (401, True)
