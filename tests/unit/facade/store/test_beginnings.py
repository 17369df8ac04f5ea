"""One of all that begin to bring a blob does, in whatever process."""

import hashlib
import subprocess
import sys
from pathlib import Path

from facade.store.beginnings import BeginningLock, is_begun

NAME, OTHER = (f"{hashlib.sha256(text).hexdigest()}-0" for text in (b"one", b"other"))
TAKES_IT = (
    "import pathlib, sys; from facade.store.beginnings import BeginningLock;"
    "print(BeginningLock.take(pathlib.Path(sys.argv[1]), sys.argv[2]) is not None)"
)


def test_one_at_a_time_begins_and_others_are_told(tmp_path: Path) -> None:
    """Also within a process; and another blob is another matter."""
    file = tmp_path / "beginnings"
    assert not is_begun(file, NAME)
    first = BeginningLock.take(file, NAME)
    assert first is not None
    assert BeginningLock.take(file, NAME) is None
    assert is_begun(file, NAME)
    assert not is_begun(file, OTHER)
    other = BeginningLock.take(file, OTHER)
    assert other is not None
    other.let_go()
    assert is_begun(file, NAME)
    first.let_go()
    assert not is_begun(file, NAME)
    again = BeginningLock.take(file, NAME)
    assert again is not None
    again.let_go()


def test_repositories_of_a_blob_begin_beside_each_other(tmp_path: Path) -> None:
    """The second of two that began in the same instant waited, and looked again after 20 ms."""
    file, key = tmp_path / "beginnings", hashlib.sha256(b"blob").hexdigest()
    one = BeginningLock.take(file, f"{key}-{1:016x}")
    other = BeginningLock.take(file, f"{key}-{2:016x}")
    assert one is not None
    assert other is not None
    one.let_go()
    other.let_go()


def test_it_ends_with_its_process(tmp_path: Path) -> None:
    """Whatever ends that: nothing has to be cleaned up."""
    file = tmp_path / "beginnings"
    command = [sys.executable, "-c", TAKES_IT, str(file), NAME]
    taken = subprocess.run(command, check=True, capture_output=True, text=True)
    assert taken.stdout == "True\n"
    assert not is_begun(file, NAME)
