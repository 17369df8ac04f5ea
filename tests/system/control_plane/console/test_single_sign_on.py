"""Signing in to the console at an OpenID provider, and out of it; and what is no login."""

import asyncio
import base64
import re
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any, NamedTuple
from urllib.parse import quote

import asyncpg
import orjson
import pytest
from joserfc.jwk import OctKey
from yarl import URL

from control_plane.operators.person import Person
from tests.support.console_client import SESSION, ConsoleClient, Page, console_client
from tests.support.control_plane import ControlPlane
from tests.support.eventually import eventually
from tests.support.oidc_provider import AUDIENCE, CONSOLE_SECRET, PersonsBrowser
from tests.support.simulators.openid_provider import CLIENT_ID, OpenIdSimulator, signing_key
from tests.system.control_plane.conftest import StartPlane
from tests.system.control_plane.console.conftest import SignedOn

BEGIN = "/console/single-sign-on"
LOGIN = "__Host-control-plane-login"
LOGOUT_EVENT = "http://schemas.openid.net/event/backchannel-logout"


class Visitor(NamedTuple):
    """Somebody's browser, as the provider and as the console see it."""

    console: ConsoleClient
    browser: PersonsBrowser

    async def sign_in(self, after: str = "/console/") -> Page:
        """Sign in at the provider; return the console's answer."""
        return await self.come_back(await self.begin(after))

    async def begin(self, after: str = "/console/") -> str:
        """Begin a login; return where the provider is."""
        begun = await self.console.get(f"{BEGIN}?next={after}")
        assert begun.status == 303, begun.text
        return begun.headers["Location"]

    async def come_back(self, address: str) -> Page:
        """Log in at the provider, and bring its answer to the console."""
        answer, _, _ = await self.browser.go(address, until=self.console.url)
        return await self.console.get(answer.raw_path_qs)


@pytest.fixture
async def persons(signed_on: SignedOn) -> AsyncIterator[Any]:
    """Make browsers of persons, which end with the test."""
    async with AsyncExitStack() as ending:

        async def make(name: str) -> Visitor:
            console = await ending.enter_async_context(console_client(signed_on.plane, None))
            browser = PersonsBrowser.new(name)
            ending.push_async_callback(browser.session.close)
            return Visitor(console, browser)

        yield make


async def test_a_person_signs_in_and_out(signed_on: SignedOn, persons: Any) -> None:
    """With the name that the provider says; the other browsers and tokens end with the logout."""
    ada, elsewhere, ben = await persons("ada"), await persons("ada"), await persons("ben")
    shown = await ada.console.get("/console/sign-in?next=/console/me")
    assert f'href="{BEGIN}?next=%2Fconsole%2Fme"' in shown.text
    signed_in = await ada.sign_in("/console/?a=b")
    assert (signed_in.status, signed_in.headers["Location"]) == (303, "/console/?a=b")
    assert LOGIN not in ada.console.cookies
    overview = await ada.console.get("/console/")
    assert (overview.status, "ada@firm.example" in overview.text) == (200, True)
    for each in (elsewhere, ben):
        await each.sign_in()
    out = await ada.console.post("/console/sign-out", {"form_token": overview.form_token})
    assert (out.status, SESSION in ada.console.cookies) == (200, False)
    end = await ada.console.get(f"{BEGIN}/end")
    assert (await elsewhere.console.get("/console/")).status == 200
    await ada.browser.go(end.headers["Location"], answers={"logout": "yes"})

    async def is_out() -> bool:
        page: Page = await elsewhere.console.get("/console/")
        return page.status == 303

    await eventually(is_out)
    assert (await ben.console.get("/console/")).status == 200
    of_ben = f"/v1/operators/{quote(str(Person(signed_on.provider.issuer, 'ben')), safe='')}"
    root = signed_on.plane.client("root")
    assert len((await root.call("GET", f"{of_ben}/sessions")).json["items"]) == 1
    assert (await root.call("DELETE", f"{of_ben}/sessions")).status == 204
    assert (await ben.console.get("/console/")).status == 303
    log = signed_on.plane.log.read_text()
    assert "logged out at the provider" in log
    told = [each for each in await root.audit() if each["action"] == "operator.provider_logout"]
    of_ada = f"operator/{Person(signed_on.provider.issuer, 'ada')}"
    assert {(each["actor"], each["about"]) for each in told} == {("single sign-on", of_ada)}
    assert CONSOLE_SECRET not in log + signed_on.plane.child.log_tail
    await asyncio.sleep(1.1)  # a logout ends what was issued within its second
    assert (await elsewhere.sign_in()).status == 303
    assert (await elsewhere.console.get("/console/")).status == 200


async def test_a_person_without_a_role_is_told_so(persons: Any) -> None:
    """On the sign-in page, without a session."""
    mallory = await persons("mallory")
    refused = await mallory.sign_in()
    assert (refused.status, "gives you no role here" in refused.text) == (403, True)
    assert SESSION not in mallory.console.cookies


async def test_only_the_browser_that_began_a_login_ends_it(persons: Any) -> None:
    """An answer that was sent to somebody (login CSRF), or that is sent twice, is none."""
    ada, eve = await persons("ada"), await persons("eve")
    of_eve, _, _ = await eve.browser.go(await eve.begin(), until=eve.console.url)
    without = await ada.console.get(of_eve.raw_path_qs)
    assert (without.status, "did not begin the login" in without.text) == (401, True)
    await ada.begin()
    other = await ada.console.get(of_eve.raw_path_qs)
    assert (other.status, "another login" in other.text) == (401, True)
    cookie = eve.console.cookies[LOGIN]
    assert (await eve.console.get(of_eve.raw_path_qs)).status == 303
    eve.console.cookies[LOGIN] = cookie
    again = await eve.console.get(of_eve.raw_path_qs)
    assert (again.status, "was used already" in again.text) == (401, True)
    for changed in ({"iss": "https://other.example"}, {"iss": None}, {"state": "guessed"}):
        eve.console.cookies[LOGIN] = cookie
        query = {**of_eve.query, **changed}
        told = {name: value for name, value in query.items() if value is not None}
        refused = await eve.console.get(str(of_eve.with_query(told).relative()))
        assert refused.status == 401
        assert re.search("another provider|of which provider|another login", refused.text)
    eve.console.cookies[LOGIN] = cookie
    twice = await eve.console.get(f"{of_eve.raw_path_qs}&state=x")
    assert (twice.status, "says something twice" in twice.text) == (401, True)
    eve.console.cookies[LOGIN] = f"{cookie[:-4]}AAAA"
    assert (await eve.console.get(of_eve.raw_path_qs)).status == 401


async def test_a_session_goes_on_under_nobody_elses_name(persons: Any) -> None:
    """Whoever is somebody else at the provider meanwhile signs out first."""
    ada = await persons("ada")
    await ada.sign_in()
    cookie = ada.console.cookies[SESSION]
    ada.browser.name = "ben"
    ada.browser.session.cookie_jar.clear()
    refused = await ada.sign_in()
    assert (refused.status, "somebody else than the session" in refused.text) == (401, True)
    assert ada.console.cookies[SESSION] == cookie


@pytest.mark.parametrize("after", ["https://evil.example/", "//evil.example", "/v1/connections"])
async def test_a_login_leads_nowhere_else(persons: Any, after: str) -> None:
    """To a page of the console alone."""
    ada = await persons("ada")
    assert (await ada.sign_in(after)).headers["Location"] == "/console/"


class Simulated(NamedTuple):
    """A control plane, and a provider that signs what a test wants."""

    plane: ControlPlane
    provider: OpenIdSimulator
    console: ConsoleClient

    async def come_back(self, **claims: Any) -> Page:
        """Log in, with an ID token of these claims."""
        asked = await self._begun()
        self.provider.id_token = self.id_token(asked, **claims)
        return await self._answered(asked)

    async def come_back_with(self, token: Any) -> Page:
        """Log in with the ID token that a function makes of what was asked."""
        asked = await self._begun()
        self.provider.id_token = token(asked)
        return await self._answered(asked)

    def id_token(self, asked: URL, *, header: Any = None, key: Any = None, **claims: Any) -> str:
        """Return an ID token, good but for what is given."""
        usual = {"aud": CLIENT_ID, "nonce": asked.query["nonce"], "roles": ["viewers"]}
        return self.provider.access_token(
            header={"typ": "JWT", **(header or {})}, key=key, **{**usual, **claims}
        )

    async def log_out(self, token_id: str, **claims: Any) -> int:
        """Have the provider tell of a logout; return the status of the answer."""
        usual = {"aud": CLIENT_ID, "events": {LOGOUT_EVENT: {}}, "jti": token_id}
        token = self.provider.access_token(header={"typ": "logout+jwt"}, **{**usual, **claims})
        return (
            await self.console.post(f"{BEGIN}/logout", {"logout_token": token}, {"Origin": ""})
        ).status

    async def _begun(self) -> URL:
        begun = await self.console.get(BEGIN)
        assert begun.status == 303, begun.text
        return URL(begun.headers["Location"])

    async def _answered(self, asked: URL) -> Page:
        return await self.console.get(f"{BEGIN}/callback?code=c&state={asked.query['state']}")


@pytest.fixture
async def simulated(start_plane: StartPlane) -> AsyncIterator[Simulated]:
    """One of each."""
    async with OpenIdSimulator() as provider:
        secret = {"CONTROL_PLANE_OIDC_CLIENT_SECRET": f"{CONSOLE_SECRET}:/"}
        plane = await start_plane(provider.settings(**secret))
        async with console_client(plane, None) as console:
            yield Simulated(plane, provider, console)


async def test_an_id_token_is_one_of_this_login(simulated: Simulated) -> None:
    """Each of these is signed, or looks so; each refusal is told in words."""
    provider = simulated.provider
    assert (await simulated.come_back()).status == 303
    (request,) = provider.token_requests
    assert len(request["code_verifier"]) >= 43
    scheme, encoded = request["Authorization"].split(" ")
    told = base64.b64decode(encoded).decode()
    assert (scheme, told) == ("Basic", f"{CLIENT_ID}:{CONSOLE_SECRET}%3A%2F")
    now = int(time.time())
    shared = OctKey.import_key(orjson.dumps(provider.key.as_dict(private=False)))
    refusals: dict[str, dict[str, Any]] = {
        "answers another login": {"nonce": "another"},
        "for another client": {"aud": AUDIENCE},
        "issued to another client": {"aud": [CLIENT_ID, "b"], "azp": "b"},
        "another issuer": {"iss": "https://other.example"},
        "has expired": {"exp": now - 61},
        "not valid yet": {"iat": now + 600},
        "signature does not hold": {"key": signing_key(provider.key.kid or "")},
        "algorithm that is not accepted": {"header": {"alg": "HS256"}, "key": shared},
        "no key of the id": {"header": {"kid": "invented"}},
        "logout token": {"events": {LOGOUT_EVENT: {}}},
    }
    for words, claims in refusals.items():
        simulated.console.cookies.pop(SESSION, None)
        refused = await simulated.come_back(**claims)
        assert (refused.status, words) == (401, words), refused.text
        assert words in refused.text
        assert SESSION not in simulated.console.cookies
    none = await simulated.come_back_with(
        lambda asked: "eyJhbGciOiJub25lIn0." + simulated.id_token(asked).split(".")[1] + "."
    )
    assert "algorithm that is not accepted" in none.text
    without = await simulated.come_back_with(lambda _: "")
    assert (without.status, "gave no ID token" in without.text) == (401, True)
    assert SESSION not in simulated.console.cookies
    log = simulated.plane.log.read_text()
    assert CONSOLE_SECRET not in log
    assert provider.token_requests[-1]["code_verifier"] not in log


async def test_a_logout_token_is_the_providers(simulated: Simulated) -> None:
    """Nobody else logs persons out, nor does one that comes again later; who was, is told so."""
    provider, console = simulated.provider, simulated.console
    now = int(time.time())
    usual: dict[str, Any] = {
        "aud": CLIENT_ID,
        "events": {LOGOUT_EVENT: {}},
        "iat": now,
        "jti": "1",
    }
    wrong: list[dict[str, Any]] = [
        {"key": signing_key(provider.key.kid or "")},
        {"aud": "another"},
        {"iss": "https://other.example"},
        {"nonce": "n"},
        {"events": {}},
        {"exp": now - 61},
        {"without": ("sub",)},
    ]
    await simulated.come_back()
    for claims in wrong:
        token = provider.access_token(header={"typ": "logout+jwt"}, **{**usual, **claims})
        answer = await console.post(f"{BEGIN}/logout", {"logout_token": token}, {"Origin": ""})
        assert (answer.status, orjson.loads(answer.text)["error"]) == (400, "invalid_request")
    assert (await console.get("/console/")).status == 200
    of_before = provider.access_token(header={"typ": "logout+jwt"}, **usual | {"iat": now - 100})
    answer = await console.post(f"{BEGIN}/logout", {"logout_token": of_before}, {"Origin": ""})
    assert answer.status == 200
    assert (await console.get("/console/")).status == 200  # it began after that logout
    told = int(time.time()) + 5  # by the provider's clock, which is ahead
    token = provider.access_token(header={"typ": "logout+jwt"}, **usual | {"iat": told})
    for _ in range(2):
        answer = await console.post(
            f"{BEGIN}/logout", {"logout_token": token}, {"Origin": "", "Sec-Fetch-Site": ""}
        )
        assert (answer.status, answer.headers["Cache-Control"]) == (200, "no-store")
    assert (await console.get("/console/")).status == 303
    call = simulated.plane.client(None, token=provider.access_token(iat=told))
    assert "logged its person out" in (await call.call("GET", "/v1/me")).json["detail"]
    assert str(Person(provider.issuer, "ada")) in simulated.plane.log.read_text()
    await simulated.come_back(iat=int(time.time()) + 20)
    assert (await console.get("/console/")).status == 200


async def test_a_logout_that_is_told_again_ends_nothing_that_began_since(
    simulated: Simulated,
) -> None:
    """A provider tells it again if its answer was lost; another logout is another token."""
    told = int(time.time())
    await simulated.come_back()
    assert await simulated.log_out("first", iat=told) == 200
    assert (await simulated.console.get("/console/")).status == 303
    for _ in range(2):
        await simulated.come_back()
        assert await simulated.log_out("first", iat=told) == 200
        assert (await simulated.console.get("/console/")).status == 200
    log = await simulated.plane.client("root").audit()
    assert [each["action"] for each in log].count("operator.provider_logout") == 1
    assert await simulated.log_out("second", iat=int(time.time())) == 200
    assert (await simulated.console.get("/console/")).status == 303


async def test_a_logout_stands_without_its_row(simulated: Simulated) -> None:
    """Whoever writes into the database lets no access token in again, after no restart either."""
    provider, now = simulated.provider, int(time.time())
    tokens = [
        provider.access_token(iat=now - 20),
        provider.access_token(sub="ben", sid="s-1", iat=now - 20),
    ]
    callers = [simulated.plane.client(None, token=each) for each in tokens]
    assert [(await each.call("GET", "/v1/me")).status for each in callers] == [200, 200]
    assert await simulated.log_out("1", iat=now) == 200
    assert await simulated.log_out("2", iat=now, sid="s-1", without=("sub",)) == 200
    owner = await asyncpg.connect(simulated.plane.owner_url)
    assert await owner.execute("DELETE FROM provider_logouts") == "DELETE 2"
    await owner.close()
    await simulated.plane.restart()
    for each in callers:
        answer = await each.call("GET", "/v1/me")
        assert (answer.status, "logged its person out" in answer.json["detail"]) == (401, True)
    assert (
        await simulated.plane.client(None, token=provider.access_token(sub="eva")).call(
            "GET", "/v1/me"
        )
    ).status == 200


async def test_a_session_lasts_no_longer_than_the_settings_it_was_begun_under(
    start_plane: StartPlane, plane: ControlPlane
) -> None:
    """Also where the session's key stays: neither its role nor its provider holds any more."""
    key_file = plane.folder / "settings" / "session.key"
    plane.run("keys", "--only", "session", "--out", str(key_file.parent))
    async with OpenIdSimulator() as provider:
        usual = provider.settings(CONTROL_PLANE_SESSION_KEY_FILE=str(key_file))
        own = await start_plane(usual)
        async with console_client(own, None) as console:
            await Simulated(own, provider, console).come_back()
            await own.restart()
            assert (await console.get("/console/")).status == 200
            cookie = console.cookies[SESSION]
            own.environment["CONTROL_PLANE_OIDC_ROLES"] = '{"approvers":"approver"}'
            await own.restart()
            assert (await console.get("/console/")).status == 303
            for name in usual.keys() - {"CONTROL_PLANE_SESSION_KEY_FILE"}:
                del own.environment[name]
            await own.restart()
            console.cookies[SESSION] = cookie
            assert (await console.get("/console/")).status == 303


async def test_the_provider_is_away(simulated: Simulated) -> None:
    """Persons are told so on a page; a token signs in all the same."""
    simulated.provider.away = True
    await simulated.plane.restart()
    refused = await simulated.console.get(BEGIN)
    assert (refused.status, "operators&#39; tokens work" in refused.text) == (503, True)
    bob = simulated.plane.tokens["bob"]
    assert (await simulated.console.sign_in(bob)).status == 303
