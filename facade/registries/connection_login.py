"""What one connection's token broker asks of others: its provider, token endpoints, the registry.

Each request is counted, and paid for by the device on whose behalf it is made.
"""

from collections.abc import Callable

from attrs import field, frozen

from facade.metrics.metrics import FacadeMetrics
from facade.metrics.upstream_metrics import HostCounts
from facade.registries.renewed import Lasting
from facade.registries.spender import spend_token
from shared.secret import Secret
from shared.upstream import token_exchange
from shared.upstream.authorization import OneShotAuthorizer, mint
from shared.upstream.basic_credential import BasicCredential
from shared.upstream.challenge import BearerChallenge
from shared.upstream.client import RegistryClient
from shared.upstream.credentials.short_lived import CredentialProvider
from shared.upstream.scope import Scope
from shared.upstream.transport import UpstreamTransport


@frozen(eq=False)
class ConnectionLogin:
    """The questions behind a connection's logins. Each raises `UpstreamError`."""

    _transport: UpstreamTransport
    _provider_of: Callable[[], CredentialProvider | None]  # None: an anonymous connection
    _counts: HostCounts
    _metrics: FacadeMetrics
    _bare: RegistryClient = field(init=False)  # shows nothing but what it is given

    @_bare.default
    def _without_login(self) -> RegistryClient:
        return RegistryClient(self._transport, OneShotAuthorizer(self._transport, None))

    async def credential(self) -> Lasting[BasicCredential | None]:
        """Mint the credential for the whole host; None: there is none, for ever."""
        with self._counts.minting() as given:
            provider = self._provider_of()
            if provider is None:
                return Lasting(None, None)
            self._metrics.credentials_minted.inc()
            minted = await provider.mint()
            given(minted.lifetime_seconds)
        return Lasting(minted.basic, minted.lifetime_seconds)

    async def exchange(
        self, challenge: BearerChallenge, scope: Scope, basic: BasicCredential | None
    ) -> Lasting[Secret]:
        """Mint a token for a scope."""
        self._metrics.tokens_minted.inc()
        spend_token()
        with self._counts.minting() as given:
            minted = await mint(self._transport, challenge, scope, basic)
            given(minted.lifetime_seconds)
        return Lasting(minted.header, minted.lifetime_seconds)

    async def prove_to_realm(self, challenge: BearerChallenge, basic: BasicCredential) -> None:
        """Show the credential to a token endpoint, without a scope."""
        self._metrics.tokens_minted.inc()
        spend_token()
        with self._counts.minting():
            await token_exchange.exchange(self._transport, challenge, None, basic)

    async def prove(self, authorization: Secret) -> bool:
        """Show the credential to the registry; tell whether that proves it to be right."""
        await self._bare.prove(authorization)
        return await self._bare.is_closed_to_strangers()

    async def of_strangers(self) -> BearerChallenge | None:
        """Return the token endpoint that the registry names to a stranger, if it names one."""
        return await self._bare.login_of_strangers()
