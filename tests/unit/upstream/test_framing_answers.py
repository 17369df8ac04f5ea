"""Answers that are framing without an end: each is broken off, over HTTP and over TLS."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest

from deploy.dev.device_ca import CertificateAuthority
from shared.oci import Digest, Kind
from shared.registry_host import RegistryHost
from shared.upstream.client import RegistryClient
from shared.upstream.errors import (
    BrokenBodyError,
    UnexpectedAnswerError,
    UpstreamError,
    WastefulAnswerError,
)
from shared.upstream.framing import MAX_FRAMING_BYTES, MAX_INTERIM_ANSWERS
from shared.upstream.target import UpstreamTarget
from tests.support.eventually import eventually
from tests.support.simulators.behaviour import Endless, RawBytes, Slow
from tests.support.simulators.registry import RegistrySimulator
from tests.unit.upstream.conftest import Connect
from tests.unit.upstream.reading import APP, read

OK: Final = b"HTTP/1.1 200 OK\r\n"
CHUNKED: Final = OK + b"Transfer-Encoding: chunked\r\n\r\n"
EARLY: Final = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n"
CONTENT: Final = bytes(range(256)) * 512  # 128 KiB

ENDLESS_HEADS: Final = {
    "100": Endless(b"", b"HTTP/1.1 100 \r\n\r\n"),
    "102": Endless(b"", b"HTTP/1.1 102 Processing\r\n\r\n"),
    "103 with a link": Endless(b"", EARLY),
    "199": Endless(b"", b"HTTP/1.1 199 \r\nContent-Length: 0\r\n\r\n"),
    "empty lines": Endless(b"", b"\r\n"),
    "a status line": Endless(b"HTTP/1.1 200 ", b"a"),
    "a header": Endless(OK + b"X: ", b"a"),
    "a header's name": Endless(OK, b"a"),
    "headers": Endless(OK, b"X: y\r\n"),
    "headers of an interim answer": Endless(b"HTTP/1.1 103 Early Hints\r\n", b"X: y\r\n"),
    "a folded header": Endless(OK + b"X: a\r\n", b" a\r\n"),
    "large headers": Endless(OK, b"X: " + b"a" * 8000 + b"\r\n"),
    "large interim answers": Endless(b"", EARLY[:-2] + b"X: " + b"a" * 15_000 + b"\r\n\r\n"),
    "spaces": Endless(OK + b"X:", b" "),
    "no HTTP": Endless(b"", b"220 mail.example ESMTP\r\n"),
}
ENDLESS_BODIES: Final = {
    "chunks of one byte": Endless(CHUNKED, b"1\r\nX\r\n"),
    "chunks of three bytes": Endless(CHUNKED, b"3\r\nXYZ\r\n"),
    "chunks with an extension": Endless(CHUNKED, b"8;name=value\r\n12345678\r\n"),
    "an extension": Endless(CHUNKED + b"4;", b"a"),
    "an extension's value": Endless(CHUNKED + b'4;a="', b"a"),
    "a size of zeros": Endless(CHUNKED, b"0"),
    "trailers": Endless(CHUNKED + b"4\r\nABCD\r\n0\r\n", b"X: y\r\n"),
    "a trailer": Endless(CHUNKED + b"4\r\nABCD\r\n0\r\nX: ", b"a"),
    "a folded trailer": Endless(CHUNKED + b"4\r\nABCD\r\n0\r\nX: a\r\n", b" a\r\n"),
}
# Refused by aiohttp's parser itself.
BROKEN: Final = (BrokenBodyError, UnexpectedAnswerError)  # before or behind its head
BROKEN_BY_THE_PARSER: Final = dict.fromkeys(
    ("a size of zeros", "trailers", "a trailer", "a folded trailer"), BROKEN
)
EMPTY: Final = OK + b"Content-Length: 0\r\n\r\n"
PATIENCE_SECONDS: Final = 60.0  # only a test that fails takes as long
AUTHORITY: Final = CertificateAuthority.create()


@pytest.fixture(params=["http", "https"])
async def registry(
    request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[RegistrySimulator]:
    """A registry."""
    tls = None
    if request.param == "https":
        files = AUTHORITY.issue_server(dns=("localhost",)).write(tmp_path, "server")
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(files.certificate, files.key)
    async with RegistrySimulator(tls=tls, name="localhost" if tls else None) as registry:
        yield registry


@pytest.fixture
async def client(registry: RegistrySimulator, connect: Connect) -> RegistryClient:
    """Its client."""
    is_plain = registry.origin.startswith("http:")
    ca = None if is_plain else AUTHORITY.pem.decode()
    return await connect(
        UpstreamTarget(registry.host, plain_http=is_plain, ca_certificate=ca, allow_loopback=True)
    )


@pytest.mark.parametrize("kind", ENDLESS_HEADS)
async def test_heads_without_an_end_are_broken_off(
    registry: RegistrySimulator, client: RegistryClient, kind: str
) -> None:
    """No total of time would do: what comes is parsed and kept until then."""
    digest = registry.blob(CONTENT, get=ENDLESS_HEADS[kind])
    with pytest.raises(UnexpectedAnswerError):
        async with asyncio.timeout(PATIENCE_SECONDS):
            await read(client, digest)
    await eventually(lambda: registry.open_connections == 0)
    assert len(registry.requests) == 1


@pytest.mark.parametrize("kind", ["100", "103 with a link", "empty lines", "large headers"])
async def test_framing_without_an_end_is_an_error_of_its_own(
    registry: RegistrySimulator, client: RegistryClient, kind: str
) -> None:
    """The circuit breaker counts it."""
    digest = registry.blob(CONTENT, get=ENDLESS_HEADS[kind])
    with pytest.raises(WastefulAnswerError):
        await read(client, digest)


@pytest.mark.parametrize("kind", ENDLESS_BODIES)
async def test_a_body_that_is_framing_without_an_end_is_broken_off(
    registry: RegistrySimulator, client: RegistryClient, kind: str
) -> None:
    """It brings nothing, or next to nothing, and there is always more of it."""
    digest = registry.blob(CONTENT, get=ENDLESS_BODIES[kind])
    expected = BROKEN_BY_THE_PARSER.get(kind, (WastefulAnswerError,))
    with pytest.raises(expected):
        async with asyncio.timeout(PATIENCE_SECONDS):
            await read(client, digest)
    await eventually(lambda: registry.open_connections == 0)
    assert len(registry.requests) == 1


@pytest.mark.parametrize("registry", ["https"], indirect=True)
async def test_tls_records_of_one_byte_are_framing_too(
    registry: RegistrySimulator, client: RegistryClient
) -> None:
    """Each takes 23 bytes, which only the kernel counts."""
    digest = registry.blob(CONTENT, get=Slow(piece_bytes=1, pause_seconds=0))
    with pytest.raises(WastefulAnswerError):
        await read(client, digest)


@pytest.mark.parametrize("registry", ["https"], indirect=True)
async def test_tls_records_of_some_bytes_come_whole(
    registry: RegistrySimulator, client: RegistryClient
) -> None:
    """Again and again over the same connection: what was there before gives no credit."""
    digest = registry.blob(CONTENT, get=Slow(piece_bytes=64, pause_seconds=0))
    for _ in range(3):
        assert await read(client, digest) == CONTENT
    assert registry.connections_made == 1


async def test_an_answer_may_have_some_framing(
    registry: RegistrySimulator, client: RegistryClient
) -> None:
    """As much as the bounds say: no real registry comes near them."""
    early = EARLY * MAX_INTERIM_ANSWERS
    padding = b"X: " + b"a" * 14_000 + b"\r\n"
    head = OK + padding * 4 + b"Transfer-Encoding: chunked\r\n\r\n"
    framing = MAX_FRAMING_BYTES - 25_000
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in CONTENT[:5000])
    rest = CONTENT[5000:]
    rest_chunk = b"%x;%b\r\n%b\r\n0\r\n\r\n" % (len(rest), b"a" * framing, rest)
    digest = registry.blob(CONTENT, get=RawBytes(early + head + chunks + rest_chunk))
    assert await read(client, digest) == CONTENT


@pytest.mark.parametrize("size", [6, 16, 300, 70_000])
async def test_a_body_in_small_chunks_comes_whole(
    registry: RegistrySimulator, client: RegistryClient, size: int
) -> None:
    """If it has as much content as framing it is slow, but it is an answer."""
    pieces = [CONTENT[at : at + size] for at in range(0, len(CONTENT), size)]
    body = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    digest = registry.blob(CONTENT, get=RawBytes(CHUNKED + body + b"0\r\n\r\n"))
    assert await read(client, digest) == CONTENT


@pytest.mark.parametrize("again", [EMPTY, EARLY, b"\r\n", CHUNKED + b"1\r\nX\r\n0\r\n\r\n"])
@pytest.mark.parametrize("framing", ["counted", "chunked", "no body"])
async def test_what_comes_behind_an_answer_costs_the_connection(
    registry: RegistrySimulator, client: RegistryClient, framing: str, again: bytes
) -> None:
    """On a kept connection nobody waits for anything, so nothing would ever bound it."""
    body = {
        "counted": OK + b"Content-Length: %d\r\n\r\n%b" % (len(CONTENT), CONTENT),
        "chunked": CHUNKED + b"%x\r\n%b\r\n0\r\n\r\n" % (len(CONTENT), CONTENT),
        "no body": EMPTY,
    }[framing]
    digest = registry.blob(CONTENT, get=Endless(body, again))
    assert await read(client, digest) == (b"" if framing == "no body" else CONTENT)
    await eventually(lambda: registry.open_connections == 0)


async def test_a_body_that_nobody_reads_is_not_lost_to_what_comes_behind_it(
    registry: RegistrySimulator, client: RegistryClient
) -> None:
    """The surplus is thrown away, not what was asked for."""
    content = CONTENT * 16  # more than is read ahead
    answer = OK + b"Content-Length: %d\r\n\r\n%b" % (len(content), content)
    digest = registry.blob(content, get=Endless(answer, EMPTY))
    received = bytearray()
    async with client.fetch(Kind.BLOB, APP, Digest.parse(digest)) as answer_:
        async for chunk in answer_.chunks():
            received += chunk
            await asyncio.sleep(0.001)
    assert received == content
    await eventually(lambda: registry.open_connections == 0)


@pytest.mark.parametrize("greeting", [EMPTY, EARLY, b"220 mail.example ESMTP\r\n"])
async def test_an_answer_before_the_request_is_none(connect: Connect, greeting: bytes) -> None:
    """Whoever sent it did not know what would be asked."""

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            for _ in range(1000):
                writer.write(greeting * 100)
                await writer.drain()
            await reader.read()
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    host = RegistryHost.parse(f"127.0.0.1:{server.sockets[0].getsockname()[1]}")
    client = await connect(UpstreamTarget(host, plain_http=True, allow_loopback=True))
    with pytest.raises(UpstreamError):
        await read(client, "sha256:" + "0" * 64)
    server.close()
