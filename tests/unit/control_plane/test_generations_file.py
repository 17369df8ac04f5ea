"""What a control plane keeps over its restarts."""

import sqlite3
from pathlib import Path

import pytest

from control_plane.belief import HighestGenerations
from control_plane.generations_file import FILE_NAME, GenerationsFile, GenerationsFileError


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
    file.put({"connection/a": 5, "connection/b": 7})
    file.put({"connection/a": 9, "connection/b": 6})
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
    first.put({"connection/a": 1})
    with pytest.raises(GenerationsFileError, match="another process uses it"):
        GenerationsFile.open(tmp_path / "taken").put({"connection/a": 2})
    first.close()


def test_a_failed_write_leaves_the_file_usable(tmp_path: Path) -> None:
    """What could not be written is written the next time."""
    file = GenerationsFile.open(tmp_path)
    with pytest.raises(GenerationsFileError):
        file.put({"connection/c": 1, b"no text": 2})  # type: ignore[dict-item]  # it has to fail
    file.put({"connection/a": 3})
    file.close()
    assert reopened(tmp_path) == {"connection/a": 3}
    with sqlite3.connect(tmp_path / FILE_NAME) as database:
        assert database.execute("SELECT count(*) FROM generations").fetchone() == (1,)
    database.close()


def test_what_processes_before_saw_is_believed_about_nothing() -> None:
    """A database that was restored on purpose goes on; a new generation is above all before."""
    highest = HighestGenerations({"connection/a": 5})
    assert (highest.of("connection/a"), highest.ever("connection/a")) == (0, 5)
    highest.remember("connection/a", 4)
    assert (highest.of("connection/a"), highest.ever("connection/a")) == (4, 5)
    assert highest.take_changes() == {}
    highest.remember("connection/a", 6)
    highest.remember("connection/b", 1)
    assert highest.take_changes() == {"connection/a": 6, "connection/b": 1}
    assert highest.take_changes() == {}
    assert highest.everything() == {"connection/a": 6, "connection/b": 1}
    assert highest.copy().ever("connection/a") == 6
