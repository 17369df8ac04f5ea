"""The facade's real device listener, in the test's own process: who is let in, and what is told."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web
from attrs import define, evolve, field
from prometheus_client import CollectorRegistry

from deploy.dev.device_ca import CertificateAuthority, IssuedCertificate
from facade.devices.device_listener import DeviceListener, listening_socket
from facade.devices.device_server import DeviceServer
from facade.devices.device_tls import DeviceTls, TlsFiles
from facade.devices.identification import CurrentIdentification
from facade.devices.live_connections import LiveConnections
from facade.metrics.device_metrics import DeviceMetrics
from facade.values.device_identity import Identification, IdentityRule
from shared.identity_form import DEFAULT_URI_PATTERN, IdentityKind, compile_uri_pattern
from shared.setting_types import ListenAddress
from tests.support.eventually import eventually

REQUEST = b"GET /v2/ HTTP/1.1\r\nHost: localhost\r\n\r\n"
SERVED = b"HTTP/1.1 200 OK\r\n"
BOTH_VERSIONS = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)
SPIFFE = IdentityRule(IdentityKind.SPIFFE, compile_uri_pattern(DEFAULT_URI_PATTERN))
_MINIMUM = "1.2"
_REFUSED = "facade_device_handshakes_refused_total"


@define
class DeviceDoor:
    """A listening facade that answers every request of a device with 200."""

    server_ca: CertificateAuthority
    folder: Path
    port: int
    live: LiveConnections
    _listener: DeviceListener
    _tls: DeviceTls
    _identification: CurrentIdentification
    _registry: CollectorRegistry
    _written: int = field(default=0, init=False)

    def reasons(self) -> dict[str, int]:
        """Return how many handshakes were refused for each reason so far, as the metric says."""
        found: dict[str, int] = {}
        for metric in self._registry.collect():
            for sample in metric.samples:
                if sample.name == _REFUSED and sample.value:
                    found[sample.labels["reason"]] = int(sample.value)
        return found

    def device(
        self,
        issued: IssuedCertificate | None,
        version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
        chain: bytes | None = None,
    ) -> ssl.SSLContext:
        """Return a device's context: with a certificate and this chain of PEM, or with none."""
        context = ssl.create_default_context(cadata=self.server_ca.pem.decode())
        context.minimum_version = context.maximum_version = version
        if issued is not None:
            self._written += 1
            files = issued.write(self.folder, f"device-{self._written}")
            if chain is not None:
                files.certificate.write_bytes(chain)
            context.load_cert_chain(files.certificate, files.key)
        return context

    async def is_served(self, tls: ssl.SSLContext) -> bool:
        """Tell whether a device is answered; a refused device gets no byte of an answer."""
        try:
            reader, writer = await asyncio.open_connection("localhost", self.port, ssl=tls)
        except (ConnectionError, ssl.SSLError):
            return False
        answer = b""
        try:
            writer.write(REQUEST)
            answer = await reader.readline()
        except (ConnectionError, ssl.SSLError):
            pass  # in TLS 1.3 a device learns only now that it is refused
        finally:
            writer.transport.abort()
        assert answer in {b"", SERVED}
        return bool(answer)

    async def refusal(self, tls: ssl.SSLContext) -> str | None:
        """Return the reason for which a device is refused; None if it is served."""
        before = self.reasons()
        if await self.is_served(tls):
            assert self.reasons() == before
            return None
        return await self.until_refused(before)

    async def until_refused(self, before: dict[str, int]) -> str:
        """Return the one reason that has been counted since then."""
        await eventually(lambda: self.reasons() != before)
        (reason,) = (name for name, count in self.reasons().items() if count != before.get(name, 0))
        return reason

    async def take_over(self, device_ca: bytes) -> None:
        """Go on with another bundle of CAs, as a reload does."""
        files = evolve(self._tls.files, device_ca=device_ca)
        self._tls = DeviceTls.load(files, _MINIMUM)
        self._listener.context = self._tls.context
        self.live.adopt(self._tls.trust)
        await self._listener.judge_anew()

    async def identify_by(self, identification: Identification) -> None:
        """Go on with other identities, as a reload of their file does."""
        self._identification.current = identification
        await self._listener.judge_anew()


@asynccontextmanager
async def device_door(
    server_ca: CertificateAuthority,
    folder: Path,
    *,
    device_ca: bytes,
    device_crl: bytes | None = None,
    minimum: str = _MINIMUM,
    identification: Identification = SPIFFE,
) -> AsyncIterator[DeviceDoor]:
    """Open one on files of these contents; raise `TlsConfigurationError` for what is wrong."""
    server = server_ca.issue_server()
    files = TlsFiles(server.chain_pem, server.key_pem, device_ca, device_crl)
    tls = DeviceTls.load(files, minimum)
    registry = CollectorRegistry()
    metrics = DeviceMetrics.create(registry)
    live = LiveConnections(tls.trust, metrics)
    rule = CurrentIdentification(identification)
    devices = DeviceServer(_answer, rule, live)
    listening = listening_socket(ListenAddress("127.0.0.1", 0), reuse_port=False)
    listener = DeviceListener(listening, devices, metrics, tls.context)
    port = listening.getsockname()[1]
    listener.start()
    try:
        yield DeviceDoor(server_ca, folder, port, live, listener, tls, rule, registry)
    finally:
        listener.stop()
        await devices.shut_down(1.0)


async def _answer(_request: web.BaseRequest) -> web.StreamResponse:
    return web.Response(text="{}")
