"""What partials take at most is never less than what they take, whatever begins and ends."""

import random
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest
from attrs import define, field
from hypothesis import given, settings
from hypothesis import strategies as st

from facade.store.claim_count import FEW_PARTIALS, USED_SECONDS_EACH, ClaimCount, used_seconds
from facade.store.ingest_file import OwnedIngest
from facade.store.partials import Partials
from shared.oci import RepositoryName
from tests.support.clock import Clock

APP: Final = RepositoryName.parse("team/app")
LENGTH: Final = 100_000
KEYS: Final = ("a" * 64, "b" * 64)
FOLDERS: Final = 5


@define
class Machine:
    """Two processes on one folder: each grants, and what one has begun the other may take over."""

    folder: Path
    clock: Clock = field(factory=Clock)
    counts: list[ClaimCount] = field(init=False)
    arriving: dict[str, OwnedIngest] = field(factory=dict)

    def __attrs_post_init__(self) -> None:
        """Start both."""
        (self.folder / "ingest").mkdir()
        self.counts = [self.count(few=0) for _ in range(2)]

    def count(self, few: int) -> ClaimCount:
        """Return the count of another process."""
        partials = Partials(self.folder / "ingest")
        return ClaimCount(partials, self.folder / "granted", self.clock, few)

    def grant(self, process: int, name: str, length: int) -> None:
        """Have a blob begin, or go on: room is granted, and then announced.

        Its name says of which connection it is. The third one's first owner, of an earlier version,
        did not announce it.
        """
        is_named = name != "2" or (self.folder / "ingest" / name).exists()
        key = KEYS[int(name) % 2] if is_named else None
        if name not in self.arriving:
            taken = OwnedIngest.acquire(self.folder / "ingest" / name)
            assert taken is not None
            self.arriving[name] = taken
            self.holds()  # what its dead owner was granted counts again until the next line
            for _ in taken.left():
                pass
            taken.claim(taken.allocated)
        ingest = self.arriving[name]
        room = ingest.announced.room if ingest.announced else ingest.allocated
        self.counts[process].note_granted(length)
        ingest.announce(LENGTH, APP, room=room + length, access_key=key)

    def write(self, name: str) -> None:
        """Have some of it come, for which there is room."""
        ingest = self.arriving.get(name)
        if ingest is not None and ingest.announced is not None:
            left = ingest.announced.room - ingest.size
            ingest.append([bytes(max(0, left // 2))])

    def end(self, name: str, *, is_left: bool) -> None:
        """Have it be left as it is, or given up."""
        ingest = self.arriving.pop(name, None)
        if ingest is not None:
            ingest.release() if is_left else ingest.discard()

    def holds(self) -> None:
        """Compare what each process believes with what is there."""
        claims = Partials(self.folder / "ingest").claims()
        for count in self.counts:
            for key in KEYS:
                most = count.at_most(key)
                if most is not None:
                    assert most.by_all >= sum(each.size for each in claims)
                    own = [each for each in claims if each.access_key == key]
                    assert most.by_connection >= sum(each.size for each in own)


@contextmanager
def a_machine() -> Iterator[Machine]:
    """Give one; let go of all it has."""
    with tempfile.TemporaryDirectory() as folder:
        machine = Machine(Path(folder))
        try:
            yield machine
        finally:
            for ingest in machine.arriving.values():
                ingest.discard()


@settings(max_examples=60)
@given(st.randoms(use_true_random=False))
def test_it_is_never_too_little(chance: random.Random) -> None:
    """Of two processes, while blobs begin, come, are left, taken over, and given up."""
    with a_machine() as machine:
        for _ in range(25):
            name, process = f"{chance.randrange(FOLDERS)}", chance.randrange(2)
            match chance.randrange(6):
                case 0 | 1:
                    machine.grant(process, name, chance.randrange(1, 9_000))
                case 2:
                    machine.write(name)
                case 3:
                    machine.end(name, is_left=chance.random() < 0.7)
                case 4:
                    machine.counts[process].exactly()
                case _:
                    machine.clock.advance(USED_SECONDS_EACH)
            machine.holds()


def test_what_another_process_granted_is_known_at_once() -> None:
    """Although nobody has looked at it."""
    with a_machine() as machine:
        machine.grant(0, "0", 100)
        machine.counts[0].exactly()
        machine.grant(1, "1", 30)
        taken = machine.counts[0].at_most(KEYS[0])
        assert taken is not None
        assert (taken.by_all, taken.by_connection) == (130, 130)
        machine.counts[0].exactly()
        taken = machine.counts[0].at_most(KEYS[0])
        assert taken is not None
        assert (taken.by_all, taken.by_connection) == (130, 100)


def test_a_count_is_used_for_twenty_times_what_it_took() -> None:
    """Then partials are looked at again."""
    with a_machine() as machine:
        machine.grant(0, "0", 100)
        machine.counts[0].exactly()
        machine.clock.advance(USED_SECONDS_EACH * 0.9)
        assert machine.counts[0].at_most(None) is not None
        machine.clock.advance(USED_SECONDS_EACH * 0.2)
        assert machine.counts[0].at_most(None) is None


@pytest.mark.parametrize("partials,is_used", [(0, False), (FEW_PARTIALS, False), (65, True)])
def test_few_are_looked_at_each_time(partials: int, is_used: bool) -> None:  # noqa: FBT001
    """So that a small store is exact."""
    assert (used_seconds(partials) > 0) == is_used


def test_a_total_that_wraps_goes_on(tmp_path: Path) -> None:
    """Whatever somebody has written there."""
    (tmp_path / "granted").write_bytes(b"\xff" * 8)
    (tmp_path / "granted").chmod(0o600)
    (tmp_path / "ingest").mkdir()
    count = ClaimCount(Partials(tmp_path / "ingest"), tmp_path / "granted", Clock(), few=-1)
    count.exactly()
    assert count.at_most(None) is None  # nothing is there, so nothing took any time
    count.note_granted(7)
    assert (tmp_path / "granted").read_bytes() == (6).to_bytes(8)
