"""A provider that lies, made by others: each lie is refused in words, and none lets anybody in."""

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final, NamedTuple

import aiohttp
import pytest
from yarl import URL

from tests.support.console_client import SESSION, ConsoleClient, Page, console_client
from tests.support.control_plane import ControlPlane
from tests.support.lying_provider import LyingProvider
from tests.support.oidc_provider import AUDIENCE, CONSOLE_CLIENT_ID
from tests.system.control_plane.conftest import StartPlane

BEGIN: Final = "/console/single-sign-on"


class SignedOn(NamedTuple):
    """A control plane, its provider, another provider, and a browser that nobody is in yet."""

    plane: ControlPlane
    provider: LyingProvider
    other: LyingProvider
    console: ConsoleClient

    async def log_in(self) -> Page:
        """Log in at the provider, and come back with what it answers."""
        return await self.come_back(await answer_of(await self.begin()))

    async def begin(self) -> URL:
        """Return where the console sends a browser that wants to log in."""
        begun = await self.console.get(BEGIN)
        assert begun.status == 303, begun.text
        return URL(begun.headers["Location"], encoded=True)

    async def come_back(self, answer: URL) -> Page:
        """Bring the console an answer."""
        return await self.console.get(answer.raw_path_qs)


async def answer_of(address: URL) -> URL:
    """Return where a provider sends a browser that comes to this address."""
    async with (
        aiohttp.ClientSession() as session,
        session.get(address, allow_redirects=False) as response,
    ):
        assert response.status == 302, await response.text()
        return URL(response.headers["Location"], encoded=True)


@pytest.fixture
async def signed_on(start_plane: StartPlane, tmp_path: Path) -> AsyncIterator[SignedOn]:
    """One of each, and the truth is told."""
    async with AsyncExitStack() as ending:
        provider, other = (ending.enter_context(LyingProvider.start(tmp_path)) for _ in range(2))
        plane = await start_plane(provider.environment())
        console = await ending.enter_async_context(console_client(plane, None))
        yield SignedOn(plane, provider, other, console)


async def test_a_login_with_a_token_that_lies_is_none(signed_on: SignedOn) -> None:
    """Whatever of the ID token, or of the answer that the browser brings, is another."""
    now = int(time.time())
    lies: dict[str, dict[str, Any]] = {
        "algorithm that is not accepted": {"forged": "no signature"},
        "algorithm that is not accepted ": {"forged": "the public key as a secret"},
        "signature does not hold": {"forged": "another key"},
        "no key of the id": {"header": {"kid": "invented"}},
        "for another client": {"claims": {"aud": AUDIENCE}},
        "issued to another client": {"claims": {"azp": "another"}},
        "another issuer": {"claims": {"iss": signed_on.other.issuer}},
        "answers another login": {"claims": {"nonce": "another"}},
        "answers another login ": {"claims": {"nonce": None}},
        "has expired": {"claims": {"exp": now - 61}},
        "until when it holds": {"claims": {"exp": None}},
        "not valid yet": {"claims": {"iat": now + 600}},
        "not valid yet ": {"claims": {"nbf": now + 600}},
        "whose it is": {"claims": {"sub": None}},
        "another provider": {"redirect": {"iss": signed_on.other.issuer}},
        "another login": {"redirect": {"state": "another"}},
        "another login ": {"redirect": {"state": None}},
    }
    for words, lie in lies.items():
        await signed_on.provider.lie(**lie)
        refused = await signed_on.log_in()
        assert (refused.status, words.strip() in refused.text) == (401, True), (lie, refused.text)
        assert SESSION not in signed_on.console.cookies, lie
    await signed_on.provider.lie()
    assert (await signed_on.log_in()).status == 303
    assert (await signed_on.console.get("/console/")).status == 200


async def test_an_answer_is_taken_once_and_from_one_issuer(signed_on: SignedOn) -> None:
    """A code that comes again, another issuer's code, and another issuer in this one's place."""
    provider, other, console = signed_on.provider, signed_on.other, signed_on.console
    answer = await answer_of(await signed_on.begin())
    login = dict(console.cookies)
    assert (await signed_on.come_back(answer)).status == 303
    console.cookies = login
    again = await signed_on.come_back(answer)
    assert (again.status, "did not let you log in" in again.text) == (401, True), again.text

    asked = await signed_on.begin()
    elsewhere = URL(f"{other.issuer}/authorize").with_query(asked.query)
    mixed_up = await signed_on.come_back(await answer_of(elsewhere))
    assert (mixed_up.status, "did not let you log in" in mixed_up.text) == (401, True), (
        mixed_up.text
    )

    await provider.lie(discovery={"token_endpoint": f"{other.issuer}/token"})
    await signed_on.plane.restart()
    elsewhere = URL(f"{other.issuer}/authorize").with_query((await signed_on.begin()).query)
    refused = await signed_on.come_back(await answer_of(elsewhere))
    assert (refused.status, "no key of the id" in refused.text) == (401, True), refused.text

    await provider.lie(discovery={"issuer": other.issuer})
    await signed_on.plane.restart()
    refused = await console.get(BEGIN)
    assert (refused.status, "operators&#39; tokens work" in refused.text) == (503, True)
    assert SESSION not in console.cookies


async def test_a_session_stays_with_its_person(signed_on: SignedOn) -> None:
    """Another subject under the same session is refused, and the session goes on as it was."""
    assert (await signed_on.log_in()).status == 303
    cookie = signed_on.console.cookies[SESSION]
    await signed_on.provider.lie(claims={"sub": "ben", "email": "ben@firm.example"})
    refused = await signed_on.log_in()
    assert (refused.status, "somebody else than the session" in refused.text) == (401, True)
    assert signed_on.console.cookies[SESSION] == cookie
    assert "ada@firm.example" in (await signed_on.console.get("/console/")).text


async def test_an_access_token_that_lies_lets_nobody_in(signed_on: SignedOn) -> None:
    """The API takes those of its issuer, for its audience, signed with a key of it, in time."""
    plane, provider = signed_on.plane, signed_on.provider
    now = int(time.time())
    lies: dict[str, dict[str, Any]] = {
        "algorithm that is not accepted": {"forged": "no signature"},
        "algorithm that is not accepted ": {"forged": "the public key as a secret"},
        "signature does not hold": {"forged": "another key"},
        "no key of the id": {"header": {"kid": "invented"}},
        "another audience": {"claims": {"aud": "https://other.example/api"}},
        "another audience ": {"claims": {"aud": None}},
        "another issuer": {"claims": {"iss": signed_on.other.issuer}},
        "it has expired": {"claims": {"exp": now - 61}},
        "not valid yet": {"claims": {"iat": now + 600}},
        "logout token": {"claims": {"events": {}}},
    }
    tokens = {words: await provider.access_token(**lie) for words, lie in lies.items()}
    tokens["no key of the id  "] = await signed_on.other.access_token(
        claims={"iss": provider.issuer}
    )
    tokens["another audience  "] = await provider.id_token()
    for words, token in tokens.items():
        answer = await plane.client(None, token=token).call("GET", "/v1/me")
        assert answer.status == 401, words
        assert words.strip() in answer.json["detail"], (words, answer.json["detail"])
    await provider.lie(claims={"aud": [AUDIENCE, CONSOLE_CLIENT_ID], "nonce": "n"})
    of_both = await provider.access_token(
        claims={"aud": [AUDIENCE, CONSOLE_CLIENT_ID], "nonce": "n"}
    )
    refused = await plane.client(None, token=of_both).call("GET", "/v1/me")
    assert (refused.status, "ID token" in refused.json["detail"]) == (401, True)
    good = await plane.client(None, token=await provider.access_token()).call("GET", "/v1/me")
    assert (good.status, good.json["role"], good.json["display_name"]) == (
        200,
        "viewer",
        "ada@firm.example",
    )
