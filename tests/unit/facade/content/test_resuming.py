"""A download that broke goes on with what the registry can do: any ranges, parts, or the whole."""

import pytest

from facade.arrivals.breaks import MAX_RESUMES_WITHOUT_PROGRESS, MIN_PART_BYTES
from facade.arrivals.download import continue_download
from facade.arrivals.verified_pieces import PieceVerifier
from facade.values.piece import PIECE_BYTES, WrongBytesError
from shared.oci import Digest
from shared.upstream.errors import (
    CredentialRefusedError,
    NotInRegistryError,
    UnexpectedAnswerError,
    UpstreamError,
)
from shared.upstream.transport import Timeouts
from tests.support.simulators.behaviour import (
    Answers,
    Behaviour,
    BreaksAt,
    Honest,
    InTurn,
    NoLength,
    Ranged,
    RedirectsTo,
)
from tests.support.simulators.registry import RegistrySimulator, StoreSimulator
from tests.unit.facade.conftest import Connect
from tests.unit.facade.content.downloads import LARGE, REPOSITORY, downloaded, received, refused

MIDDLE = 2 * PIECE_BYTES + 100
LAST = len(LARGE) - 1
BREAKS = [0, 1, PIECE_BYTES, PIECE_BYTES + 1, MIDDLE, len(LARGE) - PIECE_BYTES, LAST]


def ranges_of(registry: RegistrySimulator) -> list[str | None]:
    """Return what was asked of it."""
    return [request.header("Range") for request in registry.requests]


@pytest.mark.parametrize("byte", BREAKS)
@pytest.mark.parametrize("then", ["reset", "close"])
async def test_the_range_that_is_asked_for_says_its_end(
    byte: int, then: str, connect: Connect
) -> None:
    """Some registries answer 416 to an open one."""
    get = Ranged(breaks_at=byte, then=then, refuses="open")  # type: ignore[arg-type] # parametrized Literal
    async with RegistrySimulator() as registry:
        assert await downloaded(await connect(registry), registry.blob(LARGE, get=get)) == LARGE
    assert ranges_of(registry) == [None, f"bytes={byte}-{LAST}" if byte else None]


def refusal_of(total: int) -> Behaviour:
    """Refuse a range, and name a total."""
    return Answers(416, (("Content-Range", f"bytes */{total}"),), b"")


@pytest.mark.parametrize(
    "get",
    [
        Ranged(breaks_at=MIDDLE, refuses="all"),
        Ranged(breaks_at=MIDDLE, refuses="all", refusal_names_total=False),
        Ranged(breaks_at=MIDDLE, described="nothing"),
        Ranged(breaks_at=MIDDLE, described="multipart"),
        InTurn(
            (BreaksAt(MIDDLE), refusal_of(LAST), Honest())
        ),  # contradictory: behind what is asked
        InTurn((BreaksAt(MIDDLE), refusal_of(2**40), Honest())),
    ],
)
async def test_a_registry_that_has_no_usable_ranges_is_asked_for_the_whole(
    get: Behaviour, connect: Connect
) -> None:
    """Its beginning is compared with what is there; and once is enough to know."""
    async with RegistrySimulator() as registry:
        assert await downloaded(await connect(registry), registry.blob(LARGE, get=get)) == LARGE
    assert ranges_of(registry) == [None, f"bytes={MIDDLE}-{LAST}", None]


async def test_the_whole_is_asked_for_again_as_long_as_it_breaks(connect: Connect) -> None:
    """A refused range is not tried again at every break."""
    get = Ranged(breaks_at=MIDDLE, times=3, refuses="all")
    async with RegistrySimulator() as registry:
        assert await downloaded(await connect(registry), registry.blob(LARGE, get=get)) == LARGE
    assert ranges_of(registry) == [None, f"bytes={MIDDLE}-{LAST}", None, None, None]


@pytest.mark.parametrize("total", ["named", "*"])
@pytest.mark.parametrize("at_most", [40_000, MIN_PART_BYTES, PIECE_BYTES + 1, len(LARGE)])
async def test_a_part_of_what_was_asked_for_is_gone_on_from(
    at_most: int, total: str, connect: Connect
) -> None:
    """RFC 9110 section 14.4; a total of `*` is none that could be another."""
    get = Ranged(breaks_at=MIDDLE, then="close", at_most=at_most, names_total=total == "named")
    async with RegistrySimulator() as registry:
        assert await downloaded(await connect(registry), registry.blob(LARGE, get=get)) == LARGE
    starts = range(MIDDLE, len(LARGE), at_most)
    assert ranges_of(registry) == [None, *(f"bytes={start}-{LAST}" for start in starts)]


async def test_parts_break_too(connect: Connect) -> None:
    """Each goes on from the byte reached."""
    get = Ranged(breaks_at=3 * PIECE_BYTES, times=2, at_most=PIECE_BYTES, names_total=False)
    async with RegistrySimulator() as registry:
        assert await downloaded(await connect(registry), registry.blob(LARGE, get=get)) == LARGE


async def test_another_etag_is_nobody_s_matter(connect: Connect) -> None:
    """It may be another node's, or of another part's upload: the digest decides."""
    get = Ranged(breaks_at=MIDDLE, times=3, etags=True)
    async with RegistrySimulator() as registry:
        assert await downloaded(await connect(registry), registry.blob(LARGE, get=get)) == LARGE
    assert not any(request.header("If-Range") for request in registry.requests)


@pytest.mark.parametrize("total", ["named", "*"])
@pytest.mark.parametrize("framing", ["chunked", "close"])
@pytest.mark.parametrize("then", ["reset", "close", "end", "stay"])
@pytest.mark.parametrize("byte", [MIDDLE, LAST])
async def test_a_break_of_a_blob_whose_answer_names_no_length_is_resumed(
    byte: int, then: str, framing: str, total: str, connect: Connect
) -> None:
    """Even an end that looks clean: the digest says that it is none."""
    get = Ranged(
        breaks_at=byte,
        then=then,  # type: ignore[arg-type] # parametrized Literal
        framing=framing,  # type: ignore[arg-type] # parametrized Literal
        names_length=False,
        names_total=total == "named",
    )
    # Only silence has to be short: on a busy machine an answer may take as long.
    timeouts = Timeouts(stall_seconds=1) if then == "stay" else Timeouts()
    async with RegistrySimulator() as registry:
        upstream = await connect(registry, timeouts=timeouts)
        got = await received(upstream, registry.blob(LARGE, get=get))
    assert got.body == LARGE
    assert got.announced == (len(LARGE) if total == "named" else None)
    first, last = (ranges_of(registry)[-1] or "").removeprefix("bytes=").split("-")
    assert last == (str(LAST) if total == "named" else "")
    assert 0 < int(first) <= byte  # a reset may overtake what was not read yet


@pytest.mark.parametrize("byte", [0, 1, 1000, PIECE_BYTES, PIECE_BYTES + 1])
@pytest.mark.parametrize("then", ["reset", "end"])
async def test_a_break_before_anybody_asked_for_the_length_is_resumed(
    byte: int, then: str, connect: Connect
) -> None:
    """In what is read before the device's first header."""
    get = Ranged(breaks_at=byte, then=then, names_length=False, names_total=False)  # type: ignore[arg-type] # parametrized Literal
    async with RegistrySimulator() as registry:
        got = await received(await connect(registry), registry.blob(LARGE, get=get))
    assert (got.body, got.announced) == (LARGE, None)


@pytest.mark.parametrize(
    "get",
    [
        Ranged(breaks_at=MIDDLE, times=3, names_length=False, names_total=False, at_most=100_000),
        Ranged(breaks_at=MIDDLE, names_length=False, refuses="all", refusal_names_total=False),
        Ranged(breaks_at=MIDDLE, names_length=False, names_total=False, refuses="open"),
        Ranged(breaks_at=MIDDLE, names_length=False, described="nothing"),
        InTurn((Ranged(breaks_at=MIDDLE, names_length=False), NoLength(head_length=False))),
    ],
)
async def test_a_length_that_nobody_knows_is_no_hindrance(get: Behaviour, connect: Connect) -> None:
    """Parts, refused ranges and the whole again are gone on from until the digest says so."""
    async with RegistrySimulator() as registry:
        digest = registry.blob(LARGE, get=get, head=Answers(405))
        got = await received(await connect(registry), digest)
    assert got.body == LARGE


async def test_what_is_whole_needs_no_end_of_its_framing(connect: Connect) -> None:
    """Nor a length: it is reset right behind the last byte."""
    get = Ranged(names_length=False, names_total=False, breaks_at=len(LARGE))
    async with RegistrySimulator() as registry:
        content = LARGE + b"+"  # which is cut before its own end, and so never sent
        digest = str(Digest.of(LARGE))
        registry.blob(content, get=get, head=Answers(405), digest=digest)
        got = await received(await connect(registry), digest)
    assert (got.body, got.announced) == (LARGE, None)


@pytest.mark.parametrize("then", ["reset", "end"])
@pytest.mark.parametrize("refuses", ["none", "open", "all"])
async def test_a_registry_that_brings_nothing_more_is_given_up(
    then: str, refuses: str, connect: Connect
) -> None:
    """Where two answers end cleanly at one place there is no more; breaks have five tries."""
    get = Ranged(
        breaks_at=MIDDLE,
        times=100,
        then=then,  # type: ignore[arg-type] # parametrized Literal
        names_length=False,
        names_total=False,
        refuses=refuses,  # type: ignore[arg-type] # parametrized Literal
    )
    async with RegistrySimulator() as registry:
        digest = registry.blob(LARGE, get=get, head=Answers(405))
        got = await refused(await connect(registry), digest, (WrongBytesError, UpstreamError))
    assert len(got.body) <= MIDDLE - PIECE_BYTES
    asked = [request for request in registry.requests if request.header("Range") != "bytes=0-0"]
    assert len(asked) <= 3 + MAX_RESUMES_WITHOUT_PROGRESS


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
@pytest.mark.parametrize("times", [1, MAX_RESUMES_WITHOUT_PROGRESS - 1])
async def test_a_link_that_expired_is_a_break(status: int, times: int, connect: Connect) -> None:
    """The registry is asked for another one: the store's refusal is not the registry's."""
    turns: tuple[Behaviour, ...] = (BreaksAt(MIDDLE), *[Answers(status)] * times, Honest())
    async with StoreSimulator() as store, RegistrySimulator() as registry:
        link = RedirectsTo(store.put(LARGE, get=InTurn(turns)))
        assert await downloaded(await connect(registry), registry.blob(LARGE, get=link)) == LARGE
    assert ranges_of(registry) == [None, *[f"bytes={MIDDLE}-{LAST}"] * (times + 1)]


@pytest.mark.parametrize(
    "status, error",
    [(401, UnexpectedAnswerError), (403, UnexpectedAnswerError), (404, NotInRegistryError)],
)
async def test_links_that_all_have_expired_are_the_end(
    status: int, error: type[Exception], connect: Connect
) -> None:
    """After five of them. And nothing is remembered of what a store does not have."""
    refusals = [Answers(status)] * MAX_RESUMES_WITHOUT_PROGRESS
    turns: tuple[Behaviour, ...] = (BreaksAt(MIDDLE), *refusals, Honest())
    async with StoreSimulator() as store, RegistrySimulator() as registry:
        upstream = await connect(registry)
        link = RedirectsTo(store.put(LARGE, get=InTurn(turns)))
        digest = registry.blob(LARGE, get=link)
        got = await refused(upstream, digest, error)
        assert len(got.body) <= MIDDLE - PIECE_BYTES
        assert len(registry.requests) == 1 + MAX_RESUMES_WITHOUT_PROGRESS
        assert await downloaded(upstream, digest) == LARGE


@pytest.mark.parametrize(
    "status, error", [(403, CredentialRefusedError), (404, NotInRegistryError)]
)
async def test_what_the_registry_itself_refuses_is_an_answer(
    status: int, error: type[Exception], connect: Connect
) -> None:
    """A right that ended in the middle ends the pull."""
    get = InTurn((BreaksAt(MIDDLE), Answers(status), Honest()))
    async with RegistrySimulator() as registry:
        await refused(await connect(registry), registry.blob(LARGE, get=get), error)
    assert len(registry.requests) == 2


@pytest.mark.parametrize("length", [len(LARGE), None])
@pytest.mark.parametrize(
    "get",
    [
        Honest(),
        NoLength(),
        Ranged(at_most=PIECE_BYTES, names_total=False),
        Ranged(refuses="all"),
        Ranged(refuses="all", refusal_names_total=False),
        Ranged(described="nothing"),
    ],
)
@pytest.mark.parametrize("left", [1, MIDDLE, LAST])
async def test_what_another_process_left_is_gone_on_from(
    left: int, get: Behaviour, length: int | None, connect: Connect
) -> None:
    """Whether or not it knew how long it would be."""
    async with RegistrySimulator() as registry:
        digest = Digest.parse(registry.blob(LARGE, get=get))
        verifier = PieceVerifier(digest, length)
        upstream = await connect(registry)
        async with continue_download(upstream, REPOSITORY, verifier, left) as download:
            verifier.take_verbatim(LARGE[:left])
            rest = b"".join([piece async for piece in download.verified_pieces()])
        assert rest == LARGE[left:]


@pytest.mark.parametrize("get", [Honest(), NoLength(), Ranged(refusal_names_total=False)])
async def test_what_was_left_whole_is_known_to_be_whole(get: Behaviour, connect: Connect) -> None:
    """Its owner died before it could say so, and did not know how long it would be."""
    async with RegistrySimulator() as registry:
        digest = Digest.parse(registry.blob(LARGE, get=get))
        verifier = PieceVerifier(digest, None)
        upstream = await connect(registry)
        async with continue_download(upstream, REPOSITORY, verifier, len(LARGE)) as download:
            verifier.take_verbatim(LARGE)
            rest = b"".join([piece async for piece in download.verified_pieces()])
        assert rest == b""


async def test_a_registry_that_says_there_is_no_more_is_asked_once(connect: Connect) -> None:
    """Of what was left whole, by one who did not know how long it would be."""
    async with RegistrySimulator() as registry:
        digest = Digest.parse(registry.blob(LARGE, get=Ranged(names_length=False)))
        verifier = PieceVerifier(digest, None)
        upstream = await connect(registry)
        async with continue_download(upstream, REPOSITORY, verifier, len(LARGE)) as download:
            verifier.take_verbatim(LARGE)
            assert not b"".join([piece async for piece in download.verified_pieces()])
        assert len(registry.pulls) == 1


async def test_a_link_that_expired_is_no_end_of_what_another_process_left(
    connect: Connect,
) -> None:
    """Nobody reads yet; the registry gives another link."""
    turns = (Answers(403), Answers(404), Honest())
    async with StoreSimulator() as store, RegistrySimulator() as registry:
        link = RedirectsTo(store.put(LARGE, get=InTurn(turns)))
        digest = Digest.parse(registry.blob(LARGE, get=link))
        verifier = PieceVerifier(digest, len(LARGE))
        upstream = await connect(registry)
        async with continue_download(upstream, REPOSITORY, verifier, MIDDLE) as download:
            verifier.take_verbatim(LARGE[:MIDDLE])
            rest = b"".join([piece async for piece in download.verified_pieces()])
        assert rest == LARGE[MIDDLE:]
