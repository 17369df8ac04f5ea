"""Two facades on one address and one cache folder: they share the work, and either may die."""

import asyncio
import hashlib
import random
import re
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path

import pytest
from attrs import define, evolve

from deploy.dev.device_ca import IssuedCertificate
from facade.values.piece import PIECE_BYTES
from tests.faults.extent import extent
from tests.faults.report import FaultReport
from tests.faults.stored_files import QuotaWatch, partials, require_right_files, sizes
from tests.support.device_stream import End
from tests.support.eventually import eventually
from tests.support.facade_database import FacadeDatabase
from tests.support.facade_process import Device, Facade
from tests.support.facade_states import connect, pull_path, until_accepted
from tests.support.simulators.behaviour import Slow, Stalls
from tests.support.simulators.registry import RegistrySimulator
from tests.support.statement_writer import StatementWriter
from tests.system.facade.pulls import Outcome, outcome_of

DEVICES = 32
WAVES = 4  # what a wave brought may be evicted for the next one
BLOB_BYTES = 12 * PIECE_BYTES
QUOTA = 3 * BLOB_BYTES
PACE = Slow(PIECE_BYTES // 4, 0.04)  # two seconds in all: time to join, and to kill
QUICK = Slow(PIECE_BYTES, 0.002)
BEGIN_SECONDS = 30.0  # for all devices to connect to a busy machine
TO_JOIN_SECONDS = 0.5  # for all devices to be waiting
TAKEN_OVER_SECONDS = 30.0  # far less than upstream is waited for
KILLS = extent(2, 20)
SHARES = 5  # of a blob, for clients that pull ranges at once
Span = tuple[int, int]  # first byte and end

_WRITE_LOCK = re.compile(r"^lock:.*OFDLCK +ADVISORY +WRITE ", re.MULTILINE)
_random = random.Random(8)  # noqa: S311 - any bytes will do


@define
class Pair:
    """Two facades, and how devices reach either."""

    facades: tuple[Facade, Facade]
    device: Device
    upstream: RegistrySimulator
    cache: Path

    def blob(self, pace: Slow) -> str:
        """Have upstream serve a new blob; return its digest."""
        return self.upstream.blob(_random.randbytes(BLOB_BYTES), get=pace)

    async def pull(self, digest: str, span: Span | None = None) -> Outcome | None:
        """Pull through whichever takes the connection; None where it died before it answered."""
        path = pull_path(self.upstream, digest)
        try:
            if span is None:
                return await outcome_of(self.device, path)
            return await outcome_of(self.device, path, Range=f"bytes={span[0]}-{span[1] - 1}")
        except (OSError, asyncio.IncompleteReadError):
            return None

    def owner(self) -> Facade:
        """Return who downloads now."""
        [owner] = [each for each in self.facades if _owns(each, self.cache)]
        return owner

    async def has_come(self, count: int) -> None:
        """Return once so many bytes arrived."""
        await eventually(lambda: sizes(partials(self.cache)) > count, BEGIN_SECONDS)

    def answered(self, facade: Facade, digest: str) -> list[str]:
        """Return how a facade's answers for a digest ended, whole or not."""
        lines = facade.log_lines(logger="facade.pull", digest=digest)
        return [str(line.get("reason", "")) for line in lines]

    def fetched(self, digest: str) -> list[str | None]:
        """Return the ranges that upstream was asked for, None for the whole."""
        return [
            request.header("Range")
            for request in self.upstream.pulls
            if request.path.endswith(digest) and request.method == "GET"
            if request.header("Authorization")
        ]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cache folder of both."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def facade_settings(cache: Path) -> Mapping[str, str]:
    """What both are configured with."""
    return {
        "FACADE_REUSE_PORT": "true",
        "FACADE_CACHE_DIR": str(cache),
        "FACADE_CACHE_MAX_BYTES": str(QUOTA),
    }


@pytest.fixture(scope="module")
def second(
    facade: Facade,
    facade_database: FacadeDatabase,
    facade_settings: Mapping[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Facade]:
    """Another facade on the first one's address, with its certificates and a state of its own."""
    folder = tmp_path_factory.mktemp("second") / "facade"
    shutil.copytree(facade.files.folder, folder, ignore=shutil.ignore_patterns("state", "*.log"))
    files = evolve(facade.files, folder=folder)
    settings = {**facade_settings, "FACADE_LISTEN": facade.environment["FACADE_LISTEN"]}
    running = Facade.start(files, facade_database.facade_url, settings)
    yield running
    running.child.kill()


@pytest.fixture
async def pair(
    facade: Facade,
    second: Facade,
    writer: StatementWriter,
    issued: IssuedCertificate,
    upstream: RegistrySimulator,
    cache: Path,
) -> Pair:
    """Both, before a registry of the test's own."""
    approval = await connect(facade, writer, upstream)
    await until_accepted(second, approval)
    return Pair((facade, second), facade.device(issued), upstream, cache)


async def test_a_fleet_on_both_is_one_fetch(pair: Pair, fault_report: FaultReport) -> None:
    """However the kernel spreads the devices over them."""
    digest = pair.blob(PACE)
    outcomes = await asyncio.gather(*(pair.pull(digest) for _ in range(DEVICES)))
    assert {_end(each, digest) for each in outcomes} == {"right"}
    assert pair.fetched(digest) == [None]
    shares = [len(pair.answered(each, digest)) for each in pair.facades]
    assert all(shares)
    assert sum(shares) == DEVICES
    fault_report.row(
        f"(none) two facades on one address, {DEVICES} devices, one cold blob",
        f"whole right answers, {shares[0]} by one and {shares[1]} by the other",
        "upstream was asked once",
    )


async def test_there_is_one_evictor_at_a_time(pair: Pair, fault_report: FaultReport) -> None:
    """The quota is the machine's, whoever brings what."""
    digests = [pair.blob(QUICK) for _ in range(8)]
    async with QuotaWatch(pair.cache) as watch:
        for _ in range(WAVES):
            order = _random.choices(digests, k=DEVICES // WAVES)
            outcomes = await asyncio.gather(*map(pair.pull, order))
            assert {_end(*each) for each in zip(outcomes, order, strict=True)} == {"right"}
    assert watch.most_bytes <= QUOTA
    evicted = [
        sum(int(line["count"]) for line in each.log_lines(event="blobs evicted"))
        for each in pair.facades
    ]
    assert sum(evicted)
    assert not any(each.log_lines(level="error") for each in pair.facades)
    require_right_files(pair.cache)
    fault_report.row(
        "(none) two facades fill one store beyond its quota",
        "whole right answers",
        f"at most {watch.most_bytes / QUOTA:.0%} of it; {evicted[0]} and {evicted[1]} evicted",
    )


async def test_either_dies_and_the_others_devices_notice_nothing(
    pair: Pair, fault_report: FaultReport
) -> None:
    """Whether it is the one that downloads, or the one that reads along."""
    seen: Counter[str] = Counter()
    for number in range(KILLS):
        kills_owner = number % 2 == 0
        digest = pair.blob(PACE)
        pulls = [asyncio.create_task(pair.pull(digest)) for _ in range(DEVICES)]
        await pair.has_come(_random.randrange(PIECE_BYTES, BLOB_BYTES // 2))
        owner = pair.owner()
        [other] = [each for each in pair.facades if each is not owner]
        victim, survivor = (owner, other) if kills_owner else (other, owner)
        victim.child.kill()
        outcomes = await asyncio.gather(*pulls)
        ends = Counter(_end(each, digest) for each in outcomes)
        assert ends["wrong"] == 0
        assert ends["right"] == len(pair.answered(survivor, digest)), ends
        assert not any("abort" in reason for reason in pair.answered(survivor, digest))
        ranges = pair.fetched(digest)
        assert ranges[0] is None
        assert len(ranges) == (2 if kills_owner else 1)
        assert None not in ranges[1:]
        seen += ends
        victim.restart()
    require_right_files(pair.cache)
    fault_report.row(
        f"SIGKILL of one of two facades in mid-download, {KILLS} times",
        f"its own devices: {seen['cut']} cut; the other's: {seen['right']} whole and right",
        "the other took the download over where it had come to",
    )


async def test_either_dies_while_ranges_arrive_and_the_others_are_right(
    pair: Pair, fault_report: FaultReport
) -> None:
    """In any order, beside whole reads, over however many streams the one that dies has."""
    seen: Counter[str] = Counter()
    for number in range(KILLS):
        content = _random.randbytes(BLOB_BYTES)
        digest = pair.upstream.blob(content, get=PACE)
        asked = _random.choices([None, *_spans(BLOB_BYTES, SHARES)], k=DEVICES)
        pulls = [asyncio.create_task(pair.pull(digest, each)) for each in asked]
        await pair.has_come(_random.randrange(PIECE_BYTES, BLOB_BYTES // 2))
        owner = pair.owner()
        [other] = [each for each in pair.facades if each is not owner]
        victim, survivor = (owner, other) if number % 2 == 0 else (other, owner)
        victim.child.kill()
        outcomes = await asyncio.gather(*pulls)
        ends = Counter(
            _range_end(outcome, content, span)
            for outcome, span in zip(outcomes, asked, strict=True)
        )
        assert ends["wrong"] == 0
        assert ends["right"] == len(pair.answered(survivor, digest)) > 0, ends
        assert not any("abort" in reason for reason in pair.answered(survivor, digest))
        seen += ends
        victim.restart()
    require_right_files(pair.cache)
    fault_report.row(
        f"SIGKILL of one of two facades while ranges arrive, {KILLS} times",
        f"its own devices: {seen['cut']} cut; the other's: {seen['right']} right",
        "the other took over what had not come",
    )


async def test_one_that_dies_before_upstream_answered_it_is_not_waited_for(
    pair: Pair, fault_report: FaultReport
) -> None:
    """Nothing was announced yet; who read along asks upstream itself."""
    content = _random.randbytes(BLOB_BYTES)
    digest = pair.upstream.blob(content, get=Stalls(after=None))
    pulls = [asyncio.create_task(pair.pull(digest)) for _ in range(DEVICES)]
    await eventually(lambda: bool(pair.fetched(digest)), BEGIN_SECONDS)
    await asyncio.sleep(TO_JOIN_SECONDS)
    owner = pair.owner()
    pair.upstream.blob(content)
    owner.child.kill()
    async with asyncio.timeout(TAKEN_OVER_SECONDS):
        ends = Counter(_end(each, digest) for each in await asyncio.gather(*pulls))
    [survivor] = [each for each in pair.facades if each is not owner]
    assert ends["wrong"] == 0
    assert ends["right"] == len(pair.answered(survivor, digest)) > 0
    owner.restart()
    fault_report.row(
        "SIGKILL of one of two facades before upstream answered it",
        f"its own devices: {ends['cut']} cut; the other's: {ends['right']} whole and right",
        "the other asked upstream itself",
    )


def _end(outcome: Outcome | None, digest: str) -> str:
    """Return in a word how a pull ended."""
    if outcome is None or outcome.end is not End.WHOLE:
        return "cut"
    return "right" if (outcome.status, outcome.digest) == (200, digest) else "wrong"


def _spans(length: int, count: int) -> list[Span]:
    """Return so many spans that are all of it."""
    places = [length * each // count for each in range(count + 1)]
    return list(pairwise(places))


def _range_end(outcome: Outcome | None, content: bytes, span: Span | None) -> str:
    """Return in a word how a pull of a span ended; None: of the whole."""
    if outcome is None or outcome.end is not End.WHOLE:
        return "cut"
    wanted = content if span is None else content[slice(*span)]
    digest = f"sha256:{hashlib.sha256(wanted).hexdigest()}"
    expected = (200 if span is None else 206, digest)
    return "right" if (outcome.status, outcome.digest) == expected else "wrong"


def _owns(facade: Facade, cache: Path) -> bool:
    """Tell whether a process has the lock of a file that arrives (proc(5), fdinfo)."""
    process = Path(f"/proc/{facade.child.pid}")
    return any(_is_owned(process, link, cache) for link in (process / "fd").iterdir())


def _is_owned(process: Path, link: Path, cache: Path) -> bool:
    """Tell whether a descriptor has the lock; one that is closed meanwhile has not."""
    try:
        if not link.readlink().is_relative_to(cache / "ingest"):
            return False
        return bool(_WRITE_LOCK.search((process / "fdinfo" / link.name).read_text()))
    except FileNotFoundError:
        return False
