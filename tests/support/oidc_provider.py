"""npm's `oidc-provider`, a certified OpenID provider, as a child process; and a person's browser.

    with OidcProvider.start(folder) as provider:
        ...  # CONTROL_PLANE_OIDC_ISSUER=provider.issuer
        answer = await provider.log_in("ada", address)

Whoever gives a name there is logged in. ada and ben are approvers, eve is a viewer, mallory is
nobody here.
"""

import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from html import unescape
from pathlib import Path
from typing import Any, Final, Self

import aiohttp
from attrs import define, field
from joserfc.jwk import ECKey, KeySet
from yarl import URL

from deploy.dev.processes import free_port
from tests.support.node_program import start_node, stop_node
from tests.support.simulators.openid_provider import signing_key

AUDIENCE: Final = "https://registry.example/api"
CLI_CLIENT_ID: Final = "registry-cli"
CONSOLE_CLIENT_ID: Final = "registry-console"
CONSOLE_SECRET: Final = "canary-secret-of-the-console"
ROLES: Final = {"ada": ["approvers"], "ben": ["approvers"], "eve": ["viewers"], "root": ["admins"]}
_FORM: Final = re.compile(
    r"<form[^>]*action=\"(?P<action>[^\"]+)\"[^>]*>(?P<fields>.*?)</form>", re.DOTALL
)
_INPUT: Final = re.compile(r"<input[^>]*>")
_ATTRIBUTE: Final = re.compile(r"(?P<name>name|value)=\"(?P<value>[^\"]*)\"")
MAX_STEPS: Final = 20
REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})


def environment_of_clients(issuer: str) -> dict[str, str]:
    """Return what a control plane is told of a provider on the loopback, but for roles."""
    return {
        "CONTROL_PLANE_OIDC_ISSUER": issuer,
        "CONTROL_PLANE_OIDC_CLIENT_ID": CONSOLE_CLIENT_ID,
        "CONTROL_PLANE_OIDC_CLIENT_SECRET": CONSOLE_SECRET,
        "CONTROL_PLANE_OIDC_CLI_CLIENT_ID": CLI_CLIENT_ID,
        "CONTROL_PLANE_OIDC_AUDIENCE": AUDIENCE,
        "CONTROL_PLANE_OIDC_NETWORKS": "127.0.0.0/8",
    }


@define(eq=False)
class OidcProvider:
    """One provider, ready."""

    port: int
    key: ECKey
    log: Path
    settings: dict[str, Any] = field(repr=False)
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @classmethod
    @contextmanager
    def start(cls, folder: Path, *, console_url: str = "http://127.0.0.1:1") -> Iterator[Self]:
        """Yield it; it ends with the block."""
        key = signing_key("first")
        provider = cls(
            free_port(),
            key,
            folder / "oidc-provider.log",
            {
                "audience": AUDIENCE,
                "roles": ROLES,
                "clients": _clients(console_url),
            },
        )
        provider.start_again()
        try:
            yield provider
        finally:
            provider.stop()

    @property
    def issuer(self) -> str:
        """Its URL."""
        return f"http://127.0.0.1:{self.port}"

    def environment(self, **more: str) -> dict[str, str]:
        """Return what a control plane is told of it."""
        return {
            **environment_of_clients(self.issuer),
            "CONTROL_PLANE_OIDC_AUDIENCE_PARAMETER": "resource",
            "CONTROL_PLANE_OIDC_SCOPES": "openid email roles offline_access",
            "CONTROL_PLANE_OIDC_ROLES": (
                '{"viewers":"viewer","approvers":"approver","admins":"admin"}'
            ),
            **more,
        }

    def start_again(self) -> None:
        """Start it after it was stopped, with the keys that it is given now."""
        keys = KeySet([self.key]).as_dict(private=True)
        settings = self.settings | {"port": self.port, "jwks": keys}
        self._process = start_node("openid_provider.mjs", settings, self.log)

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            stop_node(self._process)
            self._process = None


@define(eq=False)
class PersonsBrowser:
    """A browser of a person who answers what the provider asks; it keeps cookies."""

    name: str
    session: aiohttp.ClientSession
    seen: list[str] = field(factory=list)  # the pages that were shown, without the provider's

    @classmethod
    def new(cls, name: str) -> "PersonsBrowser":
        """Return one that knows nobody; the caller closes its session."""
        jar = aiohttp.CookieJar(unsafe=True)  # of addresses too
        return cls(name, aiohttp.ClientSession(cookie_jar=jar))

    async def go(
        self, address: str, *, answers: Mapping[str, str] | None = None, until: str = ""
    ) -> tuple[URL, int, str]:
        """Open an address, answer the provider's forms, and return where it ends.

        `answers`: what each form's fields and buttons say, by their names. `until`: it stops before
        it follows a redirect to an address that begins so.
        """
        filled = {"login": self.name, "password": "any", **(answers or {})}
        url, form = URL(address, encoded=True), None
        for _ in range(MAX_STEPS):
            async with self.session.request(
                "POST" if form is not None else "GET", url, data=form, allow_redirects=False
            ) as response:
                text = await response.text()
                if response.status in REDIRECTS:
                    url, form = url.join(URL(response.headers["Location"], encoded=True)), None
                    if until and str(url).startswith(until):
                        return url, response.status, ""
                    continue
            found = _FORM.search(text)
            if found is None or response.status >= 400 or url.path.startswith("/console/"):
                return url, response.status, text
            url = url.join(URL(unescape(found["action"]), encoded=True))
            form = _fields(found["fields"], filled) | dict(answers or {})
        raise AssertionError(f"still asked after {MAX_STEPS} steps: {url}")


def _fields(fields: str, filled: Mapping[str, str]) -> dict[str, str]:
    found = dict[str, str]()
    for element in _INPUT.findall(fields):
        said = {name: unescape(value) for name, value in _ATTRIBUTE.findall(element)}
        if name := said.get("name"):
            found[name] = filled.get(name, said.get("value", ""))
    return found


def _clients(console_url: str) -> list[dict[str, Any]]:
    return [
        {
            "client_id": CLI_CLIENT_ID,
            "application_type": "native",
            "token_endpoint_auth_method": "none",
            "redirect_uris": ["http://127.0.0.1/callback"],
            "response_types": ["code"],
            "grant_types": [
                "authorization_code",
                "refresh_token",
                "urn:ietf:params:oauth:grant-type:device_code",
            ],
        },
        {
            "client_id": CONSOLE_CLIENT_ID,
            "client_secret": CONSOLE_SECRET,
            "redirect_uris": [f"{console_url}/console/single-sign-on/callback"],
            "post_logout_redirect_uris": [f"{console_url}/console/sign-in"],
            "backchannel_logout_uri": f"{console_url}/console/single-sign-on/logout",
            "backchannel_logout_session_required": True,
            "response_types": ["code"],
            "grant_types": ["authorization_code"],
        },
    ]
