"""What keeps the kernel from writing a core, in a process of its own."""

import subprocess
import sys

import pytest

_GET_DUMPABLE = 3  # linux/prctl.h, PR_GET_DUMPABLE
_PROGRAM = f"""
import ctypes, resource
from shared.core_dumps import allow_core_dumps, forbid_core_dumps
hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
{{calls}}
soft, hard_now = resource.getrlimit(resource.RLIMIT_CORE)
assert hard_now == hard
print(ctypes.CDLL(None).prctl({_GET_DUMPABLE}, 0, 0, 0, 0), soft == 0, soft == hard)
"""


@pytest.mark.parametrize(
    "calls, dumpable, limit",
    [
        ("forbid_core_dumps()", "0", "True"),
        ("forbid_core_dumps(); forbid_core_dumps()", "0", "True"),
        ("forbid_core_dumps(); allow_core_dumps()", "1", None),
    ],
)
def test_both_locks(calls: str, dumpable: str, limit: str | None) -> None:
    """One for files, and one for programs that are fed cores."""
    ran = subprocess.run(
        [sys.executable, "-c", _PROGRAM.format(calls=calls)],
        capture_output=True,
        text=True,
        check=True,
    )
    found, is_zero, is_hard = ran.stdout.split()
    assert found == dumpable
    assert is_zero == limit if limit else is_hard == "True"
