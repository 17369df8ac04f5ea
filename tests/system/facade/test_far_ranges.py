"""A range far behind what has come of a cold blob: passed on at once, and marked as unverified."""

import asyncio
import random
from collections.abc import Mapping
from pathlib import Path

import aiohttp
import pytest

from facade.content.far_ranges import MAX_RELAYS, NEAR_BYTES
from facade.values.piece import PIECE_BYTES
from tests.support.facade_database import FacadeDatabase
from tests.support.facade_process import Facade
from tests.support.facade_states import connect, pull_path
from tests.support.simulators.behaviour import Behaviour, BreaksAt, BreaksEvery, Ranged, Slow
from tests.support.simulators.registry import RegistrySimulator
from tests.support.statement_writer import StatementWriter
from tests.system.facade.conftest import StartFacade

FAR = NEAR_BYTES + PIECE_BYTES
BIG = random.Random(6).randbytes(FAR + PIECE_BYTES)  # noqa: S311 - any bytes will do
CRAWL = Slow(PIECE_BYTES, 0.2)  # it takes longer to come near than a relay takes
STEP = Slow(PIECE_BYTES, 0.02)


@pytest.fixture(scope="module")
def facade_settings(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """A facade that keeps what it fetches."""
    return _settings(tmp_path_factory.mktemp("cache"))


def _settings(cache: Path) -> dict[str, str]:
    return {"FACADE_CACHE_DIR": str(cache), "FACADE_CACHE_MAX_BYTES": "1GiB"}


async def test_a_far_range_is_upstreams_own_and_says_so(
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
    assert asked_ranges(upstream) == [None, f"bytes={FAR + 1}-{FAR + 999}"]
    assert "facade_unverified_ranges_total 1.0" in facade.operations("/metrics")[1]


async def test_a_near_range_waits_and_is_verified(
    facade: Facade, writer: StatementWriter, upstream: RegistrySimulator
) -> None:
    """It follows the growing file: upstream is asked once."""
    digest = upstream.blob(BIG, get=STEP)
    await connect(facade, writer, upstream)
    answer = await facade.device().get(pull_path(upstream, digest), Range="bytes=2000000-2000009")
    assert (answer.status, answer.body) == (206, BIG[2000000:2000010])
    assert answer.headers["Docker-Content-Digest"] == digest
    assert asked_ranges(upstream) == [None]


async def test_relays_of_a_digest_are_few_and_the_others_wait(
    facade: Facade, writer: StatementWriter, upstream: RegistrySimulator
) -> None:
    """A fleet that resumes costs upstream two ranges beside the blob, not one each."""
    digest = upstream.blob(BIG, get=STEP)
    await connect(facade, writer, upstream)
    path, device = pull_path(upstream, digest), facade.device()
    asked = {"Range": f"bytes={FAR}-"}
    answers = await asyncio.gather(*(device.get(path, **asked) for _ in range(6)))
    assert all((each.status, each.body) == (206, BIG[FAR:]) for each in answers)
    marked = [each for each in answers if "Docker-Content-Digest" not in each.headers]
    assert 1 <= len(marked) <= MAX_RELAYS
    assert len(asked_ranges(upstream)) == 1 + len(marked)


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
    assert len(asked_ranges(upstream)) == 1


@pytest.mark.parametrize(
    "behaviour",
    [
        Ranged(at_most=1000),
        Ranged(refuses="all", refusal_names_total=False),
        Ranged(described="multipart"),
    ],
)
async def test_a_range_that_upstream_cannot_give_is_waited_for(
    facade: Facade,
    writer: StatementWriter,
    upstream: RegistrySimulator,
    behaviour: Behaviour,
) -> None:
    """The blob arrives all the same: its bytes are those, and verified."""
    digest = upstream.blob(BIG, get=behaviour)
    await connect(facade, writer, upstream)
    answer = await facade.device().get(pull_path(upstream, digest), Range=f"bytes={FAR}-")
    assert (answer.status, answer.body) == (206, BIG[FAR:])
    assert answer.headers["Docker-Content-Digest"] == digest


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
    answer = await facade.device().get(pull_path(upstream, digest), Range=f"bytes={FAR}-")
    assert answer.status in (206, 502)
    if answer.status == 206:
        assert answer.body == BIG[FAR:]
        assert answer.headers["Docker-Content-Digest"] == digest


async def test_a_far_range_that_breaks_never_looks_whole(
    facade: Facade, writer: StatementWriter, upstream: RegistrySimulator
) -> None:
    """The connection is reset, and a client's library says so."""
    digest = upstream.blob(BIG, get=BreaksEvery(PIECE_BYTES // 2))
    await connect(facade, writer, upstream)
    with pytest.raises((aiohttp.ClientError, ConnectionError)):
        await facade.device().get(pull_path(upstream, digest), Range=f"bytes={FAR}-")
    assert facade.log_lines(event="aborted", digest=digest)


def asked_ranges(upstream: RegistrySimulator) -> list[str | None]:
    """Return the ranges of what was asked with the credential."""
    return [
        request.header("Range") for request in upstream.pulls if request.header("Authorization")
    ]
