"""How a simulated registry asks for a login."""

import base64
import secrets
import time
from typing import Any

import orjson
from attrs import define, field, frozen

from tests.support.simulators.wire import RecordedRequest


@frozen
class BasicLogin:
    """Every request needs this user name and password."""

    username: str
    password: str
    challenge: str = 'Basic realm="simulator"'

    def accepts(self, request: RecordedRequest) -> bool:
        """Tell whether the request carries them."""
        return request.header("Authorization") == basic_header(self.username, self.password)


@define
class BearerLogin:
    """Every request needs a token of `/token`, which wants Basic if there is a user name.

    `realm` None: this registry's own `path`. `answer` replaces the token endpoint's whole
    answer: (status, headers, body). `answer_fields` are put over the honest JSON (None removes).
    `challenges` replaces the `WWW-Authenticate` values; `{realm}` stands for the realm.
    `is_silent`: the token endpoint says nothing.
    """

    username: str | None = None
    password: str | None = None
    realm: str | None = None
    service: str | None = "simulator"
    lifetime_seconds: float = 300
    answer: tuple[int, tuple[tuple[str, str], ...], bytes] | None = None
    answer_fields: dict[str, Any] = field(factory=dict)
    challenges: tuple[str, ...] | None = None
    is_silent: bool = False
    path: str = "/token"
    services: tuple[str, ...] = ()  # the only ones that the endpoint knows; empty: any
    tokens: dict[str, tuple[float, tuple[str, ...]]] = field(factory=dict, init=False)
    minted: int = field(default=0, init=False)

    def accepts(self, request: RecordedRequest) -> bool:
        """Tell whether the request carries a token of ours that has not expired."""
        scheme, _, token = (request.header("Authorization") or "").partition(" ")
        expiry, _ = self.tokens.get(token, (0.0, ()))
        return scheme == "Bearer" and time.monotonic() < expiry

    def revoke_tokens(self) -> None:
        """Accept none of the tokens that were given out."""
        self.tokens.clear()

    def token_answer(
        self, request: RecordedRequest
    ) -> tuple[int, tuple[tuple[str, str], ...], bytes]:
        """Return the token endpoint's answer to a request."""
        if self.answer is not None:
            return self.answer
        if self.username is not None and request.header("Authorization") != basic_header(
            self.username, self.password or ""
        ):
            return 401, (), b'{"errors":[{"code":"UNAUTHORIZED","message":"wrong"}]}'
        if self.services and dict(request.query).get("service") not in self.services:
            return 400, (), b'{"errors":[{"code":"UNKNOWN","message":"no such service"}]}'
        token = secrets.token_urlsafe(24)
        scopes = tuple(value for name, value in request.query if name == "scope")
        self.tokens[token] = (time.monotonic() + self.lifetime_seconds, scopes)
        self.minted += 1
        fields = self.token_fields(token) | self.answer_fields
        kept = {name: value for name, value in fields.items() if value is not None}
        if "access_token" in kept and kept["access_token"] == "":
            kept["access_token"] = token  # "" stands for the token that was minted
        return 200, (("Content-Type", "application/json"),), orjson.dumps(kept)

    def token_fields(self, token: str) -> dict[str, Any]:
        """Return the JSON fields that tell of a new token."""
        return {"token": token, "expires_in": int(self.lifetime_seconds)}


Login = BasicLogin | BearerLogin


def basic_header(username: str, password: str) -> str:
    """Return the value of `Authorization` for Basic."""
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()
