"""A Google service account's key becomes an access token for Artifact Registry or GCR.

RFC 7523: google-auth signs an assertion and exchanges it; the HTTP is our own session's. The
token is shown to the registry as Basic, with the user name `oauth2accesstoken`.
"""

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError
from concurrent.futures import TimeoutError as FutureTimeoutError
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final

import aiohttp
from attrs import field, frozen
from google.auth import crypt, exceptions, transport
from google.oauth2 import service_account

from shared.secret import Secret
from shared.upstream.credentials.google_key import GoogleServiceAccountKey
from shared.upstream.credentials.short_lived import ShortLivedCredential
from shared.upstream.credentials.static import BasicCredential
from shared.upstream.errors import (
    ConnectError,
    CredentialRefusedError,
    ServerError,
    Step,
    TokenExchangeError,
    UpstreamError,
)

GOOGLE_TOKEN_URL: Final = "https://oauth2.googleapis.com/token"  # noqa: S105 - an address
TOKEN_USERNAME: Final = "oauth2accesstoken"  # noqa: S105 - the user name that goes with a token
# Artifact Registry takes the first, GCR's storage the second; neither can write.
READ_ONLY_SCOPES: Final = (
    "https://www.googleapis.com/auth/cloud-platform.read-only",
    "https://www.googleapis.com/auth/devstorage.read_only",
)
MAX_TOKEN_RESPONSE_BYTES: Final = 64 * 1024  # an access token is at most some KiB
REQUEST_SECONDS: Final = 10.0
EXCHANGE_SECONDS: Final = 45.0  # google-auth tries three times, waiting in between
LIFETIME_WITHOUT_SENSE_SECONDS: Final = 60.0  # none named, or expired by our clock: a short use
MAX_LIFETIME_SECONDS: Final = 3600.0  # Google's own longest

Clock = Callable[[], datetime]


@frozen
class GoogleServiceAccountProvider:
    """Mints access tokens of one service account. `session` has no cookies and no credentials."""

    _key: GoogleServiceAccountKey
    _session: aiohttp.ClientSession
    _token_url: str = GOOGLE_TOKEN_URL

    async def mint(self) -> ShortLivedCredential:
        """Return a new access token; signing and waiting happen in a thread.

        Raises `CredentialRefusedError` where Google does not take the key, and `UpstreamError`
        where it cannot be asked, all of the step `exchange`.
        """
        request = _Request(self._session, asyncio.get_running_loop())
        return await asyncio.to_thread(self._exchange, request)

    def _exchange(self, request: "_Request") -> ShortLivedCredential:
        signer = crypt.RSASigner.from_string(  # type: ignore[no-untyped-call] # google-auth
            self._key.private_key.reveal_text(), self._key.private_key_id
        )
        credentials = service_account.Credentials(  # type: ignore[no-untyped-call] # google-auth
            signer,
            service_account_email=self._key.client_email,
            token_uri=self._token_url,
            scopes=READ_ONLY_SCOPES,
            project_id=self._key.project_id,
        )
        try:
            credentials.refresh(request)  # type: ignore[no-untyped-call] # google-auth
        except (exceptions.GoogleAuthError, ValueError, KeyError, TypeError):
            # The library's error quotes the answer; what we need of it, the request has noted.
            raise request.failure() from None
        if not isinstance(credentials.token, str) or not credentials.token.isascii():
            raise _failed("the token endpoint answers without a token", HTTPStatus.OK)
        return ShortLivedCredential(
            BasicCredential(TOKEN_USERNAME, Secret(credentials.token)),
            _lifetime(credentials.expiry),
        )


@frozen
class _Answer(transport.Response):
    """An answer as google-auth reads it."""

    status: int
    headers: Mapping[str, str]
    data: bytes = field(repr=False)


class _Request(transport.Request):
    """google-auth's synchronous transport, over an aiohttp session that runs in its own loop."""

    def __init__(self, session: aiohttp.ClientSession, loop: asyncio.AbstractEventLoop) -> None:
        self._session = session
        self._loop = loop
        self._status: int | None = None

    def __call__(
        self,
        url: str,
        method: str = "GET",
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,  # noqa: ARG002 - our own bound holds
        **_: object,
    ) -> _Answer:
        """Send one request from google-auth's thread."""
        future = asyncio.run_coroutine_threadsafe(
            self._send(url, method, body, headers or {}), self._loop
        )
        try:
            return future.result(EXCHANGE_SECONDS)
        except (aiohttp.ClientError, OSError, FutureTimeoutError, CancelledError):
            future.cancel()
            self._status = None
            raise exceptions.TransportError from None

    def failure(self) -> UpstreamError:
        """Return our error for what the last answer was."""
        match self._status:
            case None:
                return ConnectError("the token endpoint cannot be reached", step=Step.EXCHANGE)
            case 400 | 401 | 403 as status:
                return CredentialRefusedError(
                    "Google refuses the service account's key: deleted, disabled or expired",
                    status=status,
                    step=Step.EXCHANGE,
                )
            case status if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                return ServerError(status, step=Step.EXCHANGE)
            case status:
                return _failed(f"the token endpoint answers {status} without a token", status)

    async def _send(
        self, url: str, method: str, body: bytes | None, headers: Mapping[str, str]
    ) -> _Answer:
        async with self._session.request(
            method,
            url,
            data=body,
            headers=headers,
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=REQUEST_SECONDS),
        ) as answer:
            content = await answer.content.read(MAX_TOKEN_RESPONSE_BYTES + 1)
            while len(content) <= MAX_TOKEN_RESPONSE_BYTES and not answer.content.at_eof():
                content += await answer.content.read(MAX_TOKEN_RESPONSE_BYTES + 1)
            self._status = answer.status
            if len(content) > MAX_TOKEN_RESPONSE_BYTES:
                raise aiohttp.ClientPayloadError
            return _Answer(answer.status, {}, content)


def _lifetime(expiry: Any) -> float:
    """Return for how many seconds from now; google-auth's `expiry` is naive UTC."""
    if not isinstance(expiry, datetime):
        return LIFETIME_WITHOUT_SENSE_SECONDS
    left = (expiry.replace(tzinfo=UTC) - datetime.now(UTC)).total_seconds()
    return min(left, MAX_LIFETIME_SECONDS) if left > 0 else LIFETIME_WITHOUT_SENSE_SECONDS


def _failed(message: str, status: int) -> TokenExchangeError:
    return TokenExchangeError(message, status=status)
