"""The disk that fails when it is told to (`tests/support/failing_disk`) fails so, and only then."""

import errno
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import orjson
import pytest

from tests.support.failing_disk.calls import Call
from tests.support.failing_disk.disk import FailingDisk, failing_disk
from tests.support.page_cache import tells_what_is_cached

BYTES: Final = 4096

# Does everything to one file, and prints what failed with what.
TOUCH: Final = """
import json, os, sys
path, failed = sys.argv[1], {}

def attempt(name, work):
    try:
        return work()
    except OSError as error:
        failed[name] = error.errno

attempt("open", lambda: os.close(os.open(path, os.O_RDWR)))
attempt("stat", lambda: os.stat(path))
file = int(sys.argv[2])
half = os.fstat(file).st_size // 2
attempt("pread", lambda: os.pread(file, half, 0))
attempt("pread of the end", lambda: os.pread(file, half, half))
attempt("preadv", lambda: os.preadv(file, [bytearray(half), bytearray(1)], 0))
attempt("preadv, not waiting", lambda: os.preadv(file, [bytearray(1)], 0, os.RWF_NOWAIT))
attempt("pwrite", lambda: os.pwrite(file, b"x", 0))
attempt("pwritev", lambda: os.pwritev(file, [b"x", b"y"], 0))
attempt("fsync", lambda: os.fsync(file))
attempt("fdatasync", lambda: os.fdatasync(file))
attempt("pread of a closed file", lambda: os.pread(999, 1, 0))
attempt("mkdir", lambda: os.mkdir(path + ".folder"))
attempt("rename", lambda: os.rename(path + ".folder", path + ".moved"))
attempt("unlink", lambda: os.unlink(path))
print(json.dumps(failed))
"""
ALWAYS: Final = {"pread of a closed file": errno.EBADF}  # as the kernel says, whatever disk it is
CANNOT_TELL: Final = {"preadv, not waiting": errno.EOPNOTSUPP}  # on tmpfs and overlayfs

# Makes a database.
KEEP: Final = """
import sqlite3, sys
try:
    database = sqlite3.connect(sys.argv[1])
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("CREATE TABLE kept (value)")
except sqlite3.OperationalError as error:
    print(error.sqlite_errorname)
"""


@pytest.fixture
def disk() -> Iterator[FailingDisk]:
    """A disk that does not fail yet."""
    with failing_disk() as disk:
        yield disk


def run(disk: FailingDisk, program: str, path: Path, file: int = 0) -> str:
    """Run a program on the disk, with an open file; return what it prints."""
    command = [*disk.prefix, sys.executable, "-c", program, str(path), str(file)]
    return subprocess.run(
        command, check=True, stdout=subprocess.PIPE, text=True, pass_fds=(file,)
    ).stdout


def failed_on(disk: FailingDisk, path: Path) -> dict[str, int]:
    """Do everything to a new file; return what failed that does not fail on every such disk."""
    path.write_bytes(bytes(BYTES))
    with path.open("r+b") as file:
        failed = dict(orjson.loads(run(disk, TOUCH, path, file.fileno())))
    always = ALWAYS if tells_what_is_cached(path.parent) else ALWAYS | CANNOT_TELL
    assert failed.items() >= ALWAYS.items()
    return dict(failed.items() - always.items())


FAILING: Final = {
    Call.OPEN: ["open"],
    Call.READ: ["pread", "pread of the end", "preadv", "preadv, not waiting"],
    Call.WRITE: ["pwrite", "pwritev"],
    Call.SYNC: ["fsync", "fdatasync"],
    Call.LOOK: ["stat"],
    Call.MAKE_FOLDER: ["mkdir", "rename"],  # there is nothing to rename then
    Call.RENAME: ["rename"],
    Call.REMOVE: ["unlink"],
}


@pytest.mark.parametrize("call", FAILING)
def test_calls_on_a_chosen_file_fail_and_no_others(
    disk: FailingDisk, tmp_path: Path, call: Call
) -> None:
    """Else what a test of a failing disk shows is another fault, or none."""
    expected = dict.fromkeys(FAILING[call], errno.EIO)
    if call is Call.MAKE_FOLDER:
        expected["rename"] = errno.ENOENT
    with disk.failing(call, "*/chosen*") as fault:
        assert failed_on(disk, tmp_path / "chosen") == expected
        struck = fault.struck
        assert struck
        assert failed_on(disk, tmp_path / "other") == {}
        assert fault.struck == struck
    assert failed_on(disk, tmp_path / "chosen2") == {}


def test_a_fault_has_a_place_a_number_of_times_and_an_error(
    disk: FailingDisk, tmp_path: Path
) -> None:
    """A bad sector is one place; a full disk is another error."""
    with disk.failing(Call.READ, "*/chosen1", from_byte=BYTES // 2) as beyond:
        assert failed_on(disk, tmp_path / "chosen1") == {
            "pread of the end": errno.EIO,
            "preadv": errno.EIO,  # into two buffers, of which the second goes beyond
        }
    with disk.failing(Call.SYNC, "*/chosen2", times=1, number=errno.ENOSPC) as first:
        assert failed_on(disk, tmp_path / "chosen2") == {"fsync": errno.ENOSPC}
    with disk.failing(Call.SYNC, "*/chosen3", spared=1) as second:
        assert failed_on(disk, tmp_path / "chosen3") == {"fdatasync": errno.EIO}
    assert [beyond.struck, first.struck, second.struck] == [2, 1, 1]


@pytest.mark.parametrize("call", [Call.READ, Call.WRITE])
def test_sqlite_meets_it(disk: FailingDisk, tmp_path: Path, call: Call) -> None:
    """It is the kernel's answer, whoever asks."""
    path = tmp_path / "index"
    assert run(disk, KEEP, path) == ""
    path.unlink()
    with disk.failing(call, "*/index*") as fault:
        assert run(disk, KEEP, path).startswith("SQLITE_IOERR")
    assert fault.struck
