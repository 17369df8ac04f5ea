"""Long bodies that are read in large steps: the same bytes, and a bound on how many are."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import pytest

from deploy.dev.device_ca import CertificateAuthority
from shared.oci import Digest, Kind
from shared.upstream.authorization import OneShotAuthorizer
from shared.upstream.client import RegistryClient
from shared.upstream.errors import BrokenBodyError
from shared.upstream.large_reads import (
    LARGE_BYTES,
    MOST_LARGE,
    SMALL_BYTES,
    USUAL_BYTES,
    ReadMemory,
)
from shared.upstream.target import UpstreamTarget
from shared.upstream.transport import TransportResources, UpstreamTransport
from tests.support.eventually import eventually
from tests.support.simulators.behaviour import FewerBytes, MoreBytes
from tests.support.simulators.registry import RegistrySimulator
from tests.unit.upstream.reading import APP, read

LONG = Random(1).randbytes(5 * LARGE_BYTES + 4711)  # noqa: S311 the same seed makes the same bytes
SHORT = Random(2).randbytes(LARGE_BYTES - 1)  # noqa: S311 as above


@pytest.fixture(params=["plain", "TLS"])
def authority(request: pytest.FixtureRequest) -> CertificateAuthority | None:
    """The CA of a registry over TLS."""
    return CertificateAuthority.create("registry CA") if request.param == "TLS" else None


@pytest.fixture
async def registry(
    authority: CertificateAuthority | None, tmp_path: Path
) -> AsyncIterator[RegistrySimulator]:
    """A registry, over plain HTTP and over TLS."""
    tls = None
    if authority is not None:
        files = authority.issue_server().write(tmp_path, "server")
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(files.certificate, files.key)
    async with RegistrySimulator(tls=tls, name="localhost" if tls else None) as registry:
        yield registry


@asynccontextmanager
async def client_of(
    registry: RegistrySimulator, authority: CertificateAuthority | None, memory: ReadMemory
) -> AsyncIterator[RegistryClient]:
    """Give a client whose connections read into this memory."""
    ca = None if authority is None else authority.pem.decode()
    target = UpstreamTarget(
        registry.host, ca_certificate=ca, plain_http=ca is None, allow_loopback=True
    )
    transport = await UpstreamTransport.open(target, resources=TransportResources(memory=memory))
    yield RegistryClient(transport, OneShotAuthorizer(transport, None))
    await transport.close()


async def test_long_and_short_bodies_are_right_on_one_connection(
    registry: RegistrySimulator, authority: CertificateAuthority | None
) -> None:
    """What is read into the same memory is each answer's own, one after the other and at once."""
    memory = ReadMemory()
    long, short = registry.blob(LONG), registry.blob(SHORT)
    other = registry.blob(LONG[::-1])
    async with client_of(registry, authority, memory) as client:
        for _ in range(2):
            assert await read(client, long) == LONG
            assert await read(client, short) == SHORT
        assert registry.open_connections == 1
        async with (
            client.fetch(Kind.BLOB, APP, Digest.parse(long)) as one,
            client.fetch(Kind.BLOB, APP, Digest.parse(other)) as two,
        ):
            assert memory.large == (0 if authority else 2)
            firsts, seconds = one.chunks(), two.chunks()
            content, reversed_content = bytearray(), bytearray()
            while (first := await anext(firsts, b"")) or len(reversed_content) < len(LONG):
                content += first
                reversed_content += await anext(seconds, b"")
        assert content == LONG
        assert reversed_content == LONG[::-1]
    assert memory.large == 0


async def test_only_long_bodies_are_read_in_large_steps(
    registry: RegistrySimulator, authority: CertificateAuthority | None
) -> None:
    """A short one gains nothing, nor does one under TLS; and a reader may be slow."""
    memory = ReadMemory()
    long, short = registry.blob(LONG), registry.blob(SHORT)
    async with client_of(registry, authority, memory) as client:
        async with client.fetch(Kind.BLOB, APP, Digest.parse(short)):
            assert memory.large == 0
        async with client.fetch(Kind.BLOB, APP, Digest.parse(long)) as answer:
            assert memory.large == (0 if authority else 1)
            chunks = [chunk async for chunk in answer.chunks()]
            assert memory.large == 0
    assert b"".join(chunks) == LONG
    assert max(map(len, chunks)) <= 2 * LARGE_BYTES


async def test_the_beginning_of_a_long_body_does_not_wait_for_a_large_step(
    registry: RegistrySimulator, authority: CertificateAuthority | None
) -> None:
    """A device waits for it."""
    digest = registry.blob(LONG)
    async with (
        client_of(registry, authority, ReadMemory()) as client,
        client.fetch(Kind.BLOB, APP, Digest.parse(digest)) as answer,
    ):
        for _ in range(1000):  # the registry sends meanwhile as much as is read of it
            await asyncio.sleep(0)
        chunks = [chunk async for chunk in answer.chunks()]
    assert len(chunks[0]) <= USUAL_BYTES + 2 * SMALL_BYTES  # some of it came with the head
    assert b"".join(chunks) == LONG


async def test_no_more_connections_than_the_bound_read_so(
    registry: RegistrySimulator, authority: CertificateAuthority | None
) -> None:
    """One more reads as uvloop does, gets the same bytes, and gives no place back."""
    memory = ReadMemory()
    while memory.take():
        pass
    assert memory.large == MOST_LARGE
    digest = registry.blob(LONG)
    async with client_of(registry, authority, memory) as client:
        assert await read(client, digest) == LONG
        assert memory.large == MOST_LARGE
        memory.give_back()
        assert await read(client, digest) == LONG
        assert memory.large == MOST_LARGE - 1


async def test_nobody_has_to_read_so(
    registry: RegistrySimulator, authority: CertificateAuthority | None
) -> None:
    """As under a bandwidth."""
    memory = ReadMemory(0)
    digest = registry.blob(LONG)
    async with (
        client_of(registry, authority, memory) as client,
        client.fetch(Kind.BLOB, APP, Digest.parse(digest)) as answer,
    ):
        assert memory.large == 0
        chunks = [chunk async for chunk in answer.chunks()]
    assert b"".join(chunks) == LONG
    assert memory.large == 0


async def test_a_body_that_breaks_gives_its_place_back(
    registry: RegistrySimulator, authority: CertificateAuthority | None
) -> None:
    """As does one that nobody reads to its end."""
    memory = ReadMemory()
    broken = registry.blob(LONG, get=FewerBytes(then="reset"))
    unread = registry.blob(LONG[::-1])
    async with client_of(registry, authority, memory) as client:
        with pytest.raises(BrokenBodyError):
            await read(client, broken)
        await eventually(lambda: memory.large == 0)
        async with client.fetch(Kind.BLOB, APP, Digest.parse(unread)) as answer:
            assert memory.large == (0 if authority else 1)
            await anext(answer.chunks())
        await eventually(lambda: memory.large == 0)


async def test_bytes_behind_a_long_body_are_nobodys(
    registry: RegistrySimulator, authority: CertificateAuthority | None
) -> None:
    """They are no part of it, and no later answer, although they came in the same step."""
    memory = ReadMemory()
    surplus = registry.blob(LONG, get=MoreBytes(b"HTTP/1.1 200 OK\r\n\r\n" * 3))
    honest = registry.blob(SHORT)
    async with client_of(registry, authority, memory) as client:
        for _ in range(2):
            assert await read(client, surplus) == LONG
            assert await read(client, honest) == SHORT


def test_what_is_handed_on_is_not_changed_by_the_next_read() -> None:
    """All connections of a process read into the same memory."""
    memory = ReadMemory()
    memory.of(3)[:] = b"one"
    handed_on = bytes(memory.of(3))
    memory.of(3)[:] = b"two"
    assert handed_on == b"one"
    assert len(memory.of(USUAL_BYTES)) == USUAL_BYTES
    assert len(memory.of(LARGE_BYTES)) == LARGE_BYTES
