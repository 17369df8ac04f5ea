"""Makes a connection's upstream: session, secret, token broker and breaker put together."""

import time
from typing import assert_never

from attrs import frozen

from facade.circuit_breaker import CircuitBreaker
from facade.metrics import Metrics
from facade.opener import Opener
from facade.token_broker import LoginChallenge, TokenBroker
from facade.upstream import Upstream
from shared.approved_connection import ApprovedConnection
from shared.connection import Anonymous, EcrRole, GoogleServiceAccount, UsernameAndToken
from shared.upstream.authorization import MintedAuthorization, mint
from shared.upstream.client import RegistryClient
from shared.upstream.credentials.static import BasicCredential
from shared.upstream.errors import CredentialRefusedError
from shared.upstream.scope import Scope
from shared.upstream.target import UpstreamTarget
from shared.upstream.transport import UpstreamTransport


@frozen
class UpstreamConnector:
    """What every upstream of this process is made with."""

    _opener: Opener
    _metrics: Metrics
    _allow_loopback: bool

    async def connect(self, connection: ApprovedConnection) -> Upstream:
        """Return the upstream; nothing is asked of the registry yet.

        Raises `SealedSecretError` where the secret does not open, and `UpstreamError` where the
        connection's CA cannot be read.
        """
        target = UpstreamTarget.of_document(
            connection.document, allow_loopback=self._allow_loopback
        )
        credential = self._static_credential(connection)
        transport = await UpstreamTransport.open(target)

        async def mint_authorization(
            challenge: LoginChallenge, scope: Scope
        ) -> MintedAuthorization:
            return await mint(transport, challenge, scope, credential)

        broker = TokenBroker(mint_authorization, self._metrics.tokens_minted.inc)
        return Upstream(RegistryClient(transport, broker), CircuitBreaker(time.monotonic))

    def _static_credential(self, connection: ApprovedConnection) -> BasicCredential | None:
        match connection.document.credential:
            case Anonymous():
                return None
            case UsernameAndToken(username=username):
                return BasicCredential(username, self._opener.open(connection))
            case GoogleServiceAccount() | EcrRole():
                raise CredentialRefusedError("this facade does not speak for the provider yet")
            case _ as unreachable:
                assert_never(unreachable)
