"""What a client makes of the answers that registries give, on real sockets."""

import asyncio

import pytest

from shared.oci import (
    DOCKER_MANIFEST,
    MANIFEST_MEDIA_TYPES,
    OCI_MANIFEST,
    Digest,
    Kind,
)
from shared.upstream.answer import ContentRange
from shared.upstream.asked_range import AskedRange
from shared.upstream.errors import (
    BrokenBodyError,
    ConnectError,
    NotInRegistryError,
    RangeRefusedError,
    RateLimitedError,
    ServerError,
    UnexpectedAnswerError,
    UpstreamError,
    UpstreamTimeoutError,
)
from shared.upstream.transport import Timeouts
from tests.support.eventually import eventually, some_turns
from tests.support.simulators.behaviour import (
    Answers,
    Behaviour,
    BreaksAt,
    Encoded,
    FewerBytes,
    Honest,
    MoreBytes,
    NoLength,
    OtherBytes,
    Ranged,
    RawBytes,
    RedirectsTo,
    Slow,
    Stalls,
    TypedAs,
)
from tests.support.simulators.registry import RegistrySimulator, StoreSimulator
from tests.unit.upstream.conftest import QUICK, Connect
from tests.unit.upstream.reading import APP, UPSTREAM_TEXT, everything_said, read, read_into

CONTENT = bytes(range(256)) * 1024  # 256 KiB


async def test_a_blob_comes_whole(connect: Connect) -> None:
    """Bytes, length, type and digest claim; and what we send is an allow-list."""
    async with RegistrySimulator() as registry:
        digest = registry.blob(CONTENT)
        client = await connect(registry)
        async with client.fetch(Kind.BLOB, APP, Digest.parse(digest)) as answer:
            body = b"".join([chunk async for chunk in answer.chunks()])
            assert (answer.status, answer.content_length) == (200, len(CONTENT))
            assert answer.content_type == "application/octet-stream"
            assert answer.digest_header == digest
        assert body == CONTENT
        [request] = registry.requests
        assert request.target == f"/v2/team/app/blobs/{digest}"
        assert sorted(name for name, _ in request.headers) == [
            "Accept",
            "Accept-Encoding",
            "Host",
            "User-Agent",
        ]
        assert request.header("Accept-Encoding") == "identity"


async def test_a_manifest_is_asked_for_with_every_media_type(connect: Connect) -> None:
    """Distribution answers 404 without an exact match."""
    async with RegistrySimulator() as registry:
        digest = registry.manifest(b"{}", media_type=DOCKER_MANIFEST)
        client = await connect(registry)
        async with client.fetch(Kind.MANIFEST, APP, Digest.parse(digest)) as answer:
            assert answer.content_type == DOCKER_MANIFEST
        accept = registry.requests[0].header("Accept")
        assert accept is not None
        assert {value.strip() for value in accept.split(",")} == set(MANIFEST_MEDIA_TYPES)


async def test_a_tag_is_a_reference_and_a_path_is_not(connect: Connect) -> None:
    """What stands in a path of ours was parsed."""
    async with RegistrySimulator() as registry:
        client = await connect(registry)
        with pytest.raises(NotInRegistryError):
            async with client.fetch(Kind.MANIFEST, APP, "latest"):
                pass
        for reference in ("../../x", "a/b", "a%2fb", "a?b", "", "a" * 129):
            with pytest.raises(ValueError, match="digest or a tag"):
                async with client.fetch(Kind.MANIFEST, APP, reference):
                    pass
        assert len(registry.requests) == 1


async def test_head_gives_the_headers_and_no_body(connect: Connect) -> None:
    """Its length is of the content."""
    async with RegistrySimulator() as registry:
        digest = registry.blob(CONTENT)
        client = await connect(registry)
        async with client.fetch(Kind.BLOB, APP, Digest.parse(digest), method="HEAD") as answer:
            assert answer.content_length == len(CONTENT)
            assert [chunk async for chunk in answer.chunks()] == []


@pytest.mark.parametrize("framing", ["chunked", "close"])
async def test_an_answer_without_a_length_says_so(connect: Connect, framing: str) -> None:
    """The caller holds it against HEAD, or refuses it."""
    async with RegistrySimulator() as registry:
        digest = registry.blob(CONTENT, get=NoLength(framing, head_length=True))  # type: ignore[arg-type] # parametrized Literal
        other = registry.blob(b"x", get=NoLength(framing, head_length=False))  # type: ignore[arg-type] # parametrized Literal
        client = await connect(registry)
        async with client.fetch(Kind.BLOB, APP, Digest.parse(digest)) as answer:
            assert answer.content_length is None
            assert b"".join([chunk async for chunk in answer.chunks()]) == CONTENT
        async with client.fetch(Kind.BLOB, APP, Digest.parse(digest), method="HEAD") as answer:
            assert answer.content_length == len(CONTENT)
        async with client.fetch(Kind.BLOB, APP, Digest.parse(other), method="HEAD") as answer:
            assert answer.content_length is None


@pytest.mark.parametrize("then", ["close", "reset"])
async def test_fewer_bytes_than_promised_break_the_body(connect: Connect, then: str) -> None:
    """A short body never ends cleanly."""
    async with RegistrySimulator() as registry:
        digest = registry.blob(CONTENT, get=FewerBytes(1, then))  # type: ignore[arg-type] # parametrized Literal
        client = await connect(registry)
        with pytest.raises(BrokenBodyError):
            await read(client, digest)


async def test_a_short_chunked_body_breaks(connect: Connect) -> None:
    """Chunked framing that is cut off is noticed, too."""
    async with RegistrySimulator() as registry:
        cut = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc"
        digest = registry.blob(CONTENT, get=RawBytes(cut))
        client = await connect(registry)
        with pytest.raises(BrokenBodyError):
            await read(client, digest)


async def test_other_bytes_are_the_callers_to_notice(connect: Connect) -> None:
    """Only the digest tells; the client passes on what came."""
    async with RegistrySimulator() as registry:
        digest = registry.blob(CONTENT, get=OtherBytes())
        client = await connect(registry)
        body = await read(client, digest)
        assert len(body) == len(CONTENT)
        assert body != CONTENT


POISON = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: 6\r\n\r\npoison"
)


async def until_surplus_came(registry: RegistrySimulator) -> None:
    """Return once all that was written has reached the client: what comes later, nobody can tell.

    An answer that is written while the next request is under way is that request's answer.
    """
    await eventually(lambda: registry.answered == len(registry.requests))
    await some_turns()  # the loop that wrote it is the one that reads it


@pytest.mark.parametrize("pause_seconds", [0, 0.05])
@pytest.mark.parametrize("extra", [b"surplus", POISON, POISON * 3, b"HTTP/1.1 200"])
async def test_surplus_bytes_never_land_in_another_answer(
    connect: Connect, extra: bytes, pause_seconds: float
) -> None:
    """What lies behind a Content-Length looks like the next answer on a kept-alive connection."""
    async with RegistrySimulator() as registry:
        bad = registry.blob(CONTENT, get=MoreBytes(extra, pause_seconds=pause_seconds))
        good = registry.blob(b"right")
        client = await connect(registry)
        for _ in range(3):
            assert await read(client, bad) == CONTENT
            await until_surplus_came(registry)
            assert await read(client, good) == b"right"


async def test_many_kept_connections_with_surplus_are_none_too_many(connect: Connect) -> None:
    """Each is dropped, and the request goes out on a clean one."""
    async with RegistrySimulator() as registry:
        bad = registry.blob(CONTENT, get=MoreBytes(POISON, pause_seconds=0.05))
        good = registry.blob(b"right")
        client = await connect(registry)
        await asyncio.gather(*(read(client, bad) for _ in range(12)))
        assert registry.connections_made == 12
        await until_surplus_came(registry)
        assert await read(client, good) == b"right"


async def test_a_connection_is_used_again_after_a_whole_body(connect: Connect) -> None:
    """A handshake for every small answer would be most of its cost."""
    async with RegistrySimulator() as registry:
        digest = registry.blob(CONTENT)
        client = await connect(registry)
        for _ in range(3):
            assert await read(client, digest) == CONTENT
        assert registry.connections_made == 1


async def test_a_connection_is_used_again_after_a_redirect_and_an_error(connect: Connect) -> None:
    """Their few words are read, however little they matter."""
    async with RegistrySimulator() as registry:
        final = registry.blob(CONTENT)
        digest = registry.blob(b"other", get=RedirectsTo(f"/v2/team/app/blobs/{final}"))
        client = await connect(registry)
        for _ in range(3):
            assert await read(client, digest) == CONTENT
            with pytest.raises(NotInRegistryError):
                await read(client, "sha256:" + "0" * 64)
        assert registry.connections_made == 1


@pytest.mark.parametrize("body", [b"a" * 10_000_000, b"a" * 100])
async def test_a_long_or_slow_error_is_not_waited_for(connect: Connect, body: bytes) -> None:
    """It is closed instead."""
    slow = RawBytes(
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 10000000\r\n\r\n" + body, stays=True
    )
    async with RegistrySimulator() as registry:
        digest = registry.blob(CONTENT, get=slow)
        other = registry.blob(b"right")
        client = await connect(registry)
        with pytest.raises(NotInRegistryError):
            await read(client, digest)
        assert await read(client, other) == b"right"
        assert registry.connections_made == 2


async def test_leaving_a_body_early_closes_its_connection(connect: Connect) -> None:
    """The rest is neither read nor found by the next request."""
    async with RegistrySimulator() as registry:
        digest = registry.blob(CONTENT * 64)
        other = registry.blob(b"right")
        client = await connect(registry)
        async with client.fetch(Kind.BLOB, APP, Digest.parse(digest)) as answer:
            async for _ in answer.chunks():
                break
        assert await read(client, other) == b"right"
        assert registry.connections_made == 2


@pytest.mark.parametrize(
    "behaviour",
    [
        Encoded(header="Transfer-Encoding"),
        Answers(204),
        Answers(206),
        Answers(304),
        Answers(400),
        Answers(416),
        Answers(299),
        RawBytes(b"not HTTP at all\r\n\r\n"),
        RawBytes(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"),
        RawBytes(b"HTTP/1.1 200 OK\r\nContent-Length: 4, 5\r\n\r\nabcd"),
        RawBytes(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 4\r\n ,5\r\n\r\nabcd"),
        RawBytes(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nTransfer-Encoding: gzip\r\n\r\nabcd"),
        RawBytes(b"HTTP/1.1 206 P\r\nContent-Length: 4\r\nContent-Range: bytes 0-3/5\r\n\r\nabcd"),
        RawBytes(b"HTTP/1.1 206 P\r\nContent-Length: 4\r\nContent-Range: bytes 0-3/*\r\n\r\nabcd"),
        RawBytes(b"HTTP/1.1 206 P\r\nContent-Length: 4\r\nContent-Range: bytes 0-4/5\r\n\r\nabcd"),
        RawBytes(b"HTTP/1.1 200 OK\r\nContent-Length: -3\r\n\r\nabc"),
        RawBytes(b"HTTP/1.1 200 OK\r\nX: " + b"a" * 70_000 + b"\r\n\r\n"),
        RawBytes(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000 + b"\r\n"),
    ],
)
async def test_what_a_registry_does_not_answer_is_refused(
    connect: Connect, behaviour: Behaviour
) -> None:
    """An odd status, or not HTTP: no body, and no upstream text.

    Two lengths that differ are how an answer is smuggled into another (RFC 9112 section 6.3).
    """
    async with RegistrySimulator() as registry:
        digest = registry.blob(CONTENT, get=behaviour)
        client = await connect(registry)
        with pytest.raises(UnexpectedAnswerError) as refusal:
            await read(client, digest)
        assert UPSTREAM_TEXT not in everything_said(refusal.value)
        assert "not HTTP" not in everything_said(refusal.value)


OK = b"HTTP/1.1 200 OK\r\n"
COUNTED = b"Content-Length: 4\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
CHUNKS = b"\r\n4\r\nabcd\r\n0\r\n\r\n"
FRAMED_TWICE = {
    "equal lengths": OK + COUNTED + COUNTED.lower() + b"\r\nabcd",
    "a list of equal lengths": OK + b"Content-Length: 4, 4\r\n\r\nabcd",
    "identity, and a length": OK + b"Transfer-Encoding: identity\r\n" + COUNTED + b"\r\nabcd",
    "a length, and chunks": OK + COUNTED + CHUNKED + CHUNKS,
    "chunks, and a length": OK + CHUNKED + COUNTED + CHUNKS,
    "chunks, and another length": OK + CHUNKED + b"Content-Length: 2\r\n" + CHUNKS,
    "chunks, and lengths that differ": OK + CHUNKED + COUNTED + b"Content-Length: 5\r\n" + CHUNKS,
}


@pytest.mark.parametrize("answer", FRAMED_TWICE.values(), ids=FRAMED_TWICE)
@pytest.mark.parametrize("late", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"])
async def test_a_body_that_is_framed_twice_is_served_and_its_connection_left(
    connect: Connect, answer: bytes, late: bytes
) -> None:
    """Real proxies send it, and the digest tells; what comes behind may be a part of it."""
    async with RegistrySimulator() as registry:
        digest = registry.blob(b"abcd", get=RawBytes(answer + late, stays=True, late=late))
        other = registry.blob(b"right")
        client = await connect(registry)
        assert await read(client, digest) == b"abcd"
        assert await read(client, other) == b"right"
        assert registry.connections_made == 2


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 203 Non-Authoritative Information\r\n",
        b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-3/4\r\n",
    ],
)
async def test_a_whole_answer_is_one_whatever_a_proxy_calls_it(
    connect: Connect, head: bytes, kind: Kind
) -> None:
    """Changed on the way, it says, or a range that nobody asked for: the digest tells."""
    answer = RawBytes(head + b"Content-Length: 4\r\n\r\nabcd", stays=True)
    async with RegistrySimulator() as registry:
        put = registry.blob if kind is Kind.BLOB else registry.manifest
        digest = put(b"abcd", get=answer, head=RawBytes(answer.answer[:-4]))
        client = await connect(registry)
        async with client.fetch(kind, APP, Digest.parse(digest)) as whole:
            assert (whole.status, whole.content_length, whole.content_range) == (200, 4, None)
            assert b"".join([chunk async for chunk in whole.chunks()]) == b"abcd"
        client = await connect(registry)  # the first one's connection is silent from here on
        async with client.fetch(kind, APP, Digest.parse(digest), method="HEAD") as told:
            assert told.content_length == 4


@pytest.mark.parametrize(
    "content_types, seen",
    [
        (("application/vnd.oci.image.manifest.v1+json; charset=utf-8",), OCI_MANIFEST),
        (("Application/Vnd.OCI.image.manifest.v1+JSON",), OCI_MANIFEST),
        ((), None),
        ((OCI_MANIFEST, OCI_MANIFEST), OCI_MANIFEST),
        ((OCI_MANIFEST, f"{OCI_MANIFEST}; charset=utf-8", OCI_MANIFEST.upper()), OCI_MANIFEST),
        ((f"{OCI_MANIFEST}, {OCI_MANIFEST}",), OCI_MANIFEST),
        ((f'{OCI_MANIFEST}; x="a, b"',), OCI_MANIFEST),
        ((OCI_MANIFEST, DOCKER_MANIFEST), None),
        ((f"{OCI_MANIFEST}, {DOCKER_MANIFEST}",), None),
        ((OCI_MANIFEST, "nonsense"), None),
        (("",), None),
        (("ä/ö",), None),
        (("a" * 300 + "/b",), None),
        (("nonsense",), None),
    ],
)
async def test_a_content_type_is_bare_and_readable_or_none(
    connect: Connect, content_types: tuple[str, ...], seen: str | None
) -> None:
    """It may be written into a header of ours."""
    async with RegistrySimulator() as registry:
        digest = registry.manifest(b"{}", get=TypedAs(content_types))
        client = await connect(registry)
        async with client.fetch(Kind.MANIFEST, APP, Digest.parse(digest)) as answer:
            assert answer.content_type == seen


@pytest.mark.parametrize(
    "headers",
    [
        (("Content-Type", "text/html; charset=utf-8"),),
        (("Content-Encoding", "gzip"),),
        (("Content-Encoding", "br"),),
        (("Content-Encoding", "aws-chunked"),),
        (("Content-Encoding", "aws-chunked, gzip"), ("Content-Type", "text/plain")),
        (("Content-Encoding", "identity"), ("Content-Encoding", "zstd")),
    ],
)
async def test_a_body_comes_as_it_is_whatever_headers_say_of_it(
    connect: Connect, headers: tuple[tuple[str, str], ...]
) -> None:
    """Its digest tells whether it is right. Headers alone are believed only if they are plain."""
    async with RegistrySimulator() as registry:
        digest = registry.blob(CONTENT, get=Answers(200, headers, CONTENT))
        client = await connect(registry)
        assert await read(client, digest) == CONTENT
        async with client.fetch(Kind.BLOB, APP, Digest.parse(digest)) as answer:
            with pytest.raises(UnexpectedAnswerError):
                answer.require_claim()
        with pytest.raises(UnexpectedAnswerError):
            async with client.fetch(Kind.BLOB, APP, Digest.parse(digest), method="HEAD"):
                pass


@pytest.mark.parametrize("coding", ["chunked", "Chunked", "identity"])
async def test_a_transfer_coding_that_changes_nothing_is_plain(
    connect: Connect, coding: str
) -> None:
    """`identity` was one once."""
    body = b"c\r\na small blob\r\n0\r\n\r\n" if coding != "identity" else b"a small blob"
    head = f"HTTP/1.1 200 OK\r\nTransfer-Encoding: {coding}\r\nConnection: close\r\n\r\n"
    async with RegistrySimulator() as registry:
        digest = registry.blob(CONTENT, get=RawBytes(head.encode() + body))
        client = await connect(registry)
        assert await read(client, digest) == b"a small blob"
        async with client.fetch(Kind.BLOB, APP, Digest.parse(digest)) as answer:
            answer.require_claim()


@pytest.mark.parametrize("late", [b"5\r\nhello+\r\n0\r\n\r\n", b"5\r\nhello\r\nzz\r\n"])
async def test_a_chunk_that_cannot_be_read_is_not_waited_for_for_ever(
    connect: Connect, late: bytes
) -> None:
    """Aiohttp closes the connection then, and tells nobody who reads the body."""
    async with RegistrySimulator() as registry:
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        digest = registry.blob(CONTENT, get=RawBytes(head, late=late))
        client = await connect(registry, timeouts=Timeouts(stall_seconds=0.3))
        with pytest.raises((BrokenBodyError, UpstreamTimeoutError)):
            await read(client, digest)


@pytest.mark.parametrize(
    "status, error",
    [(404, NotInRegistryError), (500, ServerError), (503, ServerError), (599, ServerError)],
)
async def test_a_status_is_an_error_of_its_kind(
    connect: Connect, status: int, error: type[UpstreamError]
) -> None:
    """Upstream's trouble never becomes a 404."""
    async with RegistrySimulator() as registry:
        digest = registry.blob(CONTENT, get=Answers(status))
        client = await connect(registry)
        with pytest.raises(error) as refusal:
            await read(client, digest)
        assert UPSTREAM_TEXT not in everything_said(refusal.value)


async def test_a_rate_limit_says_for_how_long(connect: Connect) -> None:
    """Bounded to a minute."""
    async with RegistrySimulator() as registry:
        long = registry.blob(b"a", get=Answers(429, (("Retry-After", "86400"),)))
        none = registry.blob(b"b", get=Answers(429))
        busy = registry.blob(b"c", get=Answers(503, (("Retry-After", "7"),)))
        client = await connect(registry)
        with pytest.raises(RateLimitedError) as limited:
            await read(client, long)
        assert limited.value.retry_after == 60
        with pytest.raises(RateLimitedError) as limited:
            await read(client, none)
        assert limited.value.retry_after is None
        with pytest.raises(ServerError) as failed:
            await read(client, busy)
        assert failed.value.retry_after == 7


async def test_a_broken_body_resumes_from_the_byte_reached(connect: Connect) -> None:
    """206 from there to the end of the same total."""
    async with RegistrySimulator() as registry:
        digest = registry.blob(CONTENT, get=BreaksAt(100_000))
        client = await connect(registry)
        got = bytearray()
        with pytest.raises(BrokenBodyError):
            await read_into(got, client, digest)
        assert 0 < len(got) <= 100_000
        async with client.fetch(
            Kind.BLOB, APP, Digest.parse(digest), AskedRange(len(got))
        ) as answer:
            assert answer.status == 206
            assert answer.content_range is not None
            assert (answer.content_range.first, answer.content_range.total) == (
                len(got),
                len(CONTENT),
            )
            assert answer.content_length == len(CONTENT) - len(got)
            got += b"".join([chunk async for chunk in answer.chunks()])
        assert got == CONTENT
        assert registry.requests[1].header("Range") == f"bytes={answer.content_range.first}-"


async def test_a_registry_that_ignores_ranges_gives_the_whole(connect: Connect) -> None:
    """200: the caller compares it with what is there."""
    async with RegistrySimulator() as registry:
        digest = registry.blob(CONTENT, get=BreaksAt(0, ranges="ignored"))
        client = await connect(registry)
        async with client.fetch(Kind.BLOB, APP, Digest.parse(digest), AskedRange(7)) as answer:
            assert answer.status == 200
            assert answer.content_length == len(CONTENT)


SPAN = "HTTP/1.1 206 Partial Content\r\nContent-Length: {}\r\nContent-Range: {}\r\n\r\nabcdef"


@pytest.mark.parametrize(
    "length, content_range",
    [
        (6, "bytes 3-8/10"),
        (5, "bytes 5-9/10"),
        (6, "bytes 4-8/10"),
        (6, "bytes 4-9/9"),
        (6, "bytes 9-4/*"),
        (6, "bytes 9-4/10"),
        (6, "bytes */10"),
        (6, "items 4-9/10"),
        (6, ""),
        (5, "bytes 4-9/10"),
        (6, "bytes 4-9/10, bytes 0-1/10"),
        (6, "bytes 4-" + "9" * 30 + "/" + "9" * 31),
    ],
)
async def test_a_range_that_was_not_asked_for_is_refused(
    connect: Connect, length: int, content_range: str
) -> None:
    """Bytes put where they do not belong would only be found at the end."""
    async with RegistrySimulator() as registry:
        digest = registry.blob(
            b"0123456789", get=RawBytes(SPAN.format(length, content_range).encode())
        )
        client = await connect(registry)
        with pytest.raises(UnexpectedAnswerError):
            await read(client, digest, first_byte=4)


@pytest.mark.parametrize(
    "content_range, last_byte, span",
    [
        ("bytes 4-9/10", None, (4, 9, 10)),
        ("bytes 4-9/*", None, (4, 9, None)),
        ("BYTES 4-9/10 ", 9, (4, 9, 10)),
        ("bytes 4-9/100", 99, (4, 9, 100)),
        ("bytes 4-9/*", 99, (4, 9, None)),
    ],
)
async def test_a_range_may_be_shorter_than_asked_and_of_unknown_total(
    connect: Connect,
    content_range: str,
    last_byte: int | None,
    span: tuple[int, int, int | None],
) -> None:
    """RFC 9110 section 14.4."""
    async with RegistrySimulator() as registry:
        digest = registry.blob(CONTENT, get=RawBytes(SPAN.format(6, content_range).encode()))
        client, parsed = await connect(registry), Digest.parse(digest)
        async with client.fetch(Kind.BLOB, APP, parsed, AskedRange(4, last_byte)) as answer:
            assert answer.content_range == ContentRange(*span)
            assert b"".join([chunk async for chunk in answer.chunks()]) == b"abcdef"


@pytest.mark.parametrize(
    "get, total",
    [
        (Ranged(refuses="all"), len(CONTENT)),
        (Ranged(refuses="all", refusal_names_total=False), None),
        (Ranged(described="nothing"), None),
        (Ranged(described="multipart"), None),
        (Ranged(ignores_ends=True), None),  # whoever asked for a part has no place for more
    ],
)
async def test_a_range_that_cannot_be_used_is_an_error_of_its_own(
    connect: Connect, get: Behaviour, total: int | None
) -> None:
    """Only the range is in the way: the whole may be had."""
    async with RegistrySimulator() as registry:
        digest = Digest.parse(registry.blob(CONTENT, get=get))
        client = await connect(registry)
        with pytest.raises(RangeRefusedError) as refusal:
            async with client.fetch(Kind.BLOB, APP, digest, AskedRange(4, 9)):
                pass
        assert refusal.value.total == total
        assert len(await read(client, str(digest))) == len(CONTENT)


async def test_a_refusal_says_whose_it_is(connect: Connect) -> None:
    """A store's is about the link that the registry gave; another link may do."""
    async with StoreSimulator() as store, RegistrySimulator() as registry:
        link = store.put(CONTENT, get=Answers(403))
        client = await connect(registry)
        for get, at_store in ((RedirectsTo(link), True), (Answers(403), False)):
            digest = registry.blob(CONTENT, get=get)
            with pytest.raises(UpstreamError) as refusal:
                await read(client, digest)
            assert refusal.value.at_store is at_store


@pytest.mark.parametrize("status", [403, 404, 405])
async def test_the_size_of_a_blob_without_a_head_comes_from_its_first_byte(
    connect: Connect, status: int
) -> None:
    """Stores behind redirects and Harbor's proxy projects refuse the HEAD of what they have."""
    async with RegistrySimulator() as registry:
        digest = registry.blob(CONTENT, get=Honest(), head=Answers(status))
        client = await connect(registry)
        async with client.fetch(Kind.BLOB, APP, Digest.parse(digest), method="HEAD") as answer:
            assert (answer.status, answer.content_length) == (200, len(CONTENT))
            assert [chunk async for chunk in answer.chunks()] == []
        assert registry.requests[-1].header("Range") == "bytes=0-0"
        assert registry.requests[-1].method == "GET"


async def test_an_empty_blob_without_a_head_has_no_bytes(connect: Connect) -> None:
    """It has no first byte: 416 names its size."""
    async with RegistrySimulator() as registry:
        digest = registry.blob(b"", get=Honest(), head=Answers(405))
        client = await connect(registry)
        async with client.fetch(Kind.BLOB, APP, Digest.parse(digest), method="HEAD") as answer:
            assert answer.content_length == 0


async def test_a_blob_that_is_not_there_is_not_found_by_head(connect: Connect) -> None:
    """A second look does not invent it."""
    async with RegistrySimulator() as registry:
        client = await connect(registry)
        for kind in Kind:
            with pytest.raises(NotInRegistryError):
                async with client.fetch(
                    kind, APP, Digest.parse("sha256:" + "0" * 64), method="HEAD"
                ):
                    pass


async def test_no_first_byte_in_time_is_a_timeout(connect: Connect) -> None:
    """And what stalls in the middle, too; slow is not stalled."""
    async with RegistrySimulator() as registry:
        silent = registry.blob(b"a" * 10, get=Stalls(None))
        stalled = registry.blob(CONTENT, get=Stalls(1000))
        slow = registry.blob(b"b" * 100, get=Slow(piece_bytes=10, pause_seconds=0.2))
        client = await connect(registry, timeouts=QUICK)
        with pytest.raises(UpstreamTimeoutError):
            await read(client, silent)
        with pytest.raises(UpstreamTimeoutError):
            await read(client, stalled)
        assert await read(client, slow) == b"b" * 100


async def test_a_registry_that_is_down_is_no_timeout(connect: Connect) -> None:
    """Nothing listens."""
    async with RegistrySimulator() as registry:
        client = await connect(registry)
    with pytest.raises(ConnectError):
        await read(client, "sha256:" + "0" * 64)


async def test_a_closed_client_breaks_what_is_being_read(connect: Connect) -> None:
    """A revoked connection ends its running pulls."""
    async with RegistrySimulator() as registry:
        digest = registry.blob(CONTENT, get=Stalls(1000))
        client = await connect(registry)
        async with client.fetch(Kind.BLOB, APP, Digest.parse(digest)) as answer:
            chunks = answer.chunks()
            assert len(await anext(chunks)) == 1000
            await client.close()
            with pytest.raises(BrokenBodyError):
                await anext(chunks)
