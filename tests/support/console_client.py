"""A client of the console that is no browser: it sends what a test wants it to send."""

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final

import aiohttp
from attrs import define, field

from tests.support.control_plane import ControlPlane

SESSION: Final = "__Host-control-plane-session"
VISITOR: Final = "__Host-control-plane-visitor"
_FORM_TOKEN: Final = re.compile(r'name="form_token" value="([^"]*)"')


@define
class Page:
    """An answer of the console."""

    status: int
    text: str
    headers: Mapping[str, str]
    set_cookies: list[str]

    @property
    def form_token(self) -> str:
        """What the forms of the page bear."""
        found = _FORM_TOKEN.search(self.text)
        assert found, self.text
        return found[1]


@define
class ConsoleClient:
    """Keeps cookies as a browser does, though over plain HTTP to an address."""

    url: str
    _session: aiohttp.ClientSession
    cookies: dict[str, str] = field(factory=dict)

    async def get(self, path: str, **headers: str) -> Page:
        """Return the answer; redirects are not followed."""
        return await self._send("GET", path, None, headers)

    async def post(
        self, path: str, fields: Mapping[str, str], headers: Mapping[str, str] | None = None
    ) -> Page:
        """Send a form as a browser does from a page of ours, unless the headers say otherwise."""
        ours = {"Origin": self.url, "Sec-Fetch-Site": "same-origin"}
        return await self._send("POST", path, fields, ours | dict(headers or {}))

    async def sign_in(self, token: str) -> Page:
        """Sign in as a browser does: with the cookie and the form of the sign-in page."""
        shown = await self.get("/console/sign-in")
        sent = {"form_token": shown.form_token, "token": token, "next": "/console/"}
        return await self.post("/console/sign-in", sent)

    async def _send(
        self, method: str, path: str, fields: Mapping[str, str] | None, headers: Mapping[str, str]
    ) -> Page:
        cookies = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        sent = {**({"Cookie": cookies} if cookies else {}), **headers}
        async with self._session.request(
            method,
            f"{self.url}{path}",
            data=fields,
            headers={name: value for name, value in sent.items() if value},
            allow_redirects=False,
        ) as response:
            for name, morsel in response.cookies.items():
                self.cookies.pop(name, None)
                if morsel.value and morsel["max-age"] != "0":
                    self.cookies[name] = morsel.value
            return Page(
                response.status,
                await response.text(),
                response.headers.copy(),
                response.headers.getall("Set-Cookie", []),
            )


@asynccontextmanager
async def console_client(plane: ControlPlane, name: str | None) -> AsyncIterator[ConsoleClient]:
    """Yield a client in which alice, bob, root or eve is signed in, or nobody."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        client = ConsoleClient(plane.url, session)
        if name is not None:
            page = await client.sign_in(plane.tokens[name])
            assert page.status == 303, page.text
        yield client
