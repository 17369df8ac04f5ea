"""Large blocks are mappings of their own, as long as the process lives."""

import subprocess
import sys

PROGRAM = """
import ctypes, re
from pathlib import Path
from facade.process_memory import MAPPED_BYTES, map_large_blocks
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]
def heap():
    (lines,) = re.findall(r"^([0-9a-f]+)-([0-9a-f]+) .*[[]heap[]]$",
        Path("/proc/self/maps").read_text(), re.MULTILINE)
    return [int(each, 16) for each in lines]
assert map_large_blocks()
for _ in range(3):  # by itself the threshold would rise with the first one that is freed
    block = libc.malloc(MAPPED_BYTES)
    begin, end = heap()
    assert not begin <= block < end
    libc.free(block)
"""


def test_large_blocks_stay_out_of_the_heap() -> None:
    """A mapping goes back to the kernel whole; a hole in the heap does not."""
    subprocess.run([sys.executable, "-c", PROGRAM], check=True, timeout=60)
