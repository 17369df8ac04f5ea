"""A file that is replaced is noticed, however it is replaced."""

import os
from pathlib import Path

import pytest

from shared.watched_files import FoundFiles, WatchedFiles

BOUND = 1000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file."""
    path = tmp_path / "file.pem"
    path.write_bytes(b"old")
    path.chmod(0o600)  # else it is told that others may read it
    return path


def watched(path: Path) -> WatchedFiles:
    """Return it, read once."""
    files = WatchedFiles({"SETTING": path}, BOUND)
    assert files.read() == FoundFiles({"SETTING": path.read_bytes()}, {})
    return files


def found(files: WatchedFiles) -> bytes | None:
    """Return what a look finds."""
    read = files.read_if_changed()
    return None if read is None else read.contents.get("SETTING")


def test_a_rename_over_it_is_noticed(path: Path) -> None:
    """Also one that keeps size and time of modification."""
    files, other = watched(path), path.with_name("other")
    other.write_bytes(b"new")
    os.utime(other, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    other.rename(path)
    assert found(files) == b"new"


def test_a_write_in_place_is_noticed(path: Path) -> None:
    """Also right after the look before, with the same size, in the same tick of the clock."""
    files = watched(path)
    for content in (b"abc", b"def", b"ghi"):
        path.write_bytes(content)
        assert found(files) == content


def test_a_link_that_is_swung_over_is_noticed(path: Path, tmp_path: Path) -> None:
    """What counts is the file at the end of it."""
    link, other = tmp_path / "link", tmp_path / "other"
    other.write_bytes(b"other")
    link.symlink_to(path)
    files = watched(link)
    (tmp_path / "new-link").symlink_to(other)
    (tmp_path / "new-link").rename(link)
    assert found(files) == b"other"


def test_a_file_that_is_gone_or_too_long_is_unreadable(path: Path) -> None:
    """And readable again when it is back."""
    files = watched(path)
    path.unlink()
    gone = {"SETTING": "cannot be read: there is no such file"}
    assert files.read_if_changed() == FoundFiles({}, gone)
    path.write_bytes(bytes(BOUND + 1))
    too_long = {"SETTING": f"cannot be read: it is longer than {BOUND} bytes"}
    assert files.read_if_changed() == FoundFiles({}, too_long)
    path.write_bytes(bytes(BOUND))
    assert found(files) == bytes(BOUND)


def test_a_file_that_has_settled_is_not_read_again() -> None:
    """Looking is cheap."""
    settled = Path(os.__file__)  # older than a moment, wherever this runs
    files = WatchedFiles({"SETTING": settled}, 10**6)
    files.read()
    assert files.read_if_changed() is None
