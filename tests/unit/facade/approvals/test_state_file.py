"""The state folder: what was saved is there, whole, whenever and however the process ends."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from facade.approvals.remembered_statements import RememberedStatement
from facade.approvals.state_file import STATE_FILE_NAME, StateFile, StateFileError, StateRow
from facade.approvals.verified_row import StatementRow
from shared.statement import StoredStatement
from tests.support.closed_meanwhile import closed_meanwhile

SUBJECT = "connection/00000000-0000-0000-0000-000000000001"
KILLS = 8

# Saves two subjects in one transaction, for ever; tells each number that is safely on disk.
WRITER = """
import sys
from pathlib import Path
from facade.approvals.remembered_statements import RememberedStatement
from facade.approvals.state_file import StateFile
from shared.statement import StoredStatement

state = StateFile.open(Path(sys.argv[1]))
number = max((row.generation for row in state.rows()), default=0)
while True:
    number += 1
    payload = str(number).encode() * 5000
    known = RememberedStatement(StoredStatement("t", "k", payload, b"s"), number)
    state.save([("first", known), ("second", known)], number)
    print(number, flush=True)
"""


def remembered(generation: int, *, withdrawn: bool = False) -> RememberedStatement:
    """Return something to save."""
    stored = StoredStatement("type/1", "key", b"payload \0 \xff", bytes(range(64)))
    return RememberedStatement(stored, generation, withdrawn=withdrawn)


def test_what_was_saved_is_read_back(tmp_path: Path) -> None:
    """Byte for byte, the highest generations and the withdrawn included."""
    state = StateFile.open(tmp_path / "state")
    assert (list(state.rows()), state.last_read_milliseconds()) == ([], None)
    state.save([(SUBJECT, remembered(1)), ("device/x", remembered(2**53, withdrawn=True))], 1234)
    state.save([(SUBJECT, remembered(2))], None)
    state.close()
    state = StateFile.open(tmp_path / "state")
    assert {row.row.subject: row for row in state.rows()} == {
        SUBJECT: StateRow(StatementRow(SUBJECT, remembered(2).stored), 2, withdrawn=False),
        "device/x": StateRow(StatementRow("device/x", remembered(1).stored), 2**53, withdrawn=True),
    }
    assert state.last_read_milliseconds() == 1234
    state.close()


def test_the_folder_and_its_files_are_for_the_owner_alone(tmp_path: Path) -> None:
    """Also a folder that others could read, and whatever the umask."""
    folder = tmp_path / "deep" / "state"
    folder.mkdir(parents=True, mode=0o755)
    before = os.umask(0)
    try:
        state = StateFile.open(folder)
        state.save([(SUBJECT, remembered(1))], 1)
        assert folder.stat().st_mode & 0o777 == 0o700
        for file in folder.iterdir():
            assert file.stat().st_mode & 0o777 == 0o600, file.name
        state.close()
    finally:
        os.umask(before)


def test_a_second_process_is_told_so_and_may_come_later(tmp_path: Path) -> None:
    """Two would overwrite one another's highest generations."""
    first = StateFile.open(tmp_path)
    with pytest.raises(StateFileError, match="FACADE_STATE_DIR: another facade uses this folder"):
        StateFile.open(tmp_path)
    first.save([(SUBJECT, remembered(1))], None)
    first.close()
    StateFile.open(tmp_path).close()


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    """It is not made anew: what it had would be forgotten."""
    (tmp_path / STATE_FILE_NAME).write_bytes(b"something else entirely " * 100)
    with pytest.raises(StateFileError, match="FACADE_STATE_DIR"):
        StateFile.open(tmp_path)
    assert (tmp_path / STATE_FILE_NAME).read_bytes().startswith(b"something else")


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    """With the reason."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StateFileError, match=r"FACADE_STATE_DIR: .*Not a directory"):
        StateFile.open(tmp_path / "file" / "state")


def test_a_damaged_page_is_refused_and_not_skipped(tmp_path: Path) -> None:
    """A subject that is silently missing would be one whose old statements are believed."""
    state = StateFile.open(tmp_path)
    state.save([(f"connection/{number}", remembered(number)) for number in range(1, 400)], 1)
    state.close()
    file = tmp_path / STATE_FILE_NAME
    content = bytearray(file.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 4096] = b"\xa5" * 4096
    file.write_bytes(content)

    def read() -> None:
        damaged = StateFile.open(tmp_path)
        try:
            list(damaged.rows())
        finally:
            damaged.close()

    with pytest.raises(StateFileError, match="FACADE_STATE_DIR"):
        read()


def test_a_save_that_fails_changes_nothing(tmp_path: Path) -> None:
    """All rows of a change, or none."""
    state = StateFile.open(tmp_path)
    state.save([(SUBJECT, remembered(1))], 1)
    broken = RememberedStatement(StoredStatement("t", "k", None, b"s"), 3)  # type: ignore[arg-type]  # what the schema refuses
    with pytest.raises(sqlite3.Error):
        state.save([(SUBJECT, remembered(2)), ("device/x", broken)], 2)
    (row,) = state.rows()
    assert (row.generation, state.last_read_milliseconds()) == (1, 1)
    state.save([(SUBJECT, remembered(3))], 3)
    assert [row.generation for row in state.rows()] == [3]
    state.close()


def test_it_is_not_closed_in_the_middle_of_a_save(tmp_path: Path) -> None:
    """At the end nobody waits for the last save; SQLite under its feet would end the process."""
    state = StateFile.open(tmp_path)
    with closed_meanwhile() as begin:

        def changed() -> Iterator[tuple[str, RememberedStatement]]:
            assert not begin(state.close).done()
            yield SUBJECT, remembered(1)

        state.save(changed(), 7)
    again = StateFile.open(tmp_path)
    assert ([row.generation for row in again.rows()], again.last_read_milliseconds()) == ([1], 7)
    again.close()


def test_a_kill_at_any_moment_loses_nothing_that_was_saved(tmp_path: Path) -> None:
    """Both rows of a transaction are there, of one number, and never of an older one."""
    moments = random.Random(7)  # noqa: S311 - the same moments at each run
    told = 0
    for _ in range(KILLS):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        with process, process.stdout:
            told = int(process.stdout.readline())
            time.sleep(moments.uniform(0, 0.05))
            process.send_signal(signal.SIGKILL)
            told = max([told, *map(int, process.stdout.read().split())])
        state = StateFile.open(tmp_path)
        rows = {row.row.subject: row for row in state.rows()}
        last_read = state.last_read_milliseconds()
        state.close()
        assert rows.keys() == {"first", "second"}
        generation = rows["first"].generation
        assert rows["second"].generation == last_read == generation
        assert generation >= told
        assert rows["first"].row.stored.payload == str(generation).encode() * 5000


@pytest.mark.parametrize(
    "values",
    [
        "('device/a', 't', 'k', 'text', x'00', 1, 0)",
        "(NULL, 't', 'k', x'00', x'00', 1, 0)",
        "('device/a', 't', 'k', x'00', x'00', 'many', 0)",
        "('device/a', 't', 'k', zeroblob(300000), x'00', 1, 0)",
        "('device/a', hex(zeroblob(100)), 'k', x'00', x'00', 1, 0)",
    ],
)
def test_rows_of_another_form_are_a_damaged_file(tmp_path: Path, values: str) -> None:
    """They ended the process with a traceback, at each start."""
    folder = tmp_path / "state"
    folder.mkdir(mode=0o700)
    made = sqlite3.connect(folder / STATE_FILE_NAME)
    made.execute(
        "CREATE TABLE statements (subject, type, key_id, payload, signature, generation, withdrawn)"
    )
    made.execute(f"INSERT INTO statements VALUES {values}")
    made.commit()
    made.close()
    (folder / STATE_FILE_NAME).chmod(0o600)
    opened = StateFile.open(folder)
    try:
        with pytest.raises(StateFileError, match="another form"):
            list(opened.rows())
    finally:
        opened.close()
