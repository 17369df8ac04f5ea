"""What cannot be written is written later, and until then it is said."""

import asyncio
import gc
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import cast

import attrs
import pytest
from attrs import field, frozen
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from typing_extensions import override

from facade.approvals.remembered_statements import RememberedStatement
from facade.approvals.remembering import MAX_CLOCK_STEP_BACK_SECONDS, Remembering
from facade.approvals.row_change import RowOutcome
from facade.approvals.snapshot import Snapshot
from facade.approvals.state_file import STATE_FILE_NAME, StateFile
from facade.approvals.statement_feed import StatementFeed
from facade.approvals.verified_row import StatementRow, verify_row
from shared.keys import key_id
from shared.postgres.database_url import read_database_url
from shared.statement import MAX_GENERATION
from shared.stopping import end_tasks
from tests.support.eventually import PATIENCE_SECONDS, eventually
from tests.support.statement_writer import StatementWriter

WRITER = StatementWriter("postgresql://nobody@nowhere/none")


@pytest.fixture
def state_file(tmp_path: Path) -> Iterator[StateFile]:
    """An open state file."""
    opened = StateFile.open(tmp_path)
    yield opened
    opened.close()


def add(snapshot: Snapshot, host: str) -> str:
    """Have the snapshot believe an approval; return its subject."""
    key: Ed25519PrivateKey = WRITER.statement_key
    approval = WRITER.approval(host)
    row = StatementRow(approval.subject, WRITER.sign(approval))
    snapshot.apply(verify_row(row, {key_id(key.public_key()): key.public_key()}))
    return approval.subject


def on_disk(folder: Path) -> set[str]:
    """Return the subjects in the file."""
    database = sqlite3.connect(f"file:{folder / STATE_FILE_NAME}?mode=ro", uri=True)
    try:
        return {row[0] for row in database.execute("SELECT subject FROM statements")}
    finally:
        database.close()


async def test_what_could_not_be_written_is_written_with_what_comes_next(
    state_file: StateFile, tmp_path: Path
) -> None:
    """Else a restart would stand on what was replaced."""
    snapshot = Snapshot()
    remembering = Remembering(state_file, snapshot)
    first, second = add(snapshot, "first.example"), add(snapshot, "second.example")
    limit = "PRAGMA max_page_count"
    pages = state_file._database.execute("PRAGMA page_count").fetchone()[0]  # noqa: SLF001 - a disk that is full
    state_file._database.execute(f"{limit} = {pages}")  # noqa: SLF001
    large = [add(snapshot, f"registry-{number}.example") for number in range(100)]
    await remembering.keep([first, *large], None)
    problem = remembering.problem
    assert problem == "the state folder cannot be written: OperationalError"
    state_file._database.execute(f"{limit} = 1000000")  # noqa: SLF001
    await remembering.keep([second], None)
    assert remembering.problem is None
    state_file.close()
    assert on_disk(tmp_path) == {first, second, *large}


class HangingFile:
    """A state file on a disk that does not answer until it is told to."""

    def __init__(self) -> None:
        self.answers = threading.Event()
        self.saved: list[set[str]] = []

    def save(
        self, changed: Iterable[tuple[str, RememberedStatement]], _read_at: int | None
    ) -> None:
        """Write, once the disk answers."""
        assert self.answers.wait(PATIENCE_SECONDS)
        self.saved.append({subject for subject, _ in changed})


async def test_a_disk_that_hangs_is_left_behind_and_caught_up() -> None:
    """A revocation behind it has to be heard."""
    snapshot, hanging = Snapshot(), HangingFile()
    remembering = Remembering(cast(StateFile, hanging), snapshot, save_seconds=0.1)
    first, second = add(snapshot, "first.example"), add(snapshot, "second.example")
    await remembering.keep([first], None)
    assert remembering.problem == "the state folder does not answer"
    await remembering.keep([second], None)  # at once
    assert hanging.saved == []
    hanging.answers.set()

    async def is_caught_up() -> bool:
        await remembering.keep([], int(time.time() * 1000))
        return remembering.problem is None

    await eventually(is_caught_up)
    assert hanging.saved[:2] == [{first}, {first, second}]


@frozen
class LateFile(StateFile):
    """A state file on a disk that writes once it is told to."""

    begun: threading.Event = field(factory=threading.Event)
    goes_on: threading.Event = field(factory=threading.Event)

    @override
    def save(self, changed: Iterable[tuple[str, RememberedStatement]], read_at: int | None) -> None:
        self.begun.set()
        assert self.goes_on.wait(PATIENCE_SECONDS)
        super().save(changed, read_at)


async def test_what_is_being_written_at_the_end_is_written_before_the_file_is_closed(
    tmp_path: Path,
) -> None:
    """Else it fails, and nobody reads that."""
    unread = list[dict[str, object]]()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unread.append(context))
    snapshot, late = Snapshot(), LateFile.open(tmp_path)
    remembering = Remembering(late, snapshot)
    subject = add(snapshot, "last.example")
    keeping = asyncio.create_task(remembering.keep([subject], None))
    await asyncio.to_thread(late.begun.wait, PATIENCE_SECONDS)
    await end_tasks(keeping)
    closing = asyncio.create_task(remembering.close())
    asyncio.get_running_loop().call_later(0.2, late.goes_on.set)
    await closing
    assert on_disk(tmp_path) == {subject}
    del remembering, keeping, closing
    gc.collect()
    assert unread == []


async def test_batches_are_everything_once(state_file: StateFile) -> None:
    """Whatever their number is."""
    snapshot = Snapshot()
    remembering = Remembering(state_file, snapshot)
    subjects = [add(snapshot, f"registry-{number}.example") for number in range(401)]
    await remembering.keep(subjects, None)
    read = [[each.row.subject for each in batch] async for batch in remembering.batches()]
    assert [len(batch) for batch in read] == [200, 200, 1]
    assert sorted(subject for batch in read for subject in batch) == sorted(subjects)


@pytest.mark.parametrize(
    "seconds_ago,known",
    [(100, True), (-10, True), (-MAX_CLOCK_STEP_BACK_SECONDS - 60, False)],
)
async def test_a_clock_that_was_set_back_says_nothing(
    state_file: StateFile, seconds_ago: float, *, known: bool
) -> None:
    """An age that cannot be told is no young age."""
    remembering = Remembering(state_file, Snapshot())
    assert await remembering.age_seconds() is None
    await remembering.keep([], int((time.time() - seconds_ago) * 1000))
    age = await remembering.age_seconds()
    assert (age is not None) == known
    assert age is None or age >= max(0, seconds_ago)


async def test_a_generation_far_ahead_that_a_version_before_kept_is_forgotten(
    state_file: StateFile,
) -> None:
    """Nothing newer could be taken; until something is, the subject is not served."""
    key = WRITER.statement_key
    public_keys = {key_id(key.public_key()): key.public_key()}
    ahead = attrs.evolve(WRITER.approval("ahead.example"), generation=MAX_GENERATION)
    kept = WRITER.approval("kept.example")
    for each in (ahead, kept):
        known = RememberedStatement(WRITER.sign(each), each.generation)
        state_file.save([(each.subject, known)], None)
    snapshot = Snapshot()
    nowhere = read_database_url("postgresql://nobody@127.0.0.1:9/none")
    feed = StatementFeed(
        nowhere, public_keys, snapshot, Remembering(state_file, snapshot), 15.0, lambda _: None
    )
    await feed.restore()
    assert snapshot.serving(kept.subject) is not None
    assert snapshot.serving(ahead.subject) is None
    today = attrs.evolve(ahead, generation=WRITER.generation())
    row = StatementRow(ahead.subject, WRITER.sign(today))
    assert snapshot.apply(verify_row(row, public_keys)).outcome is RowOutcome.ACCEPTED
    assert snapshot.serving(ahead.subject) is not None
