"""Makes a connection's upstream: session, secret, provider, token broker and breaker together."""

import time
from collections.abc import Callable
from functools import partial

from attrs import field, frozen

from facade.loop.one_at_a_time import OneAtATime
from facade.metrics.metrics import FacadeMetrics
from facade.metrics.upstream_metrics import HostCounts
from facade.registries.absences import ABSENCE_SECONDS, Absences
from facade.registries.bandwidth import Bandwidth
from facade.registries.circuit_breaker import CircuitBreaker
from facade.registries.connection_login import ConnectionLogin
from facade.registries.providers import Providers
from facade.registries.refused_credentials import RefusedCredentials
from facade.registries.registry_troubles import RegistryTrouble, RegistryTroubles
from facade.registries.renewed import Renewed
from facade.registries.sealed_provider import SealedProvider
from facade.registries.secret_openings import SecretOpenings
from facade.registries.spare_streams import MAX_SPARE_STREAMS, SpareStreams
from facade.registries.spender import spend_request
from facade.registries.token_broker import LoginChallenge, TellOfMinting, TokenBroker
from facade.registries.upstream import Upstream
from shared.approved_connection import ApprovedConnection
from shared.connection import Provider
from shared.upstream.challenge import BasicChallenge
from shared.upstream.client import RegistryClient
from shared.upstream.credentials.short_lived import CredentialProvider
from shared.upstream.proxy import OutboundProxy
from shared.upstream.target import UpstreamTarget
from shared.upstream.transport import Timeouts, TransportResources, UpstreamTransport


@frozen
class UpstreamConnector:
    """What this process makes its upstreams with."""

    _providers: Providers
    _metrics: FacadeMetrics
    _allow_loopback: bool
    _resources: TransportResources
    _proxy: OutboundProxy | None = None
    _timeouts: Timeouts | None = None
    _bandwidth: Bandwidth | None = None  # of all its upstreams together
    _remember_missing: float = ABSENCE_SECONDS
    _spare_streams: int = MAX_SPARE_STREAMS  # of each
    _openings: SecretOpenings = field(factory=SecretOpenings)
    _refused: RefusedCredentials = field(factory=RefusedCredentials)
    _large_manifests: OneAtATime = field(factory=OneAtATime, init=False)  # of all together, too

    async def connect(self, connection: ApprovedConnection) -> Upstream:
        """Return the upstream; nothing is asked of the registry, and no secret is opened yet.

        Raises `UpstreamError` if the connection's CA cannot be read.
        """
        troubles = RegistryTroubles(
            connection.id,
            connection.document.host,
            tell_of_credential=lambda refused: self._refused.note(connection, refused=refused),
            is_refused=self._refused.holds(connection),  # since before its last upstream was closed
        )
        provider = SealedProvider(self._providers, connection, self._openings, troubles)

        def tell_of_circuit(reason: str | None) -> None:
            if reason is None:
                troubles.end(RegistryTrouble.CIRCUIT)
            else:
                troubles.begin(RegistryTrouble.CIRCUIT, reason)

        counts = self._counts(connection)
        client, login = await self._client(connection, provider.require, troubles.renewed)
        breaker = CircuitBreaker(time.monotonic, tell_of_circuit)
        counts.watch(breaker)
        return Upstream(
            client,
            breaker,
            troubles=troubles,
            require_secret=provider.require,
            login_is_at_rest=lambda: login.is_at_rest,
            absences=Absences(time.monotonic, self._remember_missing),
            bandwidth=self._bandwidth,
            spare_streams=SpareStreams(
                time.monotonic, self._spare_streams, tell=counts.spare_streams
            ),
            large_manifests=self._large_manifests,
            counts=counts,
        )

    async def client(self, connection: ApprovedConnection) -> RegistryClient:
        """Return only the client, for a command that asks once.

        Raises `SealedSecretError` if the secret does not open, and what `connect` raises.
        """
        provider = self._providers.provider_of(connection)
        client, _ = await self._client(connection, lambda: provider, lambda _scope, _failure: None)
        return client

    async def _client(
        self,
        connection: ApprovedConnection,
        provider_of: Callable[[], CredentialProvider | None],
        tell: TellOfMinting,
    ) -> tuple[RegistryClient, TokenBroker]:
        document, counts = connection.document, self._counts(connection)
        target = UpstreamTarget.of_terms(document, allow_loopback=self._allow_loopback)
        transport = await UpstreamTransport.open(
            target,
            timeouts=self._timeouts,
            proxy=self._proxy,
            on_request=spend_request,
            on_answer=counts.request,
            resources=self._resources,
        )
        login = ConnectionLogin(transport, provider_of, counts, self._metrics)
        broker = TokenBroker(
            Renewed(login.credential, tell=partial(tell, None)),
            login.exchange,
            known_challenge(document.provider),
            login.prove,
            tell=tell,
            prove_to_realm=login.prove_to_realm,
            ask_for_login=login.of_strangers,
        )
        return RegistryClient(transport, broker), broker

    def _counts(self, connection: ApprovedConnection) -> HostCounts:
        document = connection.document
        prefix = document.repository_prefix
        host = str(document.host)
        return HostCounts(self._metrics.upstreams, host, str(prefix) if prefix else "")


def known_challenge(provider: Provider) -> LoginChallenge | None:
    """Return the challenge that the provider's registries would send: their tokens go as Basic."""
    return None if provider is Provider.STATIC else BasicChallenge(realm="")
