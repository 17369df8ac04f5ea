"""Whatever lies at a path: what is read of it is bounded in bytes and in time."""

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from shared.bounded_file import (
    TooLongFileError,
    UnusableFileError,
    read_bounded,
    require_file,
)
from shared.watched_files import WatchedFiles

AT_MOST = 1000
SECONDS = 0.05


def sparse(path: Path) -> None:
    """A file of 1 TiB that takes no place on the disk."""
    with path.open("wb") as file:
        file.truncate(2**40)


def linked_to_itself(path: Path) -> None:
    """A link in a circle."""
    path.symlink_to(path)


def endless(path: Path) -> None:
    """A device that gives zeros without an end."""
    path.symlink_to("/dev/zero")


WRONG: dict[str, tuple[Callable[[Path], object], type[OSError]]] = {
    "nothing": (lambda _: None, FileNotFoundError),
    "folder": (Path.mkdir, UnusableFileError),
    "long": (sparse, TooLongFileError),
    "circle": (linked_to_itself, OSError),
    "device": (endless, UnusableFileError),
    "pipe that nobody writes to": (os.mkfifo, UnusableFileError),
}


@pytest.mark.parametrize("make, error", WRONG.values(), ids=WRONG)
def test_what_is_no_file_of_that_length_is_refused(
    tmp_path: Path, make: Callable[[Path], object], error: type[OSError]
) -> None:
    """And nobody waits for it: a named pipe kept both processes from starting, for ever."""
    path = tmp_path / "file"
    make(path)
    with pytest.raises(error):
        read_bounded(path, AT_MOST, pipe_seconds=SECONDS)
    with pytest.raises(error):
        require_file(path, AT_MOST)
    found = WatchedFiles({"SETTING": path}, AT_MOST).read()
    assert found.unreadable.keys() == {"SETTING"}
    assert not found.contents


@pytest.mark.parametrize("length", [0, 1, AT_MOST])
def test_a_file_is_read_whole(tmp_path: Path, length: int) -> None:
    """Up to the bound."""
    path = tmp_path / "file"
    path.write_bytes(bytes(length))
    assert read_bounded(path, AT_MOST) == bytes(length)
    require_file(path, AT_MOST)


def test_a_pipe_is_read_to_its_end(tmp_path: Path) -> None:
    """A shell gives a secret so: `NAME_FILE=<(...)`."""
    path = tmp_path / "pipe"
    os.mkfifo(path)

    def write() -> None:
        with path.open("wb", buffering=0) as pipe:
            for part in (b"a", b"b" * 100, b"c"):
                pipe.write(part)

    writing = threading.Thread(target=write)
    writing.start()
    assert read_bounded(path, AT_MOST) == b"a" + b"b" * 100 + b"c"
    writing.join()


def test_a_pipe_that_says_too_much_or_falls_silent_is_refused(tmp_path: Path) -> None:
    """It may be anybody's."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    both_ends = os.open(path, os.O_RDWR)
    try:
        os.write(both_ends, bytes(AT_MOST))
        with pytest.raises(UnusableFileError):
            read_bounded(path, AT_MOST, pipe_seconds=SECONDS)
        os.write(both_ends, bytes(AT_MOST + 1))
        with pytest.raises(TooLongFileError):
            read_bounded(path, AT_MOST, pipe_seconds=SECONDS)
    finally:
        os.close(both_ends)
