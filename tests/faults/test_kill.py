"""SIGKILL of the facade at any moment: nothing wrong is found afterwards, and nothing is lost.

Moments are counted in bytes that have come, in milliseconds after the last one, and in touches of
files, which meet what lies between the renames of a commit, an eviction or a start. Whoever is
killed next has the last one's work to take up. A failure names its seed.
"""

import asyncio
import contextlib
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import define, evolve, field, frozen

from deploy.dev.processes import ChildFailedError
from facade.rights.right import FlightKey
from facade.store.layout import Layout
from facade.values.piece import PIECE_BYTES
from shared.approved_connection import approved_connection
from shared.oci import Digest, Kind
from tests.faults.extent import extent
from tests.faults.report import FaultReport
from tests.faults.stored_files import (
    come,
    require_right_files,
    sizes,
    used_bytes,
)
from tests.support.device_stream import End
from tests.support.eventually import eventually
from tests.support.facade_database import FacadeDatabase
from tests.support.facade_process import Device, Facade
from tests.support.facade_states import connect, pull_path
from tests.support.simulators.behaviour import Holds, Slow
from tests.support.simulators.registry import RegistrySimulator
from tests.support.simulators.wire import RecordedRequest
from tests.support.statement_writer import StatementWriter
from tests.system.facade.conftest import StartFacade
from tests.system.facade.pulls import Outcome, outcome_of

KILLS = extent(10, 50)
DEADLY = Path(__file__).parent / "deadly"
LENGTHS = (PIECE_BYTES // 2, 3 * PIECE_BYTES + 1, 6 * PIECE_BYTES)
QUOTA = 16 * PIECE_BYTES  # a few rounds' worth: most rounds evict
PACE = Slow(PIECE_BYTES // 8, 0.01)
MAX_TOUCHES = 30  # of files: 4 for the start, 15 for each blob that comes, 2 for others
MOMENTS = ("bytes", "end", "bytes", "touch", "touch")
BEGIN_SECONDS = 30.0  # for all devices to connect to a busy machine
COMMIT_SECONDS = 0.03  # in which a blob whose last byte has come is committed
DEVICES_A_BLOB = 2


@frozen
class Victim:
    """A blob whose pull was cut, and how much of it had come."""

    path: str
    digest: str
    length: int
    partial_bytes: int = 0


@define
class Rounds:
    """A facade that is killed again and again, on one cache folder."""

    facade: Facade
    device: Device
    upstream: RegistrySimulator
    cache: Path
    access_key: str
    cut: int = 0
    whole: int = 0
    resumed: int = 0
    stored: int = 0
    died_touching: int = 0
    _asked_before: int = 0
    _left: list[Victim] = field(factory=list)  # what nobody has asked the rest of yet
    _digests: dict[str, str] = field(factory=dict)  # of every path that was ever asked

    async def kill_once(self, seed: int) -> None:
        """Start it, have it work, kill it, and look at what is left."""
        how = MOMENTS[seed % len(MOMENTS)]
        chance = random.Random(seed)  # noqa: S311 - any moment will do
        touches = chance.randrange(1, MAX_TOUCHES) if how == "touch" else 0
        await self._kill(chance, how, touches)

    async def kill_at_touch(self, touches: int) -> None:
        """The same, at a touch of a file."""
        await self._kill(random.Random(touches), "touch", touches)  # noqa: S311 - any bytes will do

    async def _kill(self, chance: random.Random, how: str, touches: int) -> None:
        content = chance.randbytes(chance.choice(LENGTHS[1:] if how == "bytes" else LENGTHS))
        holds = Holds(chance.randrange(1, len(content)))
        digest = self.upstream.blob(content, get=holds if how == "bytes" else PACE)
        victim = Victim(pull_path(self.upstream, digest), digest, len(content))
        others = chance.sample(sorted(self._digests), k=min(2, len(self._digests)))
        self._digests[victim.path] = digest
        self._asked_before = len(self.upstream.requests)
        self._start(touches)
        asked = [victim.path] * DEVICES_A_BLOB + others + [left.path for left in self._left]
        async with asyncio.TaskGroup() as group:
            pulls = [group.create_task(_outcome(self.device, each)) for each in asked]
            match how:
                case "bytes":
                    reached = chance.randrange(holds.byte + 1)
                    await eventually(
                        lambda: self._reached(victim) >= reached or self._has_no_room(digest),
                        BEGIN_SECONDS,
                    )
                case "end":
                    await eventually(
                        lambda: pulls[0].done() or self._has_all(digest), BEGIN_SECONDS
                    )
                    await asyncio.sleep(chance.random() * COMMIT_SECONDS)
                case _:
                    await asyncio.wait(pulls)
            self.died_touching += not self.facade.child.running
            self.facade.child.kill()
            holds.gate.set()
            self.upstream.blob(content, get=PACE)
        self._judge(asked, [each.result() for each in pulls])
        self._look(victim)

    def _start(self, touches: int) -> None:
        """Start it, to die at a touch of a file if not 0: while it starts, perhaps."""
        self.facade.environment |= {
            "PYTHONPATH": str(DEADLY),
            "DIES_BELOW": str(self.cache),
            "DIES_AT": str(touches),
        }
        try:
            self.facade.restart()
        except ChildFailedError:
            assert touches, self.facade.child.log_tail
            self.died_touching += 1
            self._start(0)

    def _has_all(self, digest: str) -> bool:
        """Tell whether upstream gave all that it was asked for, and was asked for a blob."""
        all_answered = self.upstream.answered == len(self.upstream.requests)
        return all_answered and bool(self._gets(digest))

    def _has_no_room(self, digest: str) -> bool:
        """Tell whether all that is asked for at once is more than the quota: it is passed on."""
        return bool(self.facade.log_lines(event="not kept", digest=digest, reason="NoRoomError"))

    def _gets(self, digest: str) -> list[RecordedRequest]:
        """Return the GETs of a blob in this round that bore the credential."""
        return [
            request
            for request in self.upstream.requests[self._asked_before :]
            if request.method == "GET" and request.path.endswith(digest)
            if request.header("Authorization")
        ]

    def _judge(self, asked: list[str], outcomes: list[Outcome | None]) -> None:
        """What ended cleanly was right; what did not was seen to be cut."""
        for path, outcome in zip(asked, outcomes, strict=True):
            if outcome is None or outcome.end is not End.WHOLE:
                self.cut += 1
            else:
                assert (outcome.status, outcome.digest) == (200, self._digests[path])
                self.whole += 1
        self._judge_resumptions()

    def _judge_resumptions(self) -> None:
        """What had come was not asked for again."""
        for left in list(self._left):
            gets = self._gets(left.digest)
            if gets and 0 < left.partial_bytes < left.length:
                rest = f"bytes={left.partial_bytes}-{left.length - 1}"
                assert gets[0].header("Range") == rest
                self.resumed += 1
            if gets:
                self._left.remove(left)

    def _look(self, victim: Victim) -> None:
        """Look at what the dead left."""
        self.stored += require_right_files(self.cache)
        assert used_bytes(self.cache) <= QUOTA
        left = [*self._left, victim]
        self._left = [evolve(each, partial_bytes=self._come(each)) for each in left]

    def _reached(self, victim: Victim) -> int:
        """Return how much of a blob has come."""
        return sizes(self._data_of(victim))

    def _come(self, victim: Victim) -> int:
        """Return how much of it has come with its checksums."""
        return sum(come(each, victim.length).count for each in self._data_of(victim))

    def _data_of(self, victim: Victim) -> list[Path]:
        key = FlightKey(self.access_key, Kind.BLOB, Digest.parse(victim.digest))
        return [each / "data" for each in Layout(self.cache).flights(key)]

    @property
    def seen(self) -> tuple[str, str]:
        """What devices saw, and how it recovered."""
        devices = f"{self.cut} pulls cut, {self.whole} whole and right"
        files = f"{self.stored} stored blobs hash, {self.resumed} partials went on"
        return devices, f"{self.died_touching} died between two files; {files}"

    async def recover(self) -> None:
        """Pull everything, undisturbed."""
        self._start(0)
        self._asked_before = len(self.upstream.requests)
        for path, digest in self._digests.items():
            outcome = await outcome_of(self.device, path)
            assert (outcome.status, outcome.end, outcome.digest) == (200, End.WHOLE, digest)
        self._judge_resumptions()
        self.stored += require_right_files(self.cache)
        assert not self.facade.log_lines(status=500)
        assert not self.facade.log_lines(logger="facade.store", level="error")


async def _outcome(device: Device, path: str) -> Outcome | None:
    """Pull from a facade that dies; None where it died before it answered."""
    try:
        return await outcome_of(device, path)
    except (OSError, asyncio.IncompleteReadError):
        return None


@pytest.fixture
async def rounds(
    own_writer: StatementWriter,
    own_database: FacadeDatabase,
    start_facade: StartFacade,
    upstream: RegistrySimulator,
    tmp_path: Path,
) -> Rounds:
    """A facade that is dead already."""
    cache = tmp_path / "cache"
    settings = {"FACADE_CACHE_DIR": str(cache), "FACADE_CACHE_MAX_BYTES": str(QUOTA)}
    facade = start_facade(own_writer, own_database.facade_url, settings)
    approval = await connect(facade, own_writer, upstream)
    facade.child.kill()
    access_key = approved_connection(approval).access_key
    return Rounds(facade, facade.device(), upstream, cache, access_key)


async def test_killed_at_any_moment_nothing_is_wrong_and_nothing_is_lost(
    rounds: Rounds, fault_report: FaultReport
) -> None:
    """Every stored byte hashes, what had come is not asked for again, the next pull is right."""
    for seed in range(KILLS):
        with named(f"seed {seed}"):
            await rounds.kill_once(seed)
    await rounds.recover()
    assert rounds.cut >= KILLS // 2, "the kills came too late to be seen"
    assert rounds.died_touching >= KILLS // 10, "the files were not touched so often"
    assert rounds.resumed >= KILLS // 10, "nothing was left to go on with"
    fault_report.row(f"SIGKILL of the facade, {KILLS} times", *rounds.seen)


@pytest.mark.long
async def test_killed_between_any_two_files_nothing_is_wrong_and_nothing_is_lost(
    rounds: Rounds, fault_report: FaultReport
) -> None:
    """Every gap of a start, a commit and an eviction, one after the other."""
    for touches in range(1, MAX_TOUCHES):
        with named(f"touch {touches}"):
            await rounds.kill_at_touch(touches)
    await rounds.recover()
    assert rounds.died_touching >= MAX_TOUCHES // 2
    fault_report.row("SIGKILL of the facade at every touch of a file", *rounds.seen)


@contextlib.contextmanager
def named(moment: str) -> Iterator[None]:
    """Name the moment in what fails."""
    try:
        yield
    except BaseException as error:
        error.add_note(moment)
        raise
