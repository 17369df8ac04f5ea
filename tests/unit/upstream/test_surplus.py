"""A whole, right answer is taken, whatever stands behind it in the same packet."""

import pytest

from shared.oci import OCI_MANIFEST, Digest, Kind
from shared.upstream.errors import CredentialRefusedError, NotInRegistryError
from tests.support.simulators.behaviour import RawBytes
from tests.support.simulators.registry import RegistrySimulator
from tests.unit.upstream.conftest import Connect
from tests.unit.upstream.reading import APP

BODY = b'{"schemaVersion":2}'
LENGTH = b"Content-Length: 19\r\n\r\n" + BODY
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n13\r\n" + BODY + b"\r\n0\r\n\r\n"
BEHIND = (b"\0garbage", b"\r\ngarbage\r\n", b"HTTP/1.1 xx\r\n\r\n", b"0\r\n\r\n", b"<html>")


@pytest.mark.parametrize("behind", BEHIND)
@pytest.mark.parametrize("answer", [LENGTH, CHUNKED], ids=["length", "chunked"])
async def test_an_answer_is_whole_whatever_follows_it(
    connect: Connect, answer: bytes, behind: bytes
) -> None:
    """What the parser refuses behind it is not the answer's."""
    async with RegistrySimulator() as registry:
        raw = RawBytes(b"HTTP/1.1 200 OK\r\n" + answer + behind)
        digest = registry.manifest(BODY, media_type=OCI_MANIFEST, get=raw)
        client = await connect(registry)
        async with client.fetch(Kind.MANIFEST, APP, Digest.parse(digest)) as got:
            assert b"".join([chunk async for chunk in got.chunks()]) == BODY


@pytest.mark.parametrize("answer", [LENGTH, CHUNKED], ids=["length", "chunked"])
async def test_a_head_with_a_body_is_an_answer(connect: Connect, answer: bytes) -> None:
    """Careless servers send one."""
    async with RegistrySimulator() as registry:
        raw = RawBytes(b"HTTP/1.1 200 OK\r\n" + answer)
        digest = registry.manifest(BODY, media_type=OCI_MANIFEST, head=raw)
        client = await connect(registry)
        async with client.fetch(Kind.MANIFEST, APP, Digest.parse(digest), method="HEAD") as got:
            assert got.is_plain


@pytest.mark.parametrize(
    "status, error",
    [(b"404 Not Found", NotInRegistryError), (b"401 Unauthorized", CredentialRefusedError)],
)
async def test_a_refused_head_with_a_page_keeps_its_status(
    connect: Connect, status: bytes, error: type[Exception]
) -> None:
    """A proxy's page of a 404 does not make it an answer that is no HTTP."""
    async with RegistrySimulator() as registry:
        raw = RawBytes(b"HTTP/1.1 " + status + b"\r\n" + LENGTH)
        digest = registry.manifest(BODY, media_type=OCI_MANIFEST, head=raw)
        client = await connect(registry)
        with pytest.raises(error):
            async with client.fetch(Kind.MANIFEST, APP, Digest.parse(digest), method="HEAD"):
                pytest.fail("a refusal was taken as an answer")
