"""Ends a login of the console: the code becomes an ID token, and that a person with a role.

OpenID Connect Core section 3.1.3. The provider is asked with the console's client and its secret.
"""

from collections.abc import Mapping
from typing import Final
from urllib.parse import quote_plus

from attrs import frozen

from control_plane.clock import Clock
from control_plane.errors import SignOnUnavailableError
from control_plane.operators.authenticated_operator import AuthenticatedOperator
from control_plane.single_sign_on.authorization import (
    OFFLINE_ACCESS,
    CodeRequest,
    LoginFailedError,
    ProviderTokens,
    code_of,
)
from control_plane.single_sign_on.callers import operator_of, role_of
from control_plane.single_sign_on.claims import person_of_id_token
from control_plane.single_sign_on.configuration import SingleSignOn
from control_plane.single_sign_on.presented_token import PresentedToken, TokenRefusedError
from control_plane.single_sign_on.provider import OpenIdProvider
from control_plane.single_sign_on.provider_metadata import ProviderMetadata
from shared.secret import Secret
from shared.upstream.basic_credential import BasicCredential

# How a client shows its secret; the first is what a provider takes that says nothing of it
# (OpenID Connect Discovery section 3).
BASIC: Final = "client_secret_basic"
IN_FORM: Final = "client_secret_post"


@frozen
class LoggedIn:
    """Who logged in, and which session at the provider that belongs to."""

    operator: AuthenticatedOperator
    provider_session: str | None


@frozen
class CodeExchange:
    """The console's client at the provider."""

    settings: SingleSignOn
    provider: OpenIdProvider
    clock: Clock

    @property
    def client_id(self) -> str:
        """The client's id."""
        if self.settings.client_id is None:
            raise AssertionError("there is no such client")
        return self.settings.client_id

    async def address(self, request: CodeRequest) -> str:
        """Return where the browser logs in; raise `SignOnUnavailableError`."""
        endpoint = (await self.provider.metadata()).authorization_endpoint
        if endpoint is None:
            raise SignOnUnavailableError("it knows no logins by browser")
        scopes = tuple(each for each in self.settings.scopes if each != OFFLINE_ACCESS)
        return request.url(endpoint, self.client_id, scopes, {})

    async def logged_in(self, response: Mapping[str, str], request: CodeRequest) -> LoggedIn:
        """Return who came back from the provider.

        Raises `LoginFailedError`, `NotPermittedError` for a person without a role, and
        `SignOnUnavailableError`.
        """
        metadata = await self.provider.metadata()
        tokens = await self._exchanged(code_of(response, request, metadata), request, metadata)
        if tokens.id_token is None:
            raise LoginFailedError(
                "the provider gave no ID token: is openid in CONTROL_PLANE_OIDC_SCOPES?"
            )
        try:
            token = PresentedToken.parse(tokens.id_token)
            claims = await self.provider.verified_claims(token)
            verified = person_of_id_token(
                claims,
                issuer=self.settings.issuer,
                client_id=self.client_id,
                nonce=request.nonce,
                name_claim=self.settings.name_claim,
                at=self.clock(),
            )
        except TokenRefusedError as error:
            raise LoginFailedError(f"the provider's ID token is not accepted: {error}") from None
        role = role_of(claims, self.settings)
        return LoggedIn(operator_of(verified, role), verified.session_id)

    async def _exchanged(
        self, code: Secret, request: CodeRequest, metadata: ProviderMetadata
    ) -> ProviderTokens:
        if metadata.token_endpoint is None:
            raise SignOnUnavailableError("it knows no tokens")
        basic, more = self._authentication(metadata)
        form = request.token_form(code, self.client_id, more)
        answer = await self.provider.post(metadata.token_endpoint, form, basic)
        return ProviderTokens.parse(answer.status, answer.body)

    def _authentication(
        self, metadata: ProviderMetadata
    ) -> tuple[BasicCredential | None, Mapping[str, str]]:
        """Return how the client shows its secret (RFC 6749 section 2.3.1)."""
        secret = self.settings.client_secret
        if secret is None:
            return None, {}
        methods = metadata.token_endpoint_auth_methods or {BASIC}
        if BASIC not in methods and IN_FORM in methods:
            return None, {"client_secret": secret.reveal_text()}
        encoded = quote_plus(secret.reveal_text())
        return BasicCredential(quote_plus(self.client_id), Secret(encoded)), {}
