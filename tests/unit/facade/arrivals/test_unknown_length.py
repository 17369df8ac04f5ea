"""Blobs whose answer does not say how long they are: right or not at all, as any other."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facade.arrivals.unknown_length import blob_length
from facade.arrivals.verified_pieces import MAX_UNKNOWN_LENGTH_BYTES, PieceVerifier
from facade.registries.wrong_bytes_backoff import WrongBytesLatelyError
from facade.values.piece import PIECE_BYTES, MistoldLengthError, WrongBytesError
from shared.oci import Digest
from shared.upstream.errors import UnexpectedAnswerError, UpstreamError
from shared.upstream.transport import Timeouts
from tests.support.simulators.behaviour import (
    Answers,
    Behaviour,
    Encoded,
    Honest,
    InTurn,
    NoLength,
    OtherBytes,
    Ranged,
    RawBytes,
    Stalls,
    WebPage,
)
from tests.support.simulators.registry import RegistrySimulator
from tests.unit.facade.conftest import Connect
from tests.unit.facade.content.downloads import LARGE, REPOSITORY, SMALL, received, refused

UNTOLD = Ranged(names_length=False, names_total=False)
TOLD_BY_RANGE = Ranged(names_length=False)
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n"


def says(length: int) -> Behaviour:
    """Answer a HEAD with a length."""
    return Answers(200, body=b"x" * length)


def says_only(length: int) -> Behaviour:
    """Answer a HEAD with a length of any size."""
    return RawBytes(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % length)


def lies_by_range(lie: int, *, whole: bytes = LARGE) -> Behaviour:
    """Answer with right bytes of no length, and a range with a wrong total."""
    total = len(whole) + lie
    told = b"HTTP/1.1 206 Partial Content\r\nContent-Length: 1\r\nConnection: close\r\n"
    told += b"Content-Range: bytes 0-0/%d\r\n\r\n" % total
    return InTurn((NoLength(head_length=False), RawBytes(told + whole[:1])) * 8)


def refuses_first_byte(total: int) -> Behaviour:
    """Answer that there is no first byte, and how many there are."""
    return Answers(416, (("Content-Range", f"bytes */{total}"),), b"")


MISTOLD = [
    *(0, 1, PIECE_BYTES, PIECE_BYTES + 1, len(LARGE) - PIECE_BYTES, len(LARGE) - 1),
    *(len(LARGE) + 1, len(LARGE) + PIECE_BYTES, 2**40, 10**18 - 1, 10**18, 2**64),
]

SIZES = [0, 1, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 2 * PIECE_BYTES, len(LARGE)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("framing", ["chunked", "close"])
async def test_right_bytes_arrive_though_nobody_tells_how_many(
    size: int, framing: str, connect: Connect
) -> None:
    """What fits a piece is proven by its digest, and its length with it."""
    get = NoLength(framing, head_length=False)  # type: ignore[arg-type] # parametrized Literal
    async with RegistrySimulator() as registry:
        got = await received(await connect(registry), registry.blob(LARGE[:size], get=get))
    assert got.body == LARGE[:size]
    assert got.announced == (size if size <= PIECE_BYTES else None)


async def test_a_short_blob_costs_one_request(connect: Connect) -> None:
    """Its end proves its length, so nobody is asked for that."""
    async with RegistrySimulator() as registry:
        await received(await connect(registry), registry.blob(SMALL, get=NoLength()))
    assert [(each.method, each.header("Range")) for each in registry.requests] == [("GET", None)]


@pytest.mark.parametrize(
    "get, head, length",
    [
        (TOLD_BY_RANGE, None, len(LARGE)),
        (TOLD_BY_RANGE, Answers(405), len(LARGE)),
        (TOLD_BY_RANGE, says(0), len(LARGE)),
        (TOLD_BY_RANGE, says(len(LARGE) + 1), len(LARGE)),
        (TOLD_BY_RANGE, says(4711), len(LARGE)),
        (Ranged(names_length=False, framing="close"), None, len(LARGE)),
        (Ranged(names_length=False, refuses="all"), None, None),  # `bytes */total` contradicts
        (UNTOLD, Honest(), None),
        (UNTOLD, None, None),
        (UNTOLD, Answers(405), None),
        (UNTOLD, Answers(500), None),
        (UNTOLD, WebPage(), None),
        (UNTOLD, says(0), None),
        (UNTOLD, says(4711), None),
        (UNTOLD, says(len(LARGE) - 1), None),
        (UNTOLD, says(len(LARGE) + 1), None),
        (NoLength(), None, None),
        (NoLength("close"), None, None),
        *((NoLength(), says_only(length), None) for length in MISTOLD),
        *((NoLength("close"), says_only(length), None) for length in MISTOLD),
        (Ranged(names_length=False, refuses="all", refusal_names_total=False), says(1), None),
        (NoLength(head_length=False), Answers(401), None),
        (Ranged(names_length=False, described="nothing"), None, None),
        (Ranged(names_length=False, described="multipart"), Honest(), None),
        (Ranged(names_length=False, described="nothing"), says_only(2**40), None),
        (Ranged(names_length=False, refuses="all", refusal_names_total=False), None, None),
    ],
)
async def test_a_length_is_announced_where_it_may_be_true(
    get: Behaviour, head: Behaviour | None, length: int | None, connect: Connect
) -> None:
    """The way that the bytes come is asked, never HEAD: who was told wrong would be cut off."""
    async with RegistrySimulator() as registry:
        got = await received(await connect(registry), registry.blob(LARGE, get=get, head=head))
    assert (got.body, got.announced) == (LARGE, length)


async def test_a_head_is_told_no_length_that_the_first_bytes_rule_out(connect: Connect) -> None:
    """More has come than the registry's own HEAD says that there is."""
    async with RegistrySimulator() as registry:
        digest = Digest.parse(registry.blob(LARGE, get=NoLength(), head=says(5)))
        with pytest.raises(UnexpectedAnswerError):
            await blob_length(await connect(registry), REPOSITORY, digest)


@pytest.mark.parametrize("length", MISTOLD)
async def test_a_length_that_the_bytes_have_ruled_out_is_told_to_nobody(
    length: int, connect: Connect
) -> None:
    """A HEAD that lies in a way that cannot be seen lies no more once the blob has come."""
    async with RegistrySimulator() as registry:
        upstream = await connect(registry)
        digest = registry.blob(LARGE, get=NoLength(), head=says_only(length))
        for _ in range(2):
            got = await received(upstream, digest)
            assert (got.body, got.announced) == (LARGE, None)
            assert await blob_length(upstream, REPOSITORY, Digest.parse(digest)) == len(LARGE)


@pytest.mark.parametrize("lie", [-PIECE_BYTES, -1, 1, 2**40])
async def test_a_length_that_a_range_mistold_is_not_believed_twice(
    lie: int, connect: Connect
) -> None:
    """Who was told it is cut; whoever comes then is told none, and gets the blob at once."""
    async with RegistrySimulator() as registry:
        upstream = await connect(registry)
        digest = registry.blob(LARGE, get=lies_by_range(lie), head=Answers(405))
        got = await refused(upstream, digest, MistoldLengthError)
        assert got.announced == len(LARGE) + lie
        assert len(got.body) <= len(LARGE) - PIECE_BYTES
        registry.blob(LARGE, get=NoLength(), head=says_only(len(LARGE) + lie))
        for _ in range(2):  # right bytes since then do not make the length right
            again = await received(upstream, digest)
            assert (again.body, again.announced) == (LARGE, None)


async def test_a_resumed_answer_may_disprove_a_length_that_was_told(connect: Connect) -> None:
    """The bytes go on being right: the next device is told no length."""
    async with RegistrySimulator() as registry:
        upstream = await connect(registry)
        told = b"HTTP/1.1 206 Partial Content\r\nContent-Length: 1\r\nConnection: close\r\n"
        told += b"Content-Range: bytes 0-0/%d\r\n\r\n" % (len(LARGE) + 1)
        breaks = Ranged(3 * PIECE_BYTES, names_length=False)
        get = InTurn((breaks, RawBytes(told + LARGE[:1]), breaks))
        digest = registry.blob(LARGE, get=get, head=Answers(405))
        await refused(upstream, digest, MistoldLengthError)
        again = await received(upstream, digest)
        assert (again.body, again.announced) == (LARGE, None)


async def test_a_liar_of_lengths_and_bytes_is_left_alone(connect: Connect) -> None:
    """A wrong length is forgiven once; wrong bytes are wrong."""
    async with RegistrySimulator() as registry:
        upstream = await connect(registry)
        wrong = LARGE + b"+"
        body = RawBytes(CHUNKED % (len(wrong), wrong))
        told = b"HTTP/1.1 206 Partial Content\r\nContent-Length: 1\r\nConnection: close\r\n"
        told += b"Content-Range: bytes 0-0/%d\r\n\r\n" % len(LARGE)
        get = InTurn((body, RawBytes(told + LARGE[:1]), body))
        digest = registry.blob(LARGE, get=get, head=Answers(405))
        await refused(upstream, digest, MistoldLengthError)
        got = await refused(upstream, digest, WrongBytesError)
        assert got.announced is None
        await refused(upstream, digest, WrongBytesLatelyError)


@pytest.mark.parametrize(
    "get",
    [
        NoLength(head_length=False, missing=1),
        NoLength("close", head_length=False, missing=1),
        NoLength("close", head_length=False, missing=len(LARGE)),
        RawBytes(CHUNKED % (len(LARGE), LARGE[:-1] + b"+")),
        RawBytes(CHUNKED % (len(LARGE) + 1, LARGE + b"+")),
        RawBytes(CHUNKED % (len(LARGE) - 1, LARGE)),  # no end of the chunk
    ],
)
async def test_wrong_bytes_of_unknown_length_never_end(get: Behaviour, connect: Connect) -> None:
    """The last piece of what has come is kept back until the digest names it all."""
    async with RegistrySimulator() as registry:
        digest = registry.blob(LARGE, get=get, head=Answers(405))
        upstream = await connect(registry, timeouts=Timeouts(stall_seconds=0.2))
        got = await refused(upstream, digest, (WrongBytesError, UpstreamError))
    assert got.announced is None
    assert len(got.body) <= len(LARGE) + 1 - PIECE_BYTES


async def test_a_registry_that_hangs_at_the_question_for_the_length_gives_the_blob(
    connect: Connect,
) -> None:
    """The bytes are on their way; nobody waits for a header."""
    async with RegistrySimulator() as registry:
        digest = registry.blob(LARGE, get=NoLength(), head=Stalls())
        # As long as that: on a busy machine the blob's answer, too, takes a while.
        quick = Timeouts(connect_seconds=1, first_byte_seconds=1)
        got = await received(await connect(registry, timeouts=quick), digest)
    assert (got.body, got.announced) == (LARGE, None)


@pytest.mark.parametrize("head", [Honest(), Answers(404), Answers(405), Answers(403), says(0)])
@pytest.mark.parametrize("content", [LARGE, SMALL, b""])
async def test_the_length_is_the_registry_s(
    content: bytes, head: Behaviour, connect: Connect
) -> None:
    """It is what a GET would be answered with, whatever HEAD says."""
    async with RegistrySimulator() as registry:
        digest = registry.blob(content, head=head)
        length = await blob_length(await connect(registry), REPOSITORY, Digest.parse(digest))
    assert length == len(content)


@pytest.mark.parametrize(
    "content, get, head, length",
    [
        (SMALL, NoLength(head_length=False), None, len(SMALL)),  # proven
        (SMALL, NoLength(), says(4711), len(SMALL)),
        (SMALL, Encoded(), None, None),
        (SMALL, WebPage(), None, None),
        (SMALL, OtherBytes(), None, None),
        (b"", NoLength(head_length=False), says(1), 0),
        (LARGE, NoLength(), None, len(LARGE)),
        (LARGE, NoLength(head_length=False), None, None),
        (LARGE, NoLength(), says(0), None),
        (LARGE, UNTOLD, Honest(), len(LARGE)),
        (LARGE, WebPage(LARGE), None, None),
        (LARGE, Answers(200, (("Content-Encoding", "gzip"),), LARGE), None, None),
        (LARGE, Answers(206), None, None),
        (LARGE, refuses_first_byte(PIECE_BYTES), Answers(405), None),
        (LARGE, refuses_first_byte(len(LARGE)), Answers(405), None),
        (LARGE, refuses_first_byte(PIECE_BYTES), says(len(LARGE)), len(LARGE)),
        (LARGE, refuses_first_byte(0), Answers(405), None),
        (b"", refuses_first_byte(0), Answers(405), 0),
        (b"", refuses_first_byte(1), Answers(405), None),
    ],
)
async def test_a_length_that_nobody_names_is_an_error(
    content: bytes, get: Behaviour, head: Behaviour | None, length: int | None, connect: Connect
) -> None:
    """A HEAD carries no proof: it is not answered with a guess, nor with what cannot be."""
    async with RegistrySimulator() as registry:
        digest, upstream = registry.blob(content, get=get, head=head), await connect(registry)
        if length is not None:
            assert await blob_length(upstream, REPOSITORY, Digest.parse(digest)) == length
            return
        with pytest.raises((UnexpectedAnswerError, WrongBytesError)):
            await blob_length(upstream, REPOSITORY, Digest.parse(digest))


@given(chunks=st.lists(st.binary(max_size=PIECE_BYTES // 2), max_size=8))
def test_of_what_has_no_length_all_but_the_last_piece_goes_on(chunks: list[bytes]) -> None:
    """And the rest where the digest names everything."""
    content = b"".join(chunks)
    verifier, sent = PieceVerifier(Digest.of(content), None), b""
    for chunk in chunks:
        sent += b"".join(verifier.take(chunk))
        assert len(sent) <= max(0, verifier.taken - PIECE_BYTES)
    assert sent + verifier.finish() == content
    verifier.take(b"+")
    with pytest.raises(WrongBytesError):
        verifier.finish()


def test_a_blob_that_does_not_end_is_ended() -> None:
    """A registry may send for ever; nobody has a layer of a TiB."""
    verifier = PieceVerifier(Digest.of(LARGE), None)
    verifier.taken = MAX_UNKNOWN_LENGTH_BYTES - 1
    verifier.take(b"1")
    with pytest.raises(WrongBytesError):
        verifier.take(b"2")
