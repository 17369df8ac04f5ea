"""google-auth's synchronous transport, over an aiohttp session that runs in its own loop.

The session bounds the time of each request.

It reads the token endpoint's answers itself: google-auth's own reader ends in an `OverflowError`
for `expires_in: 1000000000000`, and its errors quote what was answered
(docs/decisions/libraries.md).
"""

import asyncio
from collections.abc import Coroutine, Mapping
from concurrent.futures import CancelledError
from concurrent.futures import TimeoutError as FutureTimeoutError
from http import HTTPStatus
from typing import Final

import aiohttp
from google.auth import exceptions, transport

from shared.failures import without_frames
from shared.upstream.aiohttp_errors import upstream_error
from shared.upstream.body_reading import read_bounded
from shared.upstream.errors import (
    ConnectError,
    CredentialRefusedError,
    RateLimitedError,
    ServerError,
    Step,
    TokenExchangeError,
    UpstreamError,
)
from shared.upstream.patience import TOKEN_SECONDS, Deadline
from shared.upstream.retry_after import retry_after_seconds
from shared.upstream.tls_contexts import SYSTEM, TlsContexts
from shared.upstream.token_exchange import MAX_TOKEN_RESPONSE_BYTES, AccessToken, access_token

# Longer than the session's timeout: only a loop that is gone keeps a thread waiting for so long.
THREAD_SECONDS: Final = 30.0
# What google-auth is told of a token: that there is one.
_RECEIVED: Final = b'{"access_token": "received"}'


class TokenRequest(transport.Request):
    """Sends one exchange's requests, in google-auth's thread, and keeps the last outcome."""

    def __init__(
        self, session: aiohttp.ClientSession, loop: asyncio.AbstractEventLoop, tls: TlsContexts
    ) -> None:
        self._session = session
        self._loop = loop
        self._tls = tls
        self._outcome: AccessToken | UpstreamError = _unreachable()
        self._is_abandoned = False

    def abandon(self) -> None:
        """Send nothing more, because nobody waits for the outcome."""
        self._is_abandoned = True

    def outcome(self) -> AccessToken:
        """Return the token, or raise the `UpstreamError` that stands in its place."""
        if isinstance(self._outcome, UpstreamError):
            raise without_frames(self._outcome)
        return self._outcome

    def __call__(
        self,
        url: str,
        method: str = "GET",
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,  # noqa: ARG002 - our own bound holds
        **_: object,
    ) -> "_Answer":
        """Send one request; google-auth decides by the status alone whether it sends another."""
        if self._is_abandoned:
            raise exceptions.TransportError
        self._outcome = _unreachable()
        status = self._wait_for(self._send(url, method, body, headers or {}))
        if _is_final(self._outcome):
            raise exceptions.TransportError
        return _Answer(status)

    def _wait_for(self, sending: Coroutine[None, None, int]) -> int:
        try:
            future = asyncio.run_coroutine_threadsafe(sending, self._loop)
        except RuntimeError:  # the loop is closed: the process ends
            sending.close()
            raise exceptions.TransportError from None
        try:
            return future.result(THREAD_SECONDS)
        except (CancelledError, FutureTimeoutError):
            future.cancel()
            raise exceptions.TransportError from None

    async def _send(
        self, url: str, method: str, body: bytes | None, headers: Mapping[str, str]
    ) -> int:
        """Return the status, 0 without one, and note the outcome."""
        try:
            tls = await self._tls.of(SYSTEM)
            async with self._session.request(
                method, url, data=body, headers=headers, allow_redirects=False, ssl=tls
            ) as answer:
                self._outcome = await _outcome(answer)
                return answer.status
        except (aiohttp.ClientError, TimeoutError, OSError, RuntimeError) as error:
            self._outcome = upstream_error(error)
        except UpstreamError as error:
            self._outcome = error
        self._outcome.step = Step.EXCHANGE  # whatever failed, the exchange did
        return 0


class _Answer(transport.Response):
    """An answer as google-auth reads it: its status, and no more of its body than it needs."""

    def __init__(self, status: int) -> None:
        self._status = status

    @property
    def status(self) -> int:
        return self._status

    @property
    def headers(self) -> Mapping[str, str]:
        return {}

    @property
    def data(self) -> bytes:
        return _RECEIVED if self._status == HTTPStatus.OK else b""


async def _outcome(answer: aiohttp.ClientResponse) -> AccessToken | UpstreamError:
    match answer.status:
        case 200 as status:
            patience = Deadline(TOKEN_SECONDS)  # the session's own bound is shorter
            body = await read_bounded(answer, MAX_TOKEN_RESPONSE_BYTES, patience)
            return access_token(body, status)
        case 400 | 401 | 403 as status:
            return CredentialRefusedError(
                "Google refuses the service account's key: it is deleted, disabled or expired,"
                " or the clock of this machine is wrong",
                status=status,
                step=Step.EXCHANGE,
            )
        case 429:
            return RateLimitedError(
                retry_after=retry_after_seconds(answer.headers), step=Step.EXCHANGE
            )
        case status if status >= 500:  # noqa: PLR2004 - HTTP's class of server errors
            return ServerError(
                status, retry_after=retry_after_seconds(answer.headers), step=Step.EXCHANGE
            )
        case status:
            return TokenExchangeError(f"the token endpoint answers {status}", status=status)


def _is_final(outcome: AccessToken | UpstreamError) -> bool:
    """Tell whether google-auth may not try again, whatever it makes of the status."""
    match outcome:
        case AccessToken() | CredentialRefusedError():
            return False  # nor does it
        case ServerError(retry_after=None):
            return False
        case _:
            return True


def _unreachable() -> ConnectError:
    return ConnectError("the token endpoint cannot be reached", step=Step.EXCHANGE)
