"""A registry that sends anything but what the digest names: never a clean end.

What a broken answer costs the facade is time (it resumes), so that all lies are told at once.
"""

import asyncio
import random
from collections.abc import Mapping

import orjson
import pytest

from facade.arrivals.breaks import MAX_RESUMES_WITHOUT_PROGRESS
from facade.values.piece import PIECE_BYTES
from shared.oci import OCI_INDEX, OCI_MANIFEST
from tests.support.device_stream import End
from tests.support.facade_process import Answer, Device, Facade
from tests.support.facade_states import pull_path
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
    TypedAs,
    WebPage,
)
from tests.support.simulators.registry import RegistrySimulator
from tests.system.facade.pulls import Outcome, outcome_of
from tests.system.facade.stores import streamed_and_stored as facade_settings  # noqa: F401 - a fixture

UPSTREAM_TEXT = b"upstream text that nobody may see"
SMALL = b"a small blob"
LARGE = random.Random(3).randbytes(6 * PIECE_BYTES + 4711)  # noqa: S311 - any bytes will do
MANIFEST = orjson.dumps({"schemaVersion": 2, "config": {}, "layers": []})

LIES: Mapping[str, Behaviour] = {
    "fewer": FewerBytes(),
    "fewer, reset": FewerBytes(missing=3, then="reset"),
    "more": MoreBytes(counted=True),
    "other": OtherBytes(),
    "gzip": Encoded(),
    "gzip in transfer": Encoded(header="Transfer-Encoding"),
    "gzip undeclared": Encoded(declared=False),
    "web page": WebPage(),
    "no length at all, fewer": NoLength(head_length=False, missing=1),
    "no length at all, closed, fewer": NoLength("close", head_length=False, missing=1),
    "chunked, fewer": NoLength(missing=1),
    "closed, fewer": NoLength(framing="close", missing=1),
    "closed, nothing": NoLength(framing="close", missing=10**9),
    "no content": Answers(204),
    "unasked 206": Answers(206, (("Content-Range", "bytes 0-11/12"),)),
    "203": Answers(203, body=UPSTREAM_TEXT),
    "101": RawBytes(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"),
    "100, then 204": RawBytes(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n"),
    "two lengths": RawBytes(
        b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\nContent-Length: 5\r\n\r\na small blob"
    ),
    "no HTTP": RawBytes(UPSTREAM_TEXT + b"\r\n\r\n"),
}
MANIFEST_LIES: Mapping[str, Behaviour] = {
    **LIES,
    "typed as an index": TypedAs((OCI_INDEX,)),
    "typed as JSON": TypedAs(("application/json",)),
    "typed as a text": TypedAs(("text/plain",)),
    "typed twice": TypedAs((OCI_MANIFEST, OCI_INDEX)),
    "not typed": TypedAs(()),
}
ODD: Mapping[str, Behaviour] = {
    "chunked": NoLength(),
    "until closed": NoLength(framing="close"),
    "two equal lengths": RawBytes(
        b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\nContent-Length: 12\r\n\r\na small blob"
    ),
    "a length and chunks": RawBytes(
        b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"c\r\na small blob\r\n0\r\n\r\n"
    ),
    "203": Answers(203, body=SMALL),
    "unasked 206": Answers(206, (("Content-Range", "bytes 0-11/12"),), body=SMALL),
    "100 first": RawBytes(
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n" + SMALL
    ),
    "another digest claimed": Answers(
        200, (("Docker-Content-Digest", f"sha256:{'0' * 64}"),), body=SMALL
    ),
}


async def outcomes(
    device: Device, upstream: RegistrySimulator, digests: Mapping[str, str]
) -> dict[str, Outcome]:
    """Pull all blobs at once."""
    pulls = [outcome_of(device, pull_path(upstream, digest)) for digest in digests.values()]
    return dict(zip(digests, await asyncio.gather(*pulls), strict=True))


def content_of(lie: str, content: bytes) -> bytes:
    """Return a content of the same kind for each lie, so that each has its own digest."""
    return content + lie.encode()


async def test_a_small_blob_that_is_wrong_is_never_a_200(
    device: Device, upstream: RegistrySimulator
) -> None:
    """It is whole and verified before the first header; a broken one may be asked for again."""
    digests = {
        lie: upstream.blob(content_of(lie, SMALL), get=behaviour) for lie, behaviour in LIES.items()
    }
    for lie, outcome in (await outcomes(device, upstream, digests)).items():
        assert outcome.status == 502, lie
        assert outcome.error_code == "UNAVAILABLE", lie


async def test_a_large_blob_that_is_wrong_never_ends_cleanly(
    device: Device, upstream: RegistrySimulator, facade: Facade
) -> None:
    """The device sees a broken transfer that lacks at least the last piece."""
    digests = {
        lie: upstream.blob(content_of(lie, LARGE), get=behaviour) for lie, behaviour in LIES.items()
    }
    begun = 0
    for lie, outcome in (await outcomes(device, upstream, digests)).items():
        if outcome.status == 200:
            assert outcome.end is End.RESET, lie
            promised = len(LARGE) if outcome.length is None else outcome.length
            assert outcome.received <= promised - PIECE_BYTES, lie
            begun += 1
        else:
            assert (outcome.status, outcome.error_code) in (
                (502, "UNAVAILABLE"),
                (503, "UNAVAILABLE"),
            ), lie
    assert begun >= 5
    told = {line["reason"] for line in facade.log_lines(event="aborted", kind="blobs")}
    assert any("aborted after" in reason for reason in told)


async def test_a_manifest_that_is_wrong_is_never_a_200(
    device: Device, upstream: RegistrySimulator
) -> None:
    """Whatever is wrong with it, its media type included; not for HEAD either."""
    for number, (lie, behaviour) in enumerate(MANIFEST_LIES.items()):
        digest = upstream.manifest(MANIFEST + b" " * number, get=behaviour)
        path = pull_path(upstream, digest, kind="manifests")
        answer, head = await asyncio.gather(device.get(path), device.get(path, method="HEAD"))
        assert answer.status == 502, lie
        assert answer.error_code == "UNAVAILABLE", lie
        assert (head.status, head.body) == (answer.status, b""), lie
        assert "Docker-Content-Digest" not in answer.headers, lie


async def test_nothing_of_a_lie_reaches_answer_or_log(
    device: Device, upstream: RegistrySimulator, facade: Facade
) -> None:
    """Upstream's text may hold anything."""
    answers: list[Answer] = []
    for status in (200, 203, 400, 401, 403, 404, 418, 429, 500, 503):
        told = Answers(
            status,
            (("Content-Type", "application/json"), ("X-Upstream", "upstream text")),
            body=UPSTREAM_TEXT + str(status).encode(),
        )
        blob = upstream.blob(b"%d" % status, get=told)
        answers.append(await device.get(pull_path(upstream, blob)))
        manifest = upstream.manifest(b"%d" % status, get=told)
        answers.append(await device.get(pull_path(upstream, manifest, kind="manifests")))
    assert {answer.status for answer in answers}.isdisjoint({200, 203})
    for answer in answers:
        assert b"upstream text" not in answer.body
        assert "X-Upstream" not in answer.headers
    assert "upstream text" not in facade.log_text


@pytest.mark.parametrize("name", ODD)
async def test_what_is_odd_but_right_is_served(
    name: str, device: Device, upstream: RegistrySimulator
) -> None:
    """With the length, the type and the digest that we vouch for, and no more of upstream's."""
    digest = upstream.blob(SMALL, get=ODD[name], head=Honest())
    path = pull_path(upstream, digest)
    for _ in range(2):
        answer = await device.get(path)
        assert (answer.status, answer.body) == (200, SMALL)
        assert answer.headers["Docker-Content-Digest"] == digest
        assert answer.headers["Content-Length"] == str(len(SMALL))
        assert answer.headers["Content-Type"] == "application/octet-stream"
    head = await device.get(path, method="HEAD")
    assert (head.status, head.headers["Content-Length"]) == (200, str(len(SMALL)))


async def test_surplus_bytes_are_nobody_s(device: Device, upstream: RegistrySimulator) -> None:
    """Neither a part of this answer nor the beginning of another pull's."""
    surplus = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
    small = upstream.blob(SMALL, get=MoreBytes(surplus))
    late = upstream.blob(LARGE, get=MoreBytes(surplus, pause_seconds=0.05))
    for number in range(5):
        # another one each time: what came wrong is not asked for again at once
        garbage = upstream.blob(SMALL * (2 + number), get=MoreBytes(b"garbage"))
        answer = await device.get(pull_path(upstream, small))
        assert (answer.status, answer.body) == (200, SMALL)
        assert (await outcome_of(device, pull_path(upstream, late))).digest == late
        answer = await device.get(pull_path(upstream, garbage))
        assert answer.status == 502 or answer.body == SMALL * (2 + number)


async def test_a_large_blob_without_a_length_on_get_is_served(
    device: Device, upstream: RegistrySimulator
) -> None:
    """Chunked, though HEAD names one: whoever is told a wrong one would have to be cut off."""
    digest = upstream.blob(LARGE, get=NoLength())
    outcome = await outcome_of(device, pull_path(upstream, digest))
    assert (outcome.status, outcome.end, outcome.digest) == (200, End.WHOLE, digest)
    assert outcome.length is None


BREAKS = [0, 1, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 4 * PIECE_BYTES, len(LARGE) - 1]


@pytest.mark.parametrize("ranges", ["honoured", "ignored"])
async def test_a_break_in_the_middle_is_resumed_and_right(
    ranges: str, device: Device, upstream: RegistrySimulator
) -> None:
    """Wherever it breaks, and whether or not the registry knows ranges."""
    digests = {
        str(byte): upstream.blob(
            LARGE + bytes([number]),
            get=BreaksAt(byte, ranges=ranges),  # type: ignore[arg-type] # parametrized Literal
        )
        for number, byte in enumerate(BREAKS)
    }
    for byte, outcome in (await outcomes(device, upstream, digests)).items():
        assert (outcome.status, outcome.end) == (200, End.WHOLE), byte
        assert outcome.digest == digests[byte], byte
        asked = [
            request.header("Range") or "bytes=0-"
            for request in upstream.pulls
            if request.path.endswith(digests[byte]) and request.header("Authorization")
        ]
        assert len(asked) == 2, byte
        # A reset may overtake bytes that a busy facade has not read yet.
        assert int(asked[1].removeprefix("bytes=").partition("-")[0]) <= int(byte), byte


async def test_a_registry_that_breaks_all_the_time_is_followed_to_the_end(
    device: Device, upstream: RegistrySimulator
) -> None:
    """As long as each answer brings something."""
    digest = upstream.blob(LARGE, get=BreaksEvery(2 * PIECE_BYTES // 3))
    outcome = await outcome_of(device, pull_path(upstream, digest))
    assert (outcome.end, outcome.digest) == (End.WHOLE, digest)


async def test_another_blob_the_second_time_is_a_reset(
    device: Device, upstream: RegistrySimulator
) -> None:
    """Another beginning, another length, another place: nothing of it reaches the device."""
    byte = 4 * PIECE_BYTES
    behaviours: dict[str, Behaviour] = {
        "other_beginning": BreaksAt(byte, ranges="other_beginning"),
        "other_length": BreaksAt(byte, ranges="other_length"),
        "other_total": Ranged(breaks_at=byte, total_off=1),
        "wrong": BreaksAt(byte, ranges="wrong"),
    }
    digests = {
        told: upstream.blob(content_of(told, LARGE), get=get) for told, get in behaviours.items()
    }
    for told, outcome in (await outcomes(device, upstream, digests)).items():
        assert (outcome.status, outcome.end) == (200, End.RESET), told
        assert outcome.received <= 4 * PIECE_BYTES, told


async def test_a_registry_that_brings_nothing_more_is_given_up(
    device: Device, upstream: RegistrySimulator
) -> None:
    """After five tries, so that it is not asked for ever."""
    digest = upstream.blob(LARGE, get=BreaksAt(4 * PIECE_BYTES, times=100))
    outcome = await outcome_of(device, pull_path(upstream, digest))
    assert (outcome.status, outcome.end) == (200, End.RESET)
    asked = [request for request in upstream.pulls if request.header("Authorization")]
    assert len(asked) == 1 + MAX_RESUMES_WITHOUT_PROGRESS
