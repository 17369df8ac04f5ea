"""A Google service account's key becomes an access token for Artifact Registry or GCR.

RFC 7523: google-auth signs an assertion and exchanges it, over an HTTP session of ours. The
token is shown to the registry as Basic, with the user name `oauth2accesstoken`.
"""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Final

import aiohttp
from attrs import field, frozen
from google.auth import exceptions
from google.oauth2 import service_account

from shared.upstream.basic_credential import BasicCredential
from shared.upstream.credentials.google_key import GoogleServiceAccountKey
from shared.upstream.credentials.google_transport import TokenRequest
from shared.upstream.credentials.short_lived import ShortLivedCredential
from shared.upstream.outbound_session import outbound_session
from shared.upstream.proxy import OutboundProxy
from shared.upstream.tls_contexts import TlsContexts
from shared.upstream.transport import USER_AGENT
from shared.upstream.tunnel import connector_through

GOOGLE_TOKEN_URL: Final = "https://oauth2.googleapis.com/token"  # noqa: S105 - an address
TOKEN_USERNAME: Final = "oauth2accesstoken"  # noqa: S105 - the user name that goes with a token
# Artifact Registry takes the first, GCR's storage the second; neither can write.
READ_ONLY_SCOPES: Final = (
    "https://www.googleapis.com/auth/cloud-platform.read-only",
    "https://www.googleapis.com/auth/devstorage.read_only",
)
MAX_LIFETIME_SECONDS: Final = 3600.0  # Google's own longest; beyond it nothing is believed
REQUEST_SECONDS: Final = 10.0  # Google answers within a second
EXCHANGE_THREADS: Final = 8  # each waits for one exchange; one connection needs one an hour


@frozen
class GoogleTokenEndpoint:
    """Where assertions are exchanged, with a session and threads for it; one for each process.

    The threads are its own: if the endpoint hangs, nobody else waits for a thread.
    """

    session: aiohttp.ClientSession
    threads: ThreadPoolExecutor
    url: str = GOOGLE_TOKEN_URL
    tls: TlsContexts = field(factory=TlsContexts)

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        url: str = GOOGLE_TOKEN_URL,
        *,
        proxy: OutboundProxy | None = None,
        request_seconds: float = REQUEST_SECONDS,
        tls: TlsContexts | None = None,
    ) -> AsyncIterator["GoogleTokenEndpoint"]:
        """Give the endpoint; exchanges that are under way on leaving fail.

        `tls`: the process's, if others use them too.
        """
        threads = ThreadPoolExecutor(EXCHANGE_THREADS, thread_name_prefix="google-token")
        try:
            async with outbound_session(
                connector_through(proxy), user_agent=USER_AGENT, seconds=request_seconds
            ) as session:
                yield cls(session, threads, url, tls or TlsContexts())
        finally:
            threads.shutdown(wait=False, cancel_futures=True)


@frozen
class GoogleServiceAccountProvider:
    """Mints access tokens of one service account."""

    _key: GoogleServiceAccountKey
    _endpoint: GoogleTokenEndpoint

    async def mint(self) -> ShortLivedCredential:
        """Return a new access token; signing, and waiting between tries, happen in a thread.

        Raises `CredentialRefusedError` if Google does not take the key, and `UpstreamError` if it
        cannot be asked, all of the step `exchange`.
        """
        loop = asyncio.get_running_loop()
        request = TokenRequest(self._endpoint.session, loop, self._endpoint.tls)
        try:
            await loop.run_in_executor(self._endpoint.threads, self._exchange, request)
        finally:
            request.abandon()  # if this is cancelled, its thread goes on
        token = request.outcome()
        return ShortLivedCredential(
            BasicCredential(TOKEN_USERNAME, token.secret),
            min(token.lifetime_seconds, MAX_LIFETIME_SECONDS),
        )

    def _exchange(self, request: TokenRequest) -> None:
        credentials = service_account.Credentials(  # type: ignore[no-untyped-call] # google-auth
            self._key.signer(),
            service_account_email=self._key.client_email,
            token_uri=self._endpoint.url,
            scopes=READ_ONLY_SCOPES,
            project_id=self._key.project_id,
        )
        try:
            credentials.refresh(request)  # type: ignore[no-untyped-call] # google-auth
        except exceptions.GoogleAuthError:
            return  # the request knows more of it, and quotes nothing
