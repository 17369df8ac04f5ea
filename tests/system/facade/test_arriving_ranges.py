"""Ranges of a blob that arrives: fetched first, marked, and each byte bought once."""

import asyncio
import hashlib
import random
from collections.abc import Mapping
from pathlib import Path

import aiohttp
import pytest

from facade.arrivals.gaps import ALIGNED_BYTES
from facade.values.piece import PIECE_BYTES
from tests.support.eventually import eventually
from tests.support.facade_database import FacadeDatabase
from tests.support.facade_process import Facade
from tests.support.facade_states import connect, pull_path
from tests.support.simulators.behaviour import Behaviour, BreaksAt, BreaksEvery, Ranged, Slow
from tests.support.simulators.registry import RegistrySimulator
from tests.support.statement_writer import StatementWriter
from tests.system.facade.conftest import StartFacade
from tests.system.facade.pulls import outcome_of

FAR = 65 * PIECE_BYTES
BIG = random.Random(6).randbytes(FAR + PIECE_BYTES)  # noqa: S311 - any bytes will do
CRAWL = Slow(PIECE_BYTES, 0.2)  # it takes longer to come there than a range takes
STEP = Slow(PIECE_BYTES, 0.02)


@pytest.fixture(scope="module")
def facade_settings(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """A facade that keeps what it fetches."""
    return _settings(tmp_path_factory.mktemp("cache"))


def _settings(cache: Path) -> dict[str, str]:
    return {"FACADE_CACHE_DIR": str(cache), "FACADE_CACHE_MAX_BYTES": "1GiB"}


async def test_a_far_range_is_fetched_first_and_marked(
    facade: Facade, writer: StatementWriter, upstream: RegistrySimulator
) -> None:
    """A device that resumes near the end of a model does not wait for its beginning."""
    digest = upstream.blob(BIG, get=CRAWL)
    await connect(facade, writer, upstream)
    answer = await facade.device().get(
        pull_path(upstream, digest), Range=f"bytes={FAR + 1}-{FAR + 999}"
    )
    assert answer.status == 206
    assert answer.body == BIG[FAR + 1 : FAR + 1000]
    assert answer.headers["Content-Range"] == f"bytes {FAR + 1}-{FAR + 999}/{len(BIG)}"
    assert answer.headers["Cache-Control"] == "no-store"
    assert "Docker-Content-Digest" not in answer.headers
    assert asked_ranges(upstream) == [f"bytes={FAR}-{FAR + PIECE_BYTES - 1}"]
    assert "facade_unverified_ranges_total 1.0" in facade.operations("/metrics")[1]


async def test_two_bytes_of_a_layer_buy_no_layer(
    facade: Facade, writer: StatementWriter, upstream: RegistrySimulator
) -> None:
    """A lazy puller begins with them; when the whole has come, its ranges are right."""
    digest = upstream.blob(BIG, get=STEP)
    await connect(facade, writer, upstream)
    path, device = pull_path(upstream, digest), facade.device()
    answer = await device.get(path, Range="bytes=0-1")
    assert (answer.status, answer.body) == (206, BIG[:2])
    assert "Docker-Content-Digest" not in answer.headers
    assert asked_ranges(upstream) == [f"bytes=0-{PIECE_BYTES - 1}"]
    assert (await device.get(path)).body == BIG
    [rest] = asked_ranges(upstream)[1:]
    assert rest is not None
    first = int(rest.removeprefix("bytes=").removesuffix(f"-{len(BIG) - 1}"))
    assert 0 < first <= PIECE_BYTES  # the device may have left before the whole piece had come
    assert first % ALIGNED_BYTES == 0
    again = await device.get(path, Range="bytes=-2")
    assert (again.status, again.body) == (206, BIG[-2:])
    assert again.headers["Docker-Content-Digest"] == digest
    assert again.headers["Cache-Control"] != "no-store"


async def test_what_is_no_longer_than_a_piece_is_verified_first(
    facade: Facade, writer: StatementWriter, upstream: RegistrySimulator
) -> None:
    """It comes with the first answer."""
    digest = upstream.blob(BIG[:PIECE_BYTES])
    await connect(facade, writer, upstream)
    answer = await facade.device().get(pull_path(upstream, digest), Range="bytes=7-9")
    assert (answer.status, answer.body) == (206, BIG[7:10])
    assert answer.headers["Docker-Content-Digest"] == digest


async def test_many_who_resume_at_one_place_buy_it_once(
    facade: Facade, writer: StatementWriter, upstream: RegistrySimulator
) -> None:
    """A range without an end is given its last piece with the proof of the whole."""
    digest = upstream.blob(BIG, get=STEP)
    await connect(facade, writer, upstream)
    path, device = pull_path(upstream, digest), facade.device()
    first = 2 * PIECE_BYTES
    asked = {"Range": f"bytes={first}-"}
    answers = await asyncio.gather(*(device.get(path, **asked) for _ in range(6)))
    assert all((each.status, each.body) == (206, BIG[first:]) for each in answers)
    assert bought_bytes(upstream, len(BIG)) == len(BIG)


async def test_marked_ranges_of_a_wrong_blob_are_logged(
    facade: Facade, writer: StatementWriter, upstream: RegistrySimulator
) -> None:
    """By the device that has them; and the digest is not asked for again at once."""
    wrong = BIG[:-1] + bytes([BIG[-1] ^ 1])
    digest = upstream.blob(wrong, digest=f"sha256:{hashlib.sha256(BIG).hexdigest()}")
    await connect(facade, writer, upstream)
    path, device = pull_path(upstream, digest), facade.device()
    assert (await device.get(path, Range="bytes=0-9")).body == BIG[:10]
    with pytest.raises((aiohttp.ClientError, ConnectionError)):
        await device.get(path)
    [line] = facade.log_lines(event="marked range of a wrong blob had gone out")
    assert line["device"]
    assert facade.log_lines(event="marked ranges were wrong", digest=digest)

    async def is_refused() -> bool:
        """At once, or when a slow machine has brought it again: each time it is for longer."""
        again = await outcome_of(device, path)
        return (again.status, again.error_code) == (502, "UNAVAILABLE")

    await eventually(is_refused)


async def test_whoever_forbids_unverified_ranges_waits(
    own_writer: StatementWriter,
    own_database: FacadeDatabase,
    start_facade: StartFacade,
    upstream: RegistrySimulator,
    tmp_path: Path,
) -> None:
    """Every byte is verified before the answer ends."""
    digest = upstream.blob(BIG, get=STEP)
    settings = _settings(tmp_path / "cache") | {"FACADE_UNVERIFIED_RANGES": "false"}
    facade = start_facade(own_writer, own_database.facade_url, settings)
    await connect(facade, own_writer, upstream)
    answer = await facade.device().get(pull_path(upstream, digest), Range=f"bytes={FAR}-")
    assert (answer.status, answer.body) == (206, BIG[FAR:])
    assert answer.headers["Docker-Content-Digest"] == digest
    assert answer.headers["Cache-Control"] != "no-store"


@pytest.mark.parametrize(
    "behaviour",
    [
        Ranged(at_most=1000),
        Ranged(refuses="all", refusal_names_total=False),
        Ranged(described="multipart"),
    ],
)
async def test_a_registry_without_usable_ranges_gives_the_whole(
    facade: Facade,
    writer: StatementWriter,
    upstream: RegistrySimulator,
    behaviour: Behaviour,
) -> None:
    """The range is cut out of it."""
    digest = upstream.blob(BIG, get=behaviour)
    await connect(facade, writer, upstream)
    answer = await facade.device().get(pull_path(upstream, digest), Range=f"bytes={FAR}-")
    assert (answer.status, answer.body) == (206, BIG[FAR:])


@pytest.mark.parametrize(
    "behaviour",
    [
        BreaksAt(PIECE_BYTES, times=1, ranges="ignored"),
        BreaksAt(PIECE_BYTES, times=1, ranges="other_total"),
        BreaksAt(PIECE_BYTES, times=1, ranges="wrong"),
    ],
)
async def test_another_range_than_the_one_asked_for_is_not_passed_on(
    facade: Facade,
    writer: StatementWriter,
    upstream: RegistrySimulator,
    behaviour: Behaviour,
) -> None:
    """An answer is right, or it is none."""
    digest = upstream.blob(BIG, get=behaviour)
    await connect(facade, writer, upstream)
    try:
        answer = await facade.device().get(pull_path(upstream, digest), Range=f"bytes={FAR}-")
    except (aiohttp.ClientError, ConnectionError):
        return  # it was cut
    assert answer.status in (206, 502)
    if answer.status == 206:
        assert answer.body == BIG[FAR:]


async def test_a_range_that_breaks_is_resumed(
    facade: Facade, writer: StatementWriter, upstream: RegistrySimulator
) -> None:
    """Each break goes on from the byte reached."""
    digest = upstream.blob(BIG, get=BreaksEvery(PIECE_BYTES // 2))
    await connect(facade, writer, upstream)
    asked = f"bytes={FAR}-{len(BIG) - 1}"
    answer = await facade.device().get(pull_path(upstream, digest), Range=asked)
    assert (answer.status, answer.body) == (206, BIG[FAR:])


def asked_ranges(upstream: RegistrySimulator) -> list[str | None]:
    """Return the ranges of what was asked with the credential."""
    return [
        request.header("Range") for request in upstream.pulls if request.header("Authorization")
    ]


def bought_bytes(upstream: RegistrySimulator, length: int) -> int:
    """Return how many bytes those ranges have."""
    total = 0
    for asked in asked_ranges(upstream):
        first, _, last = (asked or "bytes=0-").removeprefix("bytes=").partition("-")
        total += min(int(last or length - 1), length - 1) - int(first) + 1
    return total
