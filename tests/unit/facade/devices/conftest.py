"""Both ends of TLS between a device and a facade."""

import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from OpenSSL import SSL

from deploy.dev.device_ca import CertificateAuthority, CertificateFiles
from facade.devices.tls import server_context
from tests.support.noted_connections import Connections, DeviceTls


@pytest.fixture(scope="session")
def facade_tls(
    device_ca: CertificateAuthority, server_certificate: CertificateFiles
) -> SSL.Context:
    """The facade's context, with TLS 1.2 allowed."""
    return server_context(
        certificate=server_certificate.certificate.read_bytes(),
        key=server_certificate.key.read_bytes(),
        device_cas=[device_ca.certificate],
        minimum="1.2",
    )


@pytest.fixture(scope="session")
def device_tls(
    server_ca: CertificateAuthority,
    device_ca: CertificateAuthority,
    tmp_path_factory: pytest.TempPathFactory,
) -> DeviceTls:
    """Make a good device's context."""
    files = device_ca.issue_device().write(tmp_path_factory.mktemp("device"), "device")

    def make(
        version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3, key_log: Path | None = None
    ) -> ssl.SSLContext:
        context = ssl.create_default_context(cadata=server_ca.pem.decode())
        context.load_cert_chain(files.certificate, files.key)
        context.minimum_version = context.maximum_version = version
        if key_log is not None:
            context.keylog_filename = str(key_log)
        return context

    return make


@pytest.fixture
async def connections(facade_tls: SSL.Context, device_tls: DeviceTls) -> AsyncIterator[Connections]:
    """Connections that end with the test."""
    made = Connections(facade_tls, device_tls)
    yield made
    await made.close()
