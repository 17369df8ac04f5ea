"""Makes a connection's upstream: session, secret, provider, token broker and breaker together."""

import time

from attrs import frozen

from facade.metrics import Metrics
from facade.registries.absences import ABSENCE_SECONDS, Absences
from facade.registries.bandwidth import Bandwidth
from facade.registries.circuit_breaker import CircuitBreaker
from facade.registries.providers import Providers
from facade.registries.renewed import Lasting, Renewed
from facade.registries.token_broker import LoginChallenge, TokenBroker
from facade.registries.upstream import Upstream
from shared.approved_connection import ApprovedConnection
from shared.connection import Provider
from shared.secret import Secret
from shared.upstream.authorization import mint
from shared.upstream.challenge import BasicChallenge, BearerChallenge
from shared.upstream.client import RegistryClient
from shared.upstream.credentials.static import BasicCredential
from shared.upstream.proxy import OutboundProxy
from shared.upstream.scope import Scope
from shared.upstream.target import UpstreamTarget
from shared.upstream.transport import Timeouts, UpstreamTransport


@frozen
class UpstreamConnector:
    """What every upstream of this process is made with."""

    _providers: Providers
    _metrics: Metrics
    _allow_loopback: bool
    _proxy: OutboundProxy | None = None
    _timeouts: Timeouts | None = None
    _bandwidth: Bandwidth | None = None  # of all its upstreams together
    _remember_missing: float = ABSENCE_SECONDS

    async def connect(self, connection: ApprovedConnection) -> Upstream:
        """Return the upstream; nothing is asked of the registry yet.

        Raises `SealedSecretError` where the secret does not open, and `UpstreamError` where the
        connection's CA cannot be read.
        """
        return Upstream(
            await self.client(connection),
            CircuitBreaker(time.monotonic),
            absences=Absences(time.monotonic, self._remember_missing),
            bandwidth=self._bandwidth,
        )

    async def client(self, connection: ApprovedConnection) -> RegistryClient:
        """Return the client alone, for who asks once; raise as `connect` does."""
        provider = self._providers.provider_of(connection)
        document = connection.document
        target = UpstreamTarget.of_document(document, allow_loopback=self._allow_loopback)
        transport = await UpstreamTransport.open(target, timeouts=self._timeouts, proxy=self._proxy)

        async def credential() -> Lasting[BasicCredential | None]:
            if provider is None:
                return Lasting(None, None)
            self._metrics.credentials_minted.inc()
            minted = await provider.mint()
            return Lasting(minted.basic, minted.lifetime_seconds)

        async def exchange(
            challenge: BearerChallenge, scope: Scope, basic: BasicCredential | None
        ) -> Lasting[Secret]:
            self._metrics.tokens_minted.inc()
            minted = await mint(transport, challenge, scope, basic)
            return Lasting(minted.header, minted.lifetime_seconds)

        async def prove(authorization: Secret) -> None:
            await client.prove(authorization)

        known = known_challenge(document.provider)
        client = RegistryClient(transport, TokenBroker(Renewed(credential), exchange, known, prove))
        return client


def known_challenge(provider: Provider) -> LoginChallenge | None:
    """Return what the provider's registries take without asking: their tokens as Basic."""
    return None if provider is Provider.STATIC else BasicChallenge(realm="")
