"""A private address is spoken to only by a network that the approver saw.

Everything listens on loopback: the facade judges the addresses itself and asks its outbound proxy
for tunnels to them, and the proxy leads each tunnel to a simulator.
"""

import ssl
from collections.abc import AsyncIterator, Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Final

import pytest

from deploy.dev.device_ca import CertificateAuthority, IssuedCertificate
from deploy.dev.processes import free_port
from tests.support.facade_process import Answer, Device, Facade
from tests.support.facade_states import CANARY_TOKEN, USERNAME, connect, until_accepted
from tests.support.facade_states import pull_path as path_of
from tests.support.simulators.behaviour import RedirectsTo
from tests.support.simulators.login import BasicLogin, BearerLogin
from tests.support.simulators.proxy import ProxySimulator
from tests.support.simulators.registry import RegistrySimulator, StoreSimulator
from tests.support.statement_writer import StatementWriter

CONTENT: Final = b"the content of a blob" * 40_000  # more than one piece
PRIVATE: Final = "10.20.30.40"
ALLOWED: Final = {"allowed_networks": (ip_network("10.20.30.0/24"),)}


@pytest.fixture(scope="module")
def proxy_port() -> int:
    """Where the facade finds its outbound proxy."""
    return free_port()


@pytest.fixture(scope="module")
def facade_settings(proxy_port: int) -> Mapping[str, str]:
    """The facade resolves and judges; the proxy opens tunnels."""
    return {"FACADE_HTTPS_PROXY": f"http://127.0.0.1:{proxy_port}"}


@pytest.fixture
async def proxy(proxy_port: int) -> AsyncIterator[ProxySimulator]:
    """The proxy, which records what it is asked for."""
    async with ProxySimulator(port=proxy_port) as running:
        yield running


@pytest.fixture
def device(facade: Facade, issued: IssuedCertificate) -> Device:
    """A good device."""
    return facade.device(issued)


def asked_for_private(proxy: ProxySimulator) -> bool:
    """Tell whether a tunnel to a private address was asked for."""
    return any(target.startswith("10.") for target in proxy.targets)


def assert_refused(answer: Answer, proxy: ProxySimulator) -> None:
    """Assert that the facade did not go there."""
    assert (answer.status, answer.error_code) == (502, "UNAVAILABLE")
    assert not asked_for_private(proxy)


def basic() -> RegistrySimulator:
    """Return a registry with a password."""
    return RegistrySimulator(login=BasicLogin(USERNAME, CANARY_TOKEN))


async def test_a_private_registry_needs_to_be_allowed(
    device: Device, facade: Facade, writer: StatementWriter, proxy: ProxySimulator
) -> None:
    """An operator's mistake must not turn the facade on the inside."""
    async with basic() as registry:
        digest = registry.blob(CONTENT)
        for port, fields in ((5001, {}), (5002, ALLOWED)):
            proxy.leads_to[f"{PRIVATE}:{port}"] = ("127.0.0.1", registry.port)
            credential = {"username": USERNAME, "token": CANARY_TOKEN, "plain_http": True}
            approval = await writer.approve(f"{PRIVATE}:{port}", **credential, **fields)
            await until_accepted(facade, approval)
        refused = await device.get(f"/v2/{PRIVATE}_5001/team/app/blobs/{digest}")
        assert_refused(refused, proxy)
        served = await device.get(f"/v2/{PRIVATE}_5002/team/app/blobs/{digest}")
        assert served.body == CONTENT
        assert asked_for_private(proxy)


async def test_a_private_store_needs_to_be_allowed(
    device: Device, facade: Facade, writer: StatementWriter, proxy: ProxySimulator
) -> None:
    """Where a registry redirects to is held to the same rule."""
    async with basic() as closed, basic() as opened, StoreSimulator() as store:
        proxy.leads_to[f"{PRIVATE}:8000"] = ("127.0.0.1", store.port)
        url = store.put(CONTENT).replace(store.authority, f"{PRIVATE}:8000")
        await connect(facade, writer, closed)
        refused = closed.blob(CONTENT, get=RedirectsTo(url))
        assert_refused(await device.get(path_of(closed, refused)), proxy)
        await connect(facade, writer, opened, **ALLOWED)
        allowed = opened.blob(CONTENT, get=RedirectsTo(url))
        assert (await device.get(path_of(opened, allowed))).body == CONTENT


async def test_a_private_realm_needs_to_be_allowed(
    device: Device,
    facade: Facade,
    writer: StatementWriter,
    proxy: ProxySimulator,
    server_ca: CertificateAuthority,
    tmp_path: Path,
) -> None:
    """By its network, beside the realm itself."""
    files = server_ca.issue_server(ips=("127.0.0.1", PRIVATE)).write(tmp_path, "private")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(files.certificate, files.key)
    realm = f"https://{PRIVATE}:4443/token"
    tokens = BearerLogin(USERNAME, CANARY_TOKEN, realm=realm)
    fields: dict[str, Any] = {
        "plain_http": False,
        "ca_certificate": server_ca.pem.decode(),
        "auth_realms": (realm,),
    }
    async with (
        RegistrySimulator(login=tokens, tls=tls) as endpoint,
        RegistrySimulator(login=tokens, tls=tls) as closed,
        RegistrySimulator(login=tokens, tls=tls) as opened,
    ):
        proxy.leads_to[f"{PRIVATE}:4443"] = ("127.0.0.1", endpoint.port)
        await connect(facade, writer, closed, **fields)
        refused = await device.get(path_of(closed, closed.blob(CONTENT)))
        assert_refused(refused, proxy)
        assert endpoint.connections_made == 0
        await connect(facade, writer, opened, **fields, **ALLOWED)
        assert (await device.get(path_of(opened, opened.blob(CONTENT)))).body == CONTENT
