"""What a control plane keeps over its restarts."""

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from attrs import frozen

from control_plane.proof.audit_chain import SeenChain
from control_plane.proof.generations_file import FILE_NAME, GenerationsFile, GenerationsFileError
from control_plane.proof.signed_log import Place
from tests.support.closed_meanwhile import closed_meanwhile

SEEN = SeenChain(Place(3, "aa"), frozenset({"bb"}))


def reopened(folder: Path) -> dict[str, int]:
    """Return what the next process reads."""
    file = GenerationsFile.open(folder)
    try:
        return file.read()
    finally:
        file.close()


def test_what_was_seen_is_there_after_a_restart(tmp_path: Path) -> None:
    """The highest of each subject, in a folder for nobody else."""
    file = GenerationsFile.open(tmp_path / "state")
    assert file.read() == {}
    file.put({"connection/a": 5, "connection/b": 7}, SEEN)
    file.put({"connection/a": 9, "connection/b": 6}, SEEN)
    file.close()
    assert reopened(tmp_path / "state") == {"connection/a": 9, "connection/b": 7}
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "state" / FILE_NAME).stat().st_mode & 0o777 == 0o600


def test_a_folder_that_cannot_be_used_is_told_in_words(tmp_path: Path) -> None:
    """A file in the way, another process, another file of that name."""
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(GenerationsFileError, match="cannot be used: Not a directory"):
        GenerationsFile.open(tmp_path / "file" / "state")
    (tmp_path / FILE_NAME).write_text("no database, but long enough to be looked at as one" * 20)
    with pytest.raises(GenerationsFileError, match="cannot be used: DatabaseError"):
        GenerationsFile.open(tmp_path)
    first = GenerationsFile.open(tmp_path / "taken")
    first.put({"connection/a": 1}, SEEN)
    with pytest.raises(GenerationsFileError, match="another process uses it"):
        GenerationsFile.open(tmp_path / "taken").put({"connection/a": 2}, SEEN)
    first.close()


def test_a_failed_write_leaves_the_file_usable(tmp_path: Path) -> None:
    """What could not be written is written the next time."""
    file = GenerationsFile.open(tmp_path)
    with pytest.raises(GenerationsFileError):
        file.put({"connection/c": 1, b"no text": 2}, SEEN)  # type: ignore[dict-item]  # it has to fail
    file.put({"connection/a": 3}, SEEN)
    file.close()
    assert reopened(tmp_path) == {"connection/a": 3}
    with sqlite3.connect(tmp_path / FILE_NAME) as database:
        assert database.execute("SELECT count(*) FROM generations").fetchone() == (1,)
    database.close()


@frozen
class _Written(Mapping[str, int]):
    """One generation, which is written after something else has happened."""

    _first: Callable[[], None]

    def __getitem__(self, subject: str) -> int:
        return {"connection/a": 3}[subject]

    def __len__(self) -> int:
        return 1

    def __iter__(self) -> Iterator[str]:
        self._first()
        return iter(["connection/a"])


def test_it_is_not_closed_in_the_middle_of_a_write(tmp_path: Path) -> None:
    """At the end nobody waits for the last one; SQLite under its feet would end the process."""
    file = GenerationsFile.open(tmp_path)
    with closed_meanwhile() as begin:

        def close() -> None:
            assert not begin(file.close).done()

        file.put(_Written(close), SEEN)
    assert reopened(tmp_path) == {"connection/a": 3}


def test_where_the_log_ended_is_there_after_a_restart(tmp_path: Path) -> None:
    """And which restores were accepted, all of them."""
    file = GenerationsFile.open(tmp_path)
    assert file.read_chain() == SeenChain()
    for end, restore in ((Place(7, "aa"), "bb"), (Place(5, "cc"), "dd")):
        file.put({}, SeenChain(end, frozenset({restore})))
    file.close()
    file = GenerationsFile.open(tmp_path)
    assert file.read_chain() == SeenChain(Place(5, "cc"), frozenset({"bb", "dd"}))
    file.close()


def test_what_a_version_before_kept_counts(tmp_path: Path) -> None:
    """It kept the log's length among the generations, and no hash."""
    file = GenerationsFile.open(tmp_path)
    file.close()
    with sqlite3.connect(tmp_path / FILE_NAME) as database:
        database.execute("INSERT INTO generations VALUES ('audit', 9), ('operator/a', 5)")
    database.close()
    file = GenerationsFile.open(tmp_path)
    assert file.read_chain() == SeenChain(Place(9, ""))
    assert file.read() == {"operator/a": 5}
    file.close()


def test_a_generation_far_ahead_is_not_read(tmp_path: Path) -> None:
    """A version before kept what it was shown, and nothing newer could follow it."""
    file = GenerationsFile.open(tmp_path)
    file.put({"connection/a": 2**53 - 1, "connection/b": 7}, SEEN)
    assert file.read(100) == {"connection/b": 7}
    file.close()
