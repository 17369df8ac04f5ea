"""Device servers with the facade's own protocol and TLS, in the test's own process."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final, Self

from attrs import define, field
from OpenSSL import SSL
from prometheus_client import CollectorRegistry

from deploy.dev.device_ca import CertificateAuthority, CertificateFiles
from facade.devices.connection_limits import ConnectionLimits
from facade.devices.device_listener import DeviceListener, listening_socket
from facade.devices.device_server import DeviceServer
from facade.devices.device_trust import DeviceTrust
from facade.devices.live_connections import LiveConnections
from facade.devices.parsed_answer import DeviceHandler
from facade.devices.tls import server_context
from facade.metrics.device_metrics import DeviceMetrics
from facade.values.device_identity import IdentityRule
from shared.identity_form import DEFAULT_URI_PATTERN, IdentityKind, compile_uri_pattern
from shared.setting_types import ListenAddress

_RULE: Final = IdentityRule(IdentityKind.SPIFFE, compile_uri_pattern(DEFAULT_URI_PATTERN))


@define
class DeviceServers:
    """As many as a test begins; each has a port of its own."""

    _tls: SSL.Context
    _device_ca: CertificateAuthority
    _running: list[tuple[DeviceListener, DeviceServer]] = field(factory=list, init=False)

    @classmethod
    @asynccontextmanager
    async def open(
        cls, device_ca: CertificateAuthority, server: CertificateFiles
    ) -> AsyncIterator[Self]:
        """Yield none yet. At the end all of them end."""
        tls = server_context(
            certificate=server.certificate.read_bytes(),
            key=server.key.read_bytes(),
            device_cas=[device_ca.certificate],
            minimum="1.3",
        )
        servers = cls(tls, device_ca)
        try:
            yield servers
        finally:
            for listener, devices in servers._running:
                listener.stop()
                await devices.shut_down(1.0)

    def begin(
        self, handler: DeviceHandler, limits: ConnectionLimits | None = None, **settings: Any
    ) -> tuple[DeviceServer, int]:
        """Begin one, and return it with its port; the settings are of `DeviceServer`."""
        metrics = DeviceMetrics.create(CollectorRegistry())
        trust = DeviceTrust.build([self._device_ca.certificate], None)
        live = LiveConnections(trust, metrics, limits or ConnectionLimits())
        devices = DeviceServer(handler, _RULE, live, **settings)
        listening = listening_socket(ListenAddress("127.0.0.1", 0), reuse_port=False)
        listener = DeviceListener(listening, devices, metrics, self._tls)
        listener.start()
        self._running.append((listener, devices))
        return devices, listening.getsockname()[1]
