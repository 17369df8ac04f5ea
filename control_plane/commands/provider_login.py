"""How a person gets an access token in a shell, and how it is renewed.

By the browser of this machine (RFC 8252), or by another one (RFC 8628) where there is none. Each
step's failure is told in words that say what to do next.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Final

import orjson
from attrs import evolve, field, frozen

from control_plane.commands.answers import LoginAnswer
from control_plane.commands.loopback import LoopbackPage
from control_plane.commands.saved_login import LOGS_IN_AGAIN, SavedLogin
from control_plane.errors import ControlPlaneError
from control_plane.serving.config import ClientSettings
from control_plane.single_sign_on.authorization import (
    MAX_CODE_CHARACTERS,
    OFFLINE_ACCESS,
    CodeRequest,
    LoginFailedError,
    ProviderTokens,
    code_of,
    lifetime,
    read_answer,
)
from control_plane.single_sign_on.presented_token import PresentedToken, TokenRefusedError
from control_plane.single_sign_on.provider_http import ProviderHttp, ProviderUnreachableError
from control_plane.single_sign_on.provider_metadata import (
    WELL_KNOWN,
    ProviderAnswerError,
    ProviderMetadata,
    is_safe_url,
)
from control_plane.single_sign_on.settings import read_ca_file

DEVICE_GRANT: Final = "urn:ietf:params:oauth:grant-type:device_code"
DEFAULT_INTERVAL_SECONDS: Final = 5.0  # RFC 8628 section 3.2
MAX_INTERVAL_SECONDS: Final = 60.0
MAX_DEVICE_SECONDS: Final = 1800.0  # that a code is waited for, whatever the provider says


class ProviderLoginError(ControlPlaneError):
    """The login did not come through; the message says what to do."""


@frozen
class ProviderLoginWay:
    """What the control plane says of its provider: `GET /v1/login`."""

    issuer: str
    client_id: str
    scopes: tuple[str, ...]
    resource: Mapping[str, str]

    @classmethod
    def of_answer(cls, answer: LoginAnswer, url: str) -> "ProviderLoginWay":
        """Return it; raise `ProviderLoginError` if there is none."""
        found = answer["single_sign_on"]
        if found is None:
            raise ProviderLoginError(
                f"the control plane at {url} has no single sign-on for a shell: take an operator's"
                " token in CONTROL_PLANE_TOKEN or CONTROL_PLANE_TOKEN_FILE, or have"
                " CONTROL_PLANE_OIDC_ISSUER and CONTROL_PLANE_OIDC_CLI_CLIENT_ID set there"
            )
        parameter = found["audience_parameter"]
        named = {parameter: found["audience"]} if parameter else {}
        return cls(found["issuer"], found["client_id"], tuple(found["scopes"]), named)


@frozen
class ProviderLogin:
    """One provider, and the public client of this program there."""

    http: ProviderHttp
    metadata: ProviderMetadata
    client_id: str
    resource: Mapping[str, str] = field(factory=dict)

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        configured: ClientSettings,
        issuer: str,
        client_id: str,
        resource: Mapping[str, str],
    ) -> AsyncIterator["ProviderLogin"]:
        """Yield it; raise `ProviderLoginError` if the provider does not answer."""
        if not is_safe_url(issuer):
            raise ProviderLoginError(
                "the provider's address is no https URL, so nobody logs in there"
            )
        file = configured.oidc_ca_file
        async with ProviderHttp.open(
            None,
            ca_certificate=read_ca_file(file) if file else None,
            proxy=configured.outbound_proxy,
        ) as http:
            with _in_words(issuer):
                body = await http.get(f"{issuer.removesuffix('/')}{WELL_KNOWN}")
                metadata = ProviderMetadata.parse(body, issuer)
            yield cls(http, metadata, client_id, resource)

    async def by_browser(self, scopes: tuple[str, ...], show: Callable[[str], None]) -> SavedLogin:
        """Return the login that a person makes in the browser; `show` is told the address."""
        endpoint = self._endpoint(self.metadata.authorization_endpoint, "logins by browser")
        async with LoopbackPage.open() as page:
            request = CodeRequest.new(page.redirect_uri)
            # OpenID Connect Core section 11: whoever asks for that has to ask the person.
            asks = {"prompt": "consent"} if OFFLINE_ACCESS in scopes else {}
            show(request.url(endpoint, self.client_id, scopes, {**self.resource, **asks}))
            try:
                response = await page.wait(request.state)
            except TimeoutError:
                raise ProviderLoginError(
                    "nobody came back from the browser in time: run `control-plane login` again; on"
                    " a machine without a browser, `control-plane login --device`"
                ) from None
        with _in_words(self.metadata.issuer):
            code = code_of(response, request, self.metadata)
            return await self._exchange(request.token_form(code, self.client_id, self.resource))

    async def by_device(
        self, scopes: tuple[str, ...], show: Callable[[str, str], None]
    ) -> SavedLogin:
        """Return the login that a person makes in another browser; `show`: address and code."""
        endpoint = self._endpoint(self.metadata.device_authorization_endpoint, "logins by --device")
        form = {"client_id": self.client_id, "scope": " ".join(scopes), **self.resource}
        with _in_words(self.metadata.issuer):
            answer = await self.http.post(endpoint, form)
            found = read_answer(answer.status, answer.body)
            device_code, address, user_code = (
                _shown(found, name) for name in ("device_code", "verification_uri", "user_code")
            )
            if not is_safe_url(address):
                raise LoginFailedError("the provider's address for the code is no https URL")
            show(address, user_code)
            wait = found.get("interval")
            interval = lifetime(wait) if wait is not None else DEFAULT_INTERVAL_SECONDS
            until = time.monotonic() + min(lifetime(found.get("expires_in")), MAX_DEVICE_SECONDS)
            form = {
                "grant_type": DEVICE_GRANT,
                "device_code": device_code,
                "client_id": self.client_id,
            }
            return await self._polled(form, min(interval, MAX_INTERVAL_SECONDS), until)

    async def renewed(self, login: SavedLogin) -> SavedLogin:
        """Return a login with a new access token; raise `ProviderLoginError`."""
        if login.refresh_token is None:
            raise ProviderLoginError(f"your login has ended: {LOGS_IN_AGAIN}")
        form = {
            "grant_type": "refresh_token",
            "refresh_token": login.refresh_token.reveal_text(),
            "client_id": self.client_id,
            **self.resource,
        }
        try:
            with _in_words(self.metadata.issuer):
                renewed = await self._exchange(form)
        except ProviderLoginError as error:
            raise ProviderLoginError(
                f"your login was not renewed: {error}; {LOGS_IN_AGAIN}"
            ) from None
        if _subject(renewed) != _subject(login):
            raise ProviderLoginError(
                f"the provider renewed the login of somebody else than yours: {LOGS_IN_AGAIN}"
            )
        return evolve(renewed, refresh_token=renewed.refresh_token or login.refresh_token)

    async def revoke(self, login: SavedLogin) -> bool:
        """Have the provider forget the login (RFC 7009); tell whether it was asked and did."""
        endpoint = self.metadata.revocation_endpoint
        if endpoint is None:
            return False
        token = login.refresh_token or login.access_token
        form = {"token": token.reveal_text(), "client_id": self.client_id}
        with _in_words(self.metadata.issuer):
            return (await self.http.post(endpoint, form)).is_success

    async def _polled(self, form: Mapping[str, str], interval: float, until: float) -> SavedLogin:
        """Ask until the person has said yes (RFC 8628 section 3.4)."""
        while time.monotonic() < until:
            await asyncio.sleep(interval)
            answer = await self.http.post(self._token_endpoint, form)
            if not answer.is_success:
                pending = _pending(answer.body)
                if pending == "slow_down":
                    interval = min(interval + DEFAULT_INTERVAL_SECONDS, MAX_INTERVAL_SECONDS)
                if pending:
                    continue
            return self._saved(ProviderTokens.parse(answer.status, answer.body))
        raise LoginFailedError("nobody entered the code in time")

    async def _exchange(self, form: Mapping[str, str]) -> SavedLogin:
        answer = await self.http.post(self._token_endpoint, form)
        return self._saved(ProviderTokens.parse(answer.status, answer.body))

    def _saved(self, tokens: ProviderTokens) -> SavedLogin:
        if tokens.access_token is None:
            raise LoginFailedError("the provider gave no access token")
        return SavedLogin(
            self.metadata.issuer,
            self.client_id,
            tokens.access_token,
            time.time() + tokens.lifetime_seconds,
            tokens.refresh_token,
            dict(self.resource),
        )

    @property
    def _token_endpoint(self) -> str:
        return self._endpoint(self.metadata.token_endpoint, "tokens")

    def _endpoint(self, url: str | None, what: str) -> str:
        if url is None:
            raise ProviderLoginError(f"the provider at {self.metadata.issuer} knows no {what}")
        return url


@contextmanager
def _in_words(issuer: str) -> Iterator[None]:
    """Raise `ProviderLoginError` for whatever the provider does, or does not."""
    try:
        yield
    except ProviderUnreachableError as error:
        raise ProviderLoginError(
            f"the provider at {issuer} cannot be asked: {error}; a private CA is named by"
            " CONTROL_PLANE_OIDC_CA_FILE"
        ) from None
    except ProviderAnswerError as error:
        raise ProviderLoginError(f"the provider at {issuer}: {error}") from None
    except LoginFailedError as error:
        raise ProviderLoginError(str(error)) from None


def _subject(login: SavedLogin) -> object:
    """Return whom an access token says it is of, unverified: for the API it is one of many.

    OpenID Connect Core section 12.2: a renewed login is of the same person.
    """
    try:
        claims = PresentedToken.parse(login.access_token.reveal_text()).unverified_claims
    except TokenRefusedError:
        return None  # it is opaque to us, and the API's to judge
    return claims.get("sub")


def _shown(found: Mapping[str, object], name: str) -> str:
    """Return a text of the provider that is sent back, or that a person has to type."""
    text = found.get(name)
    is_clean = isinstance(text, str) and text.isascii() and text.isprintable()
    if not is_clean or not 0 < len(str(text)) <= MAX_CODE_CHARACTERS:
        raise LoginFailedError(f"the provider does not say its `{name}`")
    return str(text)


def _pending(body: bytes) -> str:
    """Return `authorization_pending` or `slow_down`, or nothing if it is neither."""
    try:
        code = orjson.loads(body).get("error")
    except (orjson.JSONDecodeError, AttributeError):
        return ""
    return code if code in {"authorization_pending", "slow_down"} else ""
