"""A blob over as many upstream answers as it takes, right or not at all."""

import asyncio
import time
from collections.abc import Callable

import pytest
from typing_extensions import override

from facade.arrivals.breaks import MAX_RESUMES_WITHOUT_PROGRESS
from facade.arrivals.download import continue_download, open_download
from facade.arrivals.verified_pieces import PieceVerifier
from facade.registries.circuit_breaker import FAILURES_TO_OPEN, CircuitBreaker, Question
from facade.values.piece import PIECE_BYTES, WrongBytesError
from shared.oci import Digest, Kind
from shared.upstream.errors import (
    BrokenBodyError,
    ConnectError,
    NotInRegistryError,
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
    BreaksEvery,
    Encoded,
    FewerBytes,
    Honest,
    MoreBytes,
    NoLength,
    OtherBytes,
    Ranged,
    RawBytes,
    Slow,
    Stalls,
    WebPage,
)
from tests.support.simulators.registry import RegistrySimulator
from tests.support.simulators.wire import RecordedRequest, Wire
from tests.unit.facade.conftest import Connect
from tests.unit.facade.content.downloads import (
    LARGE,
    REPOSITORY,
    SMALL,
    downloaded,
    received,
    refused,
)
from tests.unit.facade.registries.failures import unreached


@pytest.mark.parametrize("size", [0, 1, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 10**6])
@pytest.mark.parametrize("behaviour", [Honest(), NoLength(), NoLength(framing="close")])
async def test_right_bytes_arrive(size: int, behaviour: Behaviour, connect: Connect) -> None:
    """Of every size, also if the answer does not say how long it is."""
    async with RegistrySimulator() as registry:
        upstream = await connect(registry)
        got = await received(upstream, registry.blob(LARGE[:size], get=behaviour))
        assert got.body == LARGE[:size]


LIES = [
    FewerBytes(),
    FewerBytes(missing=3, then="reset"),
    MoreBytes(counted=True),
    OtherBytes(),
    Encoded(),
    Encoded(header="Transfer-Encoding"),
    Encoded(declared=False),
    WebPage(),
    NoLength(missing=1),
    NoLength(head_length=False, missing=1),
    NoLength(framing="close", head_length=False, missing=1),
    NoLength(framing="close", missing=1),
    NoLength(framing="close", missing=10**9),
    Answers(204),
    Answers(206),
    Answers(206, (("Content-Range", "bytes 0-11/12"),)),
    Answers(203),
    RawBytes(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"),
    RawBytes(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n"),
    RawBytes(b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\nContent-Length: 5\r\n\r\na small blob"),
    RawBytes(b"HTTP/1.1 200 OK\r\nContent-Length: +12\r\n\r\na small blob"),
    RawBytes(b"not HTTP at all\r\n\r\n"),
    RawBytes(b""),
]


@pytest.mark.parametrize("behaviour", LIES)
async def test_of_a_small_blob_nothing_comes_before_all_is_right(
    behaviour: Behaviour, connect: Connect
) -> None:
    """So that the device is answered 502 and never the header of a 200."""
    async with RegistrySimulator() as registry:
        digest = registry.blob(SMALL, get=behaviour)
        received = await refused(await connect(registry), digest, (UpstreamError, WrongBytesError))
    assert received.body == b""


@pytest.mark.parametrize("behaviour", LIES)
async def test_of_a_large_blob_the_last_piece_never_comes(
    behaviour: Behaviour, connect: Connect
) -> None:
    """What a device was sent before is right as far as it goes, and never whole."""
    async with RegistrySimulator() as registry:
        digest = registry.blob(LARGE, get=behaviour)
        received = await refused(await connect(registry), digest, (UpstreamError, WrongBytesError))
    assert len(received.body) <= max(0, (received.announced or len(LARGE)) - PIECE_BYTES)
    assert LARGE.startswith(received.body) or isinstance(behaviour, Encoded)


async def test_a_claimed_digest_changes_nothing(connect: Connect) -> None:
    """Neither right bytes under a wrong header, nor wrong bytes under the right one."""
    async with RegistrySimulator() as registry:
        upstream = await connect(registry)
        other = f"sha256:{'0' * 64}"
        digest = registry.blob(
            SMALL, get=Answers(200, (("Docker-Content-Digest", other),), body=SMALL)
        )
        assert await downloaded(upstream, digest) == SMALL
        await refused(upstream, registry.blob(SMALL, digest=other), WrongBytesError)


BREAKS = [
    0,
    1,
    PIECE_BYTES - 1,
    PIECE_BYTES,
    PIECE_BYTES + 1,
    2 * PIECE_BYTES + 100,
    len(LARGE) - PIECE_BYTES,
    len(LARGE) - 1,
]


@pytest.mark.parametrize("byte", BREAKS)
async def test_a_break_is_resumed_from_the_byte_reached(byte: int, connect: Connect) -> None:
    """And the range asked for begins with the first byte that is missing."""
    async with RegistrySimulator() as registry:
        digest = registry.blob(LARGE, get=BreaksAt(byte))
        assert await downloaded(await connect(registry), digest) == LARGE
    ranges = [request.header("Range") for request in registry.requests]
    assert ranges == [None, f"bytes={byte}-{len(LARGE) - 1}" if byte else None]


@pytest.mark.parametrize("byte", BREAKS)
async def test_a_registry_that_ignores_ranges_is_read_again(byte: int, connect: Connect) -> None:
    """Compared with what was taken, and gone on with where it ended."""
    async with RegistrySimulator() as registry:
        digest = registry.blob(LARGE, get=BreaksAt(byte, times=3, ranges="ignored"))
        assert await downloaded(await connect(registry), digest) == LARGE
    assert len(registry.requests) == 4


@pytest.mark.parametrize("byte", BREAKS[1:])
async def test_a_range_that_goes_too_far_is_not_used_and_all_is_read_again(
    byte: int, connect: Connect
) -> None:
    """Behind the blob's end, too: the digest decides what the whole is worth."""
    async with RegistrySimulator() as registry:
        digest = registry.blob(LARGE, get=BreaksAt(byte, ranges="other_total"))
        assert await downloaded(await connect(registry), digest) == LARGE
    assert len(registry.requests) == 3


@pytest.mark.parametrize("byte", BREAKS[1:])
@pytest.mark.parametrize(
    "behaviour, error",
    [
        (lambda byte: BreaksAt(byte, ranges="other_beginning"), WrongBytesError),
        (lambda byte: BreaksAt(byte, ranges="other_length"), UnexpectedAnswerError),
        (lambda byte: BreaksAt(byte, ranges="wrong"), UnexpectedAnswerError),
        (lambda byte: Ranged(breaks_at=byte, total_off=-1), UnexpectedAnswerError),
        (lambda byte: Ranged(breaks_at=byte, total_off=1), UnexpectedAnswerError),
    ],
    ids=["other beginning", "other length", "other place", "lower total", "higher total"],
)
async def test_another_blob_the_second_time_is_the_end(
    byte: int,
    behaviour: Callable[[int], Behaviour],
    error: type[Exception],
    connect: Connect,
) -> None:
    """Another beginning, another length or another place: nothing of it is put behind the first."""
    async with RegistrySimulator() as registry:
        digest = registry.blob(LARGE, get=behaviour(byte))
        received = await refused(await connect(registry), digest, error)
    assert len(received.body) <= max(0, byte - PIECE_BYTES)
    assert LARGE.startswith(received.body)
    assert len(registry.requests) == 2


async def test_a_registry_that_breaks_again_and_again_is_followed(connect: Connect) -> None:
    """As long as each answer brings something."""
    breaks = 4 * MAX_RESUMES_WITHOUT_PROGRESS
    async with RegistrySimulator() as registry:
        digest = registry.blob(LARGE, get=BreaksEvery(len(LARGE) // breaks))
        assert await downloaded(await connect(registry), digest) == LARGE
    assert len(registry.requests) >= breaks


@pytest.mark.parametrize("ranges", ["honoured", "ignored"])
@pytest.mark.parametrize("byte", [0, 1000, 2 * PIECE_BYTES])
async def test_five_tries_without_a_byte_more_are_the_end(
    byte: int, ranges: str, connect: Connect
) -> None:
    """A registry that goes on breaking at one place has nothing more to give."""
    async with RegistrySimulator() as registry:
        digest = registry.blob(LARGE, get=BreaksAt(byte, times=100, ranges=ranges))  # type: ignore[arg-type] # parametrized Literal
        await refused(await connect(registry), digest, BrokenBodyError)
    assert len(registry.requests) == 1 + MAX_RESUMES_WITHOUT_PROGRESS


async def test_a_blob_that_is_whole_needs_no_end_of_its_framing(connect: Connect) -> None:
    """All bytes came and are right; only the last chunk's zero is missing."""
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    unfinished = head + b"%x\r\n%b\r\n" % (len(LARGE), LARGE)
    async with RegistrySimulator() as registry:
        digest = registry.blob(LARGE, get=RawBytes(unfinished), head=Honest())
        got = await received(await connect(registry), digest)
        assert got.body == LARGE


async def test_surplus_bytes_are_not_the_next_answer(connect: Connect) -> None:
    """What a registry sends behind a body would otherwise be read as the next one's header."""
    surplus = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
    async with RegistrySimulator() as registry:
        upstream = await connect(registry)
        digest = registry.blob(SMALL, get=MoreBytes(surplus))
        late = registry.blob(LARGE, get=MoreBytes(surplus, pause_seconds=0.05))
        for _ in range(3):
            assert await downloaded(upstream, digest) == SMALL
            assert await downloaded(upstream, late) == LARGE
            await eventually(lambda: registry.answered == len(registry.requests))
            await some_turns()  # the loop that wrote the surplus is the one that reads it
        assert len(registry.requests) == 6


class ForgetfulRegistry(RegistrySimulator):
    """Breaks its first answer at byte 1000, gives the next ones as told, then is honest."""

    def __init__(self, later: Behaviour, times: int = 100) -> None:
        super().__init__()
        self.digest = self.blob(LARGE, get=BreaksAt(1000))
        self._later = [later] * times

    @override
    async def respond(self, request: RecordedRequest, wire: Wire) -> None:
        """Change behind the first answer."""
        if len(self.requests) > 1:
            self.blob(LARGE, get=self._later.pop() if self._later else Honest())
        await super().respond(request, wire)


@pytest.mark.parametrize(
    "later, error",
    [
        (Answers(404), NotInRegistryError),
        (Answers(416), UnexpectedAnswerError),
        (Answers(204), UnexpectedAnswerError),
        (Encoded(), UnexpectedAnswerError),
        (WebPage(), UnexpectedAnswerError),
        (FewerBytes(missing=len(LARGE) - 999), BrokenBodyError),
        (OtherBytes(), WrongBytesError),
    ],
)
async def test_what_cannot_be_resumed_ends(
    later: Behaviour, error: type[Exception], connect: Connect
) -> None:
    """An answer is an answer; only a break is tried again."""
    async with ForgetfulRegistry(later) as registry:
        received = await refused(await connect(registry), registry.digest, error)
    assert len(received.body) <= len(LARGE) - PIECE_BYTES


@pytest.mark.parametrize(
    "later, times",
    [(Answers(503), 3), (Answers(503, (("Retry-After", "1"),)), 1), (Answers(429), 3)],
)
async def test_a_registry_that_asks_for_patience_is_waited_for(
    later: Behaviour, times: int, connect: Connect
) -> None:
    """A restart or a rate limit in the middle is a break like another, while tries are left."""
    async with ForgetfulRegistry(later, times=times) as registry:
        assert await downloaded(await connect(registry), registry.digest) == LARGE
    assert len(registry.requests) == times + 2


async def test_an_open_circuit_is_waited_for(connect: Connect) -> None:
    """Other pulls' failures must not end a download that has come far."""
    breaker = CircuitBreaker(time.monotonic)
    async with RegistrySimulator() as registry:
        digest = registry.blob(LARGE, get=BreaksAt(1000))
        upstream = await connect(registry, breaker=breaker)
        download = asyncio.create_task(downloaded(upstream, digest, delay=0.1))
        await eventually(lambda: bool(registry.requests))
        question = Question(Kind.BLOB, REPOSITORY, Digest.parse(digest))
        for _ in range(FAILURES_TO_OPEN):
            with (
                pytest.raises(ConnectError),
                breaker.attempt(question),
            ):
                raise unreached()
        assert await download == LARGE


async def test_a_stall_is_a_break(connect: Connect) -> None:
    """A registry that says nothing more is asked for the rest on another connection."""
    async with ForgetfulRegistry(Honest()) as registry:
        registry.blob(LARGE, get=Stalls(after=2 * PIECE_BYTES))
        upstream = await connect(registry, timeouts=Timeouts(stall_seconds=1))
        assert await downloaded(upstream, registry.digest) == LARGE
        assert registry.requests[1].header("Range") == f"bytes={2 * PIECE_BYTES}-{len(LARGE) - 1}"


async def test_a_registry_that_never_begins_is_too_slow(connect: Connect) -> None:
    """Before the first byte nothing is tried again: that is the device's to decide."""
    async with RegistrySimulator() as registry:
        digest = registry.blob(LARGE, get=Stalls())
        tries, seconds = 0, 0.5
        while not registry.requests:  # a busy machine may take longer than that to ask
            quick = Timeouts(connect_seconds=seconds, first_byte_seconds=0.1)
            upstream = await connect(registry, timeouts=quick)
            received = await refused(upstream, digest, UpstreamTimeoutError)
            assert received.announced is None
            tries, seconds = tries + 1, 2 * seconds
        assert len(registry.requests) <= tries


async def test_slow_bytes_are_taken_as_they_come(connect: Connect) -> None:
    """There is no bound on a whole body."""
    slow = Slow(piece_bytes=PIECE_BYTES // 2, pause_seconds=0.25)
    timeouts = Timeouts(first_byte_seconds=2, stall_seconds=2)
    async with RegistrySimulator() as registry:
        digest = registry.blob(LARGE, get=slow)
        assert await downloaded(await connect(registry, timeouts=timeouts), digest) == LARGE
    assert len(registry.requests) == 1


async def test_leaving_in_the_middle_leaves_nothing_open(connect: Connect) -> None:
    """A device that hangs up must not keep a registry's answer running."""
    async with RegistrySimulator() as registry:
        digest = registry.blob(LARGE, get=Stalls(after=3 * PIECE_BYTES))
        upstream = await connect(registry)
        async with open_download(upstream, REPOSITORY, Digest.parse(digest)) as download:
            await anext(download.verified_pieces())
            assert registry.open_connections == 1
        await eventually(lambda: registry.open_connections == 0)


@pytest.mark.parametrize("left", [1, PIECE_BYTES, len(LARGE) - 1, len(LARGE)])
async def test_what_is_there_already_is_not_asked_for_again(connect: Connect, left: int) -> None:
    """Not even where it is all there: then the right alone is asked for."""
    async with RegistrySimulator() as registry:
        digest = Digest.parse(registry.blob(LARGE))
        verifier = PieceVerifier(digest, len(LARGE))
        upstream = await connect(registry)
        async with continue_download(upstream, REPOSITORY, verifier, left) as download:
            verifier.take_verbatim(LARGE[:left])
            rest = b"".join([piece async for piece in download.verified_pieces()])
        assert rest == LARGE[left:]
        last = len(LARGE) - 1
        method, asked = ("HEAD", None) if left == len(LARGE) else ("GET", f"bytes={left}-{last}")
        assert [(each.method, each.header("Range")) for each in registry.requests] == [
            (method, asked)
        ]
