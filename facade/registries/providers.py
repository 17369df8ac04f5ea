"""Which provider mints a connection's credentials. Only this asks for opened secrets."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import assert_never

from attrs import frozen

from facade.registries.aws.aws_session import AwsSession
from facade.registries.aws.ecr import EcrProvider
from facade.registries.unsealer import Unsealer
from shared.approved_connection import ApprovedConnection
from shared.connection import Anonymous, EcrRole, GoogleServiceAccount, UsernameAndToken
from shared.sealed_secret import SealedSecretError
from shared.setting_types import HttpUrl
from shared.upstream.basic_credential import BasicCredential
from shared.upstream.credentials.google import GoogleServiceAccountProvider, GoogleTokenEndpoint
from shared.upstream.credentials.google_key import (
    GoogleServiceAccountKey,
    InvalidServiceAccountKeyError,
)
from shared.upstream.credentials.short_lived import CredentialProvider, ShortLivedCredential
from shared.upstream.proxy import OutboundProxy
from shared.upstream.tls_contexts import TlsContexts


class WrongSecretError(SealedSecretError):
    """The secret opens, but is not what the connection needs: a wrong one was entered."""


@asynccontextmanager
async def open_providers(
    opener: Unsealer,
    tls: TlsContexts,
    *,
    aws_endpoint_url: HttpUrl | None,
    google_token_url: HttpUrl,
    proxy: OutboundProxy | None,
) -> AsyncIterator["Providers"]:
    """Give what connections' providers are made with. Its sessions are closed after the block."""
    async with (
        AwsSession.open(aws_endpoint_url, proxy=proxy) as aws,
        GoogleTokenEndpoint.open(google_token_url, proxy=proxy, tls=tls) as google,
    ):
        yield Providers(opener, aws, google)


@frozen
class StaticProvider:
    """Gives the stored user name and token as they are."""

    _credential: BasicCredential

    async def mint(self) -> ShortLivedCredential:
        """Return the credential; it holds as long as the connection."""
        return ShortLivedCredential(self._credential, None)


@frozen
class Providers:
    """Makes a connection's provider, and opens its secret if it has one."""

    _opener: Unsealer
    _aws: AwsSession
    _google_endpoint: GoogleTokenEndpoint

    def provider_of(self, connection: ApprovedConnection) -> CredentialProvider | None:
        """Return the provider, None for an anonymous connection; raise `SealedSecretError`."""
        match connection.document.credential:
            case Anonymous():
                return None
            case UsernameAndToken(username=username):
                return self._static(connection, username)
            case GoogleServiceAccount() as account:
                return self._google(connection, account)
            case EcrRole() as role:
                host = connection.document.host
                return EcrProvider(self._aws, role, host, str(connection.id))
            case _ as unreachable:
                assert_never(unreachable)

    def _static(self, connection: ApprovedConnection, username: str) -> CredentialProvider:
        token = self._opener.open(connection)
        try:
            return StaticProvider(BasicCredential(username, token))
        except ValueError:
            raise WrongSecretError("the user name cannot be sent as Basic") from None

    def _google(
        self, connection: ApprovedConnection, account: GoogleServiceAccount
    ) -> CredentialProvider:
        try:
            key = GoogleServiceAccountKey.from_secret(self._opener.open(connection))
        except InvalidServiceAccountKeyError as error:
            raise WrongSecretError(f"the sealed key cannot be used: {error}") from None
        if (key.client_email, key.project_id) != (account.client_email, account.project_id):
            raise WrongSecretError("the sealed key is of another account than was approved")
        return GoogleServiceAccountProvider(key, self._google_endpoint)
