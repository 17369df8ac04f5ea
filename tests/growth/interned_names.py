"""What names of blobs leave in the heap, in a process of its own that does as a facade does.

    python -m tests.growth.interned_names --count N [--as-glibc-does]

Threads make paths of so many blobs in turns, as those of a store do, and keep none. A line says how
many bytes of memory the process had before and has now: `{"before": 41943040, "now": 42094592}`.
"""

import argparse
import json
import queue
import sys
import threading
from pathlib import Path
from typing import Final

from facade.loop.large_blocks import give_large_blocks_back
from facade.store.layout import Layout
from shared.oci import Digest
from tests.support.memory import Memory

THREADS: Final = 8
IN_A_TURN: Final = 60_000  # beyond what fits into Python's table before it is copied
KEPT: Final = 36_000  # names that stay, about as many as a facade's modules have
WARM_UP: Final = IN_A_TURN * 2


def _name_blobs(first: int, count: int) -> None:
    layout = Layout(Path("/nowhere"))
    for number in range(first, first + count):
        layout.blob(Digest("sha256", f"{number:064x}"))


def _worker(turns: "queue.Queue[int | None]", done: "queue.Queue[None]") -> None:
    while (first := turns.get()) is not None:
        _name_blobs(first, IN_A_TURN)
        done.put(None)


def measure(count: int) -> tuple[int, int]:
    """Return the process's bytes before and after so many blobs are named."""
    kept = [sys.intern(f"a name of a module {number}") for number in range(KEPT)]
    done = queue.Queue[None]()
    turns = [queue.Queue[int | None]() for _ in range(THREADS)]
    threads = [threading.Thread(target=_worker, args=(each, done)) for each in turns]
    for thread in threads:
        thread.start()
    _name_blobs(0, WARM_UP)
    before = Memory.of_this_process().now
    for turn, first in enumerate(range(WARM_UP, WARM_UP + count, IN_A_TURN)):
        turns[turn % THREADS].put(first)
        done.get()
    now = Memory.of_this_process().now
    for each in turns:
        each.put(None)
    for thread in threads:
        thread.join()
    assert len(kept) == KEPT
    return before, now


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", required=True, type=int)
    parser.add_argument("--as-glibc-does", action="store_true")
    called = parser.parse_args()
    if not called.as_glibc_does:
        give_large_blocks_back()
    before, now = measure(called.count)
    sys.stdout.write(json.dumps({"before": before, "now": now}) + "\n")


if __name__ == "__main__":
    main()
