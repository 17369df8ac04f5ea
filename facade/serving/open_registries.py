"""Opens what asks registries: providers of credentials, and an upstream for each connection."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from attrs import frozen
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from facade.metrics.metrics import FacadeMetrics
from facade.registries.bandwidth import Bandwidth
from facade.registries.connection_work import ConnectionWork
from facade.registries.providers import open_providers
from facade.registries.refused_credentials import RefusedCredentials
from facade.registries.secret_openings import SecretOpenings
from facade.registries.unsealer import Unsealer
from facade.registries.upstream_connector import UpstreamConnector
from facade.registries.upstreams import Upstreams
from facade.serving.config import FacadeSettings
from shared.upstream.kept_connections import KeptConnections
from shared.upstream.large_reads import ReadMemory
from shared.upstream.transport import TransportResources


@frozen
class OpenRegistries:
    """The upstreams of one process, what runs through them, and what they found out."""

    upstreams: Upstreams
    work: ConnectionWork
    openings: SecretOpenings
    refused: RefusedCredentials


def transport_resources(descriptors: int, *, keeps: bool, is_limited: bool) -> TransportResources:
    """Return what all transports share in a process that may have so many descriptors open.

    `keeps`: it has a store. Without one, each device that stops holds what was read for it.
    `is_limited`: to so many bytes a second, for which large steps would come before their turn.
    """
    memory = ReadMemory() if keeps and not is_limited else ReadMemory(0)
    return TransportResources(kept=KeptConnections.of_descriptors(descriptors), memory=memory)


@asynccontextmanager
async def open_registries(
    settings: FacadeSettings,
    sealing_keys: Mapping[str, X25519PrivateKey],
    metrics: FacadeMetrics,
    descriptors: int,
) -> AsyncIterator[OpenRegistries]:
    """Give the upstreams; none is made before a pull needs it. At the end, close them all.

    `descriptors`: how many this process may have open.
    """
    bandwidth = Bandwidth.of(settings.upstream_bandwidth)
    resources = transport_resources(
        descriptors,
        keeps=settings.store_folder is not None,
        is_limited=bandwidth is not None,
    )
    openings, refused, work = SecretOpenings(), RefusedCredentials(), ConnectionWork()
    async with open_providers(
        Unsealer(sealing_keys),
        resources.tls,
        aws_endpoint_url=settings.aws_endpoint_url,
        google_token_url=settings.google_token_url,
        proxy=settings.outbound_proxy,
    ) as providers:
        connector = UpstreamConnector(
            providers,
            metrics,
            allow_loopback=settings.allow_loopback,
            resources=resources,
            proxy=settings.outbound_proxy,
            timeouts=settings.upstream_timeouts,
            bandwidth=bandwidth,
            remember_missing=settings.remember_missing,
            spare_streams=settings.upstream_streams,
            openings=openings,
            refused=refused,
        )
        upstreams = Upstreams(connector.connect, work)
        metrics.open_upstreams.set_function(lambda: upstreams.open)
        try:
            yield OpenRegistries(upstreams, work, openings, refused)
        finally:
            await upstreams.close()
