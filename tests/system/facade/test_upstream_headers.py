"""Right bytes are served whatever headers say of them, and what cannot be true is never passed on.

Each kind of header in one pull of its own: GET twice, HEAD before and behind.
"""

import asyncio
import random
from collections.abc import Mapping
from typing import Final

import orjson
import pytest
from attrs import field, frozen

from facade.values.piece import PIECE_BYTES
from shared.oci import MAX_MANIFEST_BYTES, OCI_INDEX, OCI_MANIFEST
from tests.support.device_stream import End
from tests.support.facade_process import Answer, Device, Facade
from tests.support.facade_states import pull_path
from tests.support.simulators.behaviour import (
    Answers,
    Behaviour,
    Honest,
    InTurn,
    NoLength,
    Ranged,
    RawBytes,
    TypedAs,
)
from tests.support.simulators.registry import RegistrySimulator
from tests.system.facade.pulls import outcome_of
from tests.system.facade.stores import streamed_and_stored as facade_settings  # noqa: F401 - a fixture

_random = random.Random(12)  # noqa: S311 - any bytes will do
SMALL: Final = _random.randbytes(5002)
LARGE: Final = _random.randbytes(6 * PIECE_BYTES + 4711)
MANIFEST: Final = {"schemaVersion": 2, "config": {}, "layers": []}
TYPED: Final = MANIFEST | {"mediaType": OCI_MANIFEST}
UNTOLD: Final = NoLength(head_length=False)
CLOSED: Final = NoLength("close", head_length=False)


@frozen
class Said:
    """What a registry says of right bytes."""

    get: Behaviour
    head: Behaviour | None = None
    # What HEAD may be answered with before the bytes came; None: it may be refused.
    head_may: tuple[str | None, ...] = field(default=("the length",))
    head_lies_unseen: bool = False  # of a large blob: nothing tells before the bytes have come


def headed(content: bytes, *headers: tuple[str, str]) -> Behaviour:
    """Answer with right bytes, and headers of any kind."""
    return Answers(200, headers, content)


def says(length: int) -> Behaviour:
    """Answer a HEAD with a length."""
    return Answers(200, body=b"x" * length)


MAY_REFUSE: Final = ("the length", None)


def kinds_of(content: bytes) -> Mapping[str, Said]:
    """Return what may be said of a blob."""
    size = len(content)
    html = ("Content-Type", "text/html; charset=utf-8")
    encodings = ("gzip", "br", "zstd", "aws-chunked", "aws-chunked, gzip", "x-nonsense")
    return {
        "HEAD without a length": Said(Honest(), UNTOLD),
        "HEAD says 0": Said(Honest(), says(0)),
        "HEAD says one more": Said(Honest(), says(size + 1)),
        "HEAD says one fewer": Said(Honest(), says(size - 1)),
        "HEAD 405": Said(Honest(), Answers(405)),
        "HEAD 500": Said(Honest(), Answers(500)),
        "chunked, HEAD has the length": Said(NoLength()),
        "chunked, ranges have it": Said(Ranged(names_length=False)),
        "chunked, ranges have it, HEAD says 0": Said(Ranged(names_length=False), says(0)),
        "chunked, ranges have it, HEAD lies": Said(Ranged(names_length=False), says(size + 1)),
        "closed, ranges have it": Said(Ranged(names_length=False, framing="close")),
        "chunked, nobody has it": Said(UNTOLD, head_may=MAY_REFUSE),
        "closed, nobody has it": Said(CLOSED, head_may=MAY_REFUSE),
        "chunked, HEAD 405": Said(UNTOLD, Answers(405), MAY_REFUSE),
        "chunked, HEAD says 0": Said(NoLength(), says(0), MAY_REFUSE),
        "chunked, HEAD says one more": Said(NoLength(), says(size + 1), head_lies_unseen=True),
        "chunked, HEAD says one fewer": Said(NoLength(), says(size - 1), head_lies_unseen=True),
        "chunked, HEAD says much more": Said(
            NoLength(), says(size + PIECE_BYTES), head_lies_unseen=True
        ),
        "closed, HEAD says one more": Said(
            NoLength("close"), says(size + 1), head_lies_unseen=True
        ),
        "chunked, ranges of an unknown total": Said(
            Ranged(names_length=False, names_total=False), head_may=MAY_REFUSE
        ),
        "text/html": Said(headed(content, html), head_may=MAY_REFUSE),
        "no type": Said(TypedAs(())),
        "two types": Said(TypedAs(("a/b", "text/plain"))),
        **{
            f"encoded {coding}": Said(
                headed(content, ("Content-Encoding", coding), html), head_may=MAY_REFUSE
            )
            for coding in encodings
        },
    }


KINDS: Final = tuple(kinds_of(SMALL))
UNKNOWN_OF_LARGE: Final = (
    "chunked, nobody has it",
    "closed, nobody has it",
    "chunked, HEAD 405",
    "chunked, HEAD has the length",
    "chunked, HEAD says 0",
    "chunked, HEAD says one more",
    "chunked, HEAD says one fewer",
    "chunked, HEAD says much more",
    "closed, HEAD says one more",
    "chunked, ranges of an unknown total",
)


def served(upstream: RegistrySimulator, content: bytes) -> dict[str, str]:
    """Serve a blob for each kind; return their digests."""
    digests = {}
    for number, kind in enumerate(KINDS):
        own = content[:-2] + number.to_bytes(2)
        said = kinds_of(own)[kind]
        digests[kind] = upstream.blob(own, get=said.get, head=said.head)
    return digests


def own_content(content: bytes, kind: str) -> bytes:
    """Return what was served."""
    return content[:-2] + KINDS.index(kind).to_bytes(2)


def require_own_head(answer: Answer, digest: str) -> None:
    """Nothing that upstream says of the bytes is passed on."""
    assert answer.headers["Docker-Content-Digest"] == digest
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert "Content-Encoding" not in answer.headers


@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["small", "large"])
async def test_a_head_says_the_right_length_or_nothing(
    content: bytes, device: Device, upstream: RegistrySimulator
) -> None:
    """It carries no proof, and is never a lie that can be found out."""
    digests = served(upstream, content)
    paths = [pull_path(upstream, digest) for digest in digests.values()]
    heads = await asyncio.gather(*(device.get(path, method="HEAD") for path in paths))
    for kind, head in zip(digests, heads, strict=True):
        length = head.headers["Content-Length"] if head.status == 200 else None
        assert head.status in (200, 502), kind
        said = kinds_of(content)[kind]
        if not (said.head_lies_unseen and content is LARGE):
            may = [str(len(content)) if each else None for each in said.head_may]
            assert length in may, kind


async def test_a_small_blob_is_served_whatever_is_said_of_it(
    device: Device, upstream: RegistrySimulator, facade: Facade
) -> None:
    """With its own length, which its digest has proven; and no upstream is a liar for it."""
    for kind, digest in served(upstream, SMALL).items():
        path = pull_path(upstream, digest)
        for _ in range(2):
            answer = await device.get(path)
            assert (answer.status, answer.body) == (200, own_content(SMALL, kind)), kind
            assert answer.headers["Content-Length"] == str(len(SMALL)), kind
            require_own_head(answer, digest)
        if facade.environment.get("FACADE_CACHE_DIR"):  # it is proven now, and its length with it
            head = await device.get(path, method="HEAD")
            assert (head.status, head.headers["Content-Length"]) == (200, str(len(SMALL))), kind


async def test_a_large_blob_is_served_whatever_is_said_of_it(
    device: Device, upstream: RegistrySimulator, facade: Facade
) -> None:
    """With the length that can be had; without one it is chunked."""
    digests = served(upstream, LARGE)
    paths = {kind: pull_path(upstream, digest) for kind, digest in digests.items()}
    outcomes = await asyncio.gather(*(outcome_of(device, path) for path in paths.values()))
    for kind, outcome in zip(paths, outcomes, strict=True):
        assert (outcome.status, outcome.end, outcome.digest) == (200, End.WHOLE, digests[kind])
        assert outcome.length == (None if kind in UNKNOWN_OF_LARGE else len(LARGE)), kind
    if facade.environment.get("FACADE_CACHE_DIR"):
        for kind in UNKNOWN_OF_LARGE:
            again = await outcome_of(device, paths[kind], Range=f"bytes=7-{len(LARGE)}")
            assert (again.status, again.received, again.length) == (206, *[len(LARGE) - 7] * 2)
    for kind in UNKNOWN_OF_LARGE:  # what the bytes have shown counts, whatever HEAD says
        head = await device.get(paths[kind], method="HEAD")
        assert (head.status, head.headers["Content-Length"]) == (200, str(len(LARGE))), kind


@pytest.mark.parametrize("lie", [-1, 1])
async def test_a_large_blob_comes_at_once_though_a_range_told_a_wrong_length(
    lie: int, device: Device, upstream: RegistrySimulator
) -> None:
    """Who was told it is reset; it is no wrong byte, so nobody has to wait for the next try."""
    told = b"HTTP/1.1 206 Partial Content\r\nContent-Length: 1\r\nConnection: close\r\n"
    told += b"Content-Range: bytes 0-0/%d\r\n\r\n%b" % (len(LARGE) + lie, LARGE[:1])
    digest = upstream.blob(LARGE, get=InTurn((NoLength(), RawBytes(told), NoLength())))
    path = pull_path(upstream, digest)
    cut = await outcome_of(device, path)
    assert (cut.status, cut.end, cut.length) == (200, End.RESET, len(LARGE) + lie)
    again = await outcome_of(device, path)
    assert (again.status, again.end, again.digest) == (200, End.WHOLE, digest)


async def test_a_range_is_ignored_as_long_as_nobody_knows_of_what(
    device: Device, upstream: RegistrySimulator
) -> None:
    """RFC 9110 section 14.2: the answer is the whole, and says so."""
    for number, asked in enumerate(("bytes=0-1", "bytes=300000-", "bytes=-5", "bytes=99999999-")):
        content = LARGE + bytes([number])
        digest = upstream.blob(content, get=UNTOLD)
        answer = await device.get(pull_path(upstream, digest), Range=asked)
        assert (answer.status, answer.body) == (200, content)
        assert "Content-Range" not in answer.headers
        assert "Content-Length" not in answer.headers
        require_own_head(answer, digest)


async def test_a_fleet_reads_along_with_a_blob_of_unknown_length(
    device: Device, upstream: RegistrySimulator, facade: Facade
) -> None:
    """One download, and the right bytes for everybody."""
    digest = upstream.blob(LARGE, get=UNTOLD)
    path = pull_path(upstream, digest)
    outcomes = await asyncio.gather(*(outcome_of(device, path) for _ in range(8)))
    assert {(each.status, each.end, each.digest) for each in outcomes} == {(200, End.WHOLE, digest)}
    if facade.environment.get("FACADE_CACHE_DIR"):
        gets = [request for request in upstream.pulls if request.method == "GET"]
        whole = [each for each in gets if each.header("Range") is None]
        assert len([each for each in whole if each.header("Authorization")]) == 1


async def test_wrong_bytes_of_unknown_length_are_reset(
    device: Device, upstream: RegistrySimulator
) -> None:
    """A chunked answer that is cut lacks its last chunk, and its last piece besides."""
    chunk = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n"
    wrong = LARGE[:-1] + bytes([LARGE[-1] ^ 1])
    for number, body in enumerate((wrong, LARGE[:-1], LARGE + b"+")):
        content = LARGE + bytes([number])
        get = RawBytes(chunk % (len(body), body))
        digest = upstream.blob(content, get=get, head=Answers(405))
        outcome = await outcome_of(device, pull_path(upstream, digest))
        assert (outcome.status, outcome.end, outcome.length) == (200, End.RESET, None)
        assert outcome.received <= len(body) - PIECE_BYTES


MANIFESTS: Final[Mapping[str, Behaviour]] = {
    "chunked": NoLength(head_length=False),
    "until closed": CLOSED,
    "two equal types": TypedAs((OCI_MANIFEST, OCI_MANIFEST)),
    "two equal types in one line": TypedAs((f"{OCI_MANIFEST}, {OCI_MANIFEST}",)),
    "a parameter, in capitals": TypedAs((f"{OCI_MANIFEST.upper()}; charset=UTF-8",)),
    "text/plain": TypedAs(("text/plain; charset=utf-8",)),
    "text/html": TypedAs(("text/html",)),
    "application/json": TypedAs(("application/json",)),
    "no type": TypedAs(()),
    "its type and another that is no manifest's": TypedAs((OCI_MANIFEST, "text/plain")),
    "encoded": Answers(
        200,
        (("Content-Type", OCI_MANIFEST), ("Content-Encoding", "aws-chunked")),
        orjson.dumps(TYPED),
    ),
}


UNTYPED_MANIFESTS: Final[Mapping[str, tuple[dict[str, object], tuple[str, ...]]]] = {
    "null": (MANIFEST | {"mediaType": None}, (OCI_MANIFEST,)),
    "empty": (MANIFEST | {"mediaType": ""}, (OCI_MANIFEST,)),
    "none, two lines": (dict(MANIFEST), ("text/plain", OCI_MANIFEST)),
    "none, one line": (dict(MANIFEST), (f"{OCI_MANIFEST}, application/json",)),
    "null, two lines": (MANIFEST | {"mediaType": None}, (OCI_MANIFEST, "text/plain")),
}


@pytest.mark.parametrize("kind", UNTYPED_MANIFESTS)
async def test_a_manifest_that_names_no_type_has_the_only_one_of_its_header(
    kind: str, device: Device, upstream: RegistrySimulator
) -> None:
    """`null` and "" name none, as for every client's JSON."""
    document, types = UNTYPED_MANIFESTS[kind]
    content = orjson.dumps(document)
    digest = upstream.manifest(content, get=TypedAs(types))
    for _ in range(2):
        answer = await device.get(pull_path(upstream, digest, kind="manifests"))
        assert (answer.status, answer.body) == (200, content)
        assert answer.headers["Content-Type"] == OCI_MANIFEST


@pytest.mark.parametrize("fields", ['"mediaType":"%s"', '"mediaType":null', '"layers":[{}]'])
async def test_a_manifest_that_has_a_field_twice_is_refused(
    fields: str, device: Device, upstream: RegistrySimulator
) -> None:
    """One client takes the first of them, another the last."""
    content = orjson.dumps(TYPED)[:-1] + b"," + fields.replace("%s", OCI_MANIFEST).encode() + b"}"
    digest = upstream.manifest(content)
    answer = await device.get(pull_path(upstream, digest, kind="manifests"))
    assert (answer.status, answer.error_code) == (502, "UNAVAILABLE")


@pytest.mark.parametrize("head", [None, Answers(405), says(0)], ids=["as GET", "405", "0"])
async def test_a_manifest_is_served_whatever_is_said_of_it(
    head: Behaviour | None, device: Device, upstream: RegistrySimulator
) -> None:
    """Its own type where the header names none."""
    for number, (kind, get) in enumerate(MANIFESTS.items()):
        content = orjson.dumps(TYPED)
        if not isinstance(get, Answers):
            content += b" " * (number + 1)
        digest = upstream.manifest(content, get=get, head=head)
        path = pull_path(upstream, digest, kind="manifests")
        answer = await device.get(path)
        assert (answer.status, answer.body) == (200, content), kind
        assert answer.headers["Content-Type"] == OCI_MANIFEST, kind
        assert "Content-Encoding" not in answer.headers
        headed = await device.get(path, method="HEAD")
        assert (headed.status, headed.headers["Content-Length"]) == (200, str(len(content))), kind
        upstream.requests.clear()


@pytest.mark.parametrize(
    "document, types",
    [
        (MANIFEST, ()),
        (MANIFEST, ("text/plain",)),
        (MANIFEST | {"mediaType": None}, ("text/plain",)),
        (TYPED, (OCI_INDEX,)),
        (TYPED, (OCI_MANIFEST, OCI_INDEX)),
        (TYPED, (f"{OCI_INDEX}, {OCI_MANIFEST}",)),
        (TYPED, ("application/vnd.docker.distribution.manifest.v1+json",)),
        (TYPED | {"manifests": []}, ()),
        (MANIFEST | {"mediaType": OCI_INDEX}, ()),
        (MANIFEST | {"mediaType": "application/json"}, ("application/json",)),
    ],
)
async def test_a_manifest_of_no_one_type_is_refused(
    document: dict[str, object],
    types: tuple[str, ...],
    device: Device,
    upstream: RegistrySimulator,
) -> None:
    """CVE-2021-41190: what one reader takes for an index must not be another one's image."""
    digest = upstream.manifest(orjson.dumps(document), get=TypedAs(types))
    answer = await device.get(pull_path(upstream, digest, kind="manifests"))
    assert (answer.status, answer.error_code) == (502, "UNAVAILABLE")


async def test_a_manifest_without_a_length_has_the_bound_of_all(
    device: Device, upstream: RegistrySimulator
) -> None:
    """It is held in memory."""
    longest = orjson.dumps(TYPED).ljust(MAX_MANIFEST_BYTES)
    for content, status in ((longest, 200), (longest + b" ", 502)):
        digest = upstream.manifest(content, get=UNTOLD)
        answer = await device.get(pull_path(upstream, digest, kind="manifests"))
        assert answer.status == status


async def test_another_repository_gets_what_its_head_does_not_prove(
    device: Device, upstream: RegistrySimulator
) -> None:
    """A web page's headers prove nothing: it brings the bytes itself, and they do."""
    page = headed(SMALL, ("Content-Type", "text/html"))
    for repository in ("team/app", "team/other"):
        digest = upstream.blob(SMALL, get=page, repository=repository)
        answer = await device.get(pull_path(upstream, digest, repository=repository))
        assert (answer.status, answer.body) == (200, SMALL)
