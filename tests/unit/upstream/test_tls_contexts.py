"""One TLS context for each set of authorities, of what the system's files have now."""

import asyncio
import gc
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from deploy.dev.device_ca import CertificateAuthority
from shared.registry_host import RegistryHost
from shared.upstream.authorization import OneShotAuthorizer
from shared.upstream.client import RegistryClient
from shared.upstream.errors import TlsError
from shared.upstream.target import UpstreamTarget
from shared.upstream.tls_contexts import SYSTEM, SYSTEM_LOOKED_AT_SECONDS, Authorities, TlsContexts
from shared.upstream.transport import TransportResources, UpstreamTransport
from tests.support.clock import Clock
from tests.support.simulators.behaviour import RedirectsTo
from tests.support.simulators.registry import RegistrySimulator, StoreSimulator
from tests.unit.upstream.reading import read

FIRST, SECOND, THIRD = (CertificateAuthority.create(f"CA {number}") for number in range(3))


def beside(*authorities: CertificateAuthority) -> Authorities:
    """Return the system's and these."""
    return Authorities.beside("".join(each.pem.decode() for each in authorities))


async def test_who_believes_the_same_shares_a_context() -> None:
    """Made once, also for those who come together, and in whatever order the PEM has them."""
    contexts = TlsContexts()
    both = [beside(FIRST, SECOND), beside(SECOND, FIRST), beside(FIRST, SECOND, FIRST)]
    made = await asyncio.gather(*(contexts.of(each) for each in both * 5))
    assert len({id(each) for each in made}) == 1
    assert contexts.count == 1


async def test_who_believes_others_has_another() -> None:
    """What one connection's approver allowed is nothing to another connection."""
    contexts = TlsContexts()
    sets = [SYSTEM, beside(FIRST), beside(SECOND), beside(FIRST, SECOND)]
    made = [await contexts.of(each) for each in sets]
    counts = [each.cert_store_stats()["x509"] for each in made]
    assert [each - counts[0] for each in counts] == [0, 1, 1, 2]
    assert contexts.count == 4


async def test_there_are_no_more_than_the_bound() -> None:
    """The least recently used goes, and is made again when it is needed."""
    contexts = TlsContexts(most=2)
    first, second = beside(FIRST), beside(SECOND)
    known = id(await contexts.of(first))
    await contexts.of(second)
    assert id(await contexts.of(first)) == known
    await contexts.of(beside(THIRD))
    gc.collect()
    assert contexts.count == 2
    assert id(await contexts.of(first)) == known
    assert (await contexts.of(second)).cert_store_stats()["x509"] > 0


async def test_what_a_connection_holds_is_not_made_twice() -> None:
    """An open connection is found again by its context alone."""
    contexts = TlsContexts(most=1)
    held = await contexts.of(beside(FIRST))
    await contexts.of(beside(SECOND))
    assert await contexts.of(beside(FIRST)) is held


async def test_plain_http_has_none_until_it_leads_to_tls(tmp_path: Path) -> None:
    """A registry without TLS may redirect to a store that has it."""
    resources = TransportResources()
    files = FIRST.issue_server(dns=("localhost",), ips=()).write(tmp_path, "server")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(files.certificate, files.key)
    async with RegistrySimulator() as registry, StoreSimulator(tls=tls, name="localhost") as store:
        target = UpstreamTarget(
            registry.host,
            plain_http=True,
            ca_certificate=FIRST.pem.decode(),
            allow_loopback=True,
        )
        transport = await UpstreamTransport.open(target, resources=resources)
        client = RegistryClient(transport, OneShotAuthorizer(transport, None))
        try:
            assert await read(client, registry.blob(b"plain")) == b"plain"
            assert resources.tls.count == 0
            digest = registry.blob(b"stored", get=RedirectsTo(store.put(b"stored")))
            assert await read(client, digest) == b"stored"
            assert resources.tls.count == 1
        finally:
            await transport.close()


class System:
    """The system's file of authorities, and registries that one of them vouches for."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.clock = Clock()
        self.resources = TransportResources(tls=TlsContexts(clock=self.clock))

    def write(self, *authorities: CertificateAuthority) -> None:
        """Have the file hold these, from the next look on."""
        self.file.with_suffix(".new").write_bytes(b"".join(each.pem for each in authorities))
        self.file.with_suffix(".new").rename(self.file)
        self.pass_time()

    def pass_time(self) -> None:
        """Let the file be looked at again."""
        self.clock.advance(SYSTEM_LOOKED_AT_SECONDS)


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> System:
    """A system that believes the first CA."""
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authorities.pem"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "none"))
    system = System(tmp_path / "authorities.pem")
    system.write(FIRST)
    return system


@pytest.fixture
async def registry(tmp_path: Path) -> AsyncIterator[RegistrySimulator]:
    """A registry that the first CA vouches for."""
    files = FIRST.issue_server(dns=("localhost",), ips=()).write(tmp_path, "server")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(files.certificate, files.key)
    async with RegistrySimulator(tls=tls, name="localhost") as registry:
        yield registry


@pytest.fixture
async def client(system: System, registry: RegistrySimulator) -> AsyncIterator[RegistryClient]:
    """A client that believes what the system believes."""
    target = UpstreamTarget(RegistryHost.parse(registry.authority), allow_loopback=True)
    transport = await UpstreamTransport.open(target, resources=system.resources)
    yield RegistryClient(transport, OneShotAuthorizer(transport, None))
    await transport.close()


async def test_an_authority_that_the_system_believes_no_more_is_believed_by_nobody(
    system: System, registry: RegistrySimulator, client: RegistryClient
) -> None:
    """Not over a kept connection either, and without a restart; and it may come back."""
    digest = registry.blob(b"content")
    assert await read(client, digest) == b"content"
    system.write(SECOND)
    with pytest.raises(TlsError):
        await read(client, digest)
    system.write(SECOND, FIRST)
    assert await read(client, digest) == b"content"


async def test_the_systems_file_is_not_looked_at_with_each_request(
    system: System, registry: RegistrySimulator, client: RegistryClient
) -> None:
    """Between two looks what was read holds."""
    digest = registry.blob(b"content")
    assert await read(client, digest) == b"content"
    system.file.write_bytes(SECOND.pem)
    assert await read(client, digest) == b"content"
    assert registry.connections_made == 1


@pytest.mark.parametrize("is_there", [False, True])
async def test_a_file_without_authorities_changes_nothing(
    is_there: bool,  # noqa: FBT001 - parametrized
    system: System,
    registry: RegistrySimulator,
    client: RegistryClient,
) -> None:
    """It is being written, or was removed by mistake: every registry would be refused."""
    digest = registry.blob(b"content")
    assert await read(client, digest) == b"content"
    if is_there:
        system.file.write_bytes(b"")
    else:
        system.file.unlink()
    system.pass_time()
    assert await read(client, digest) == b"content"
    system.write(SECOND)
    with pytest.raises(TlsError):
        await read(client, digest)


async def test_connections_own_authorities_are_beside_what_the_system_has_now(
    system: System,
) -> None:
    """A changed system changes their contexts, too."""
    contexts = system.resources.tls
    assert (await contexts.of(beside(THIRD))).cert_store_stats()["x509"] == 2
    system.write(FIRST, SECOND)
    assert (await contexts.of(beside(THIRD))).cert_store_stats()["x509"] == 3
