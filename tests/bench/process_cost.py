"""What a process and its children cost, as Linux tells it: CPU seconds and resident bytes."""

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")  # 100 on Linux: a measure must last for many of them
_FIRST_TIME_FIELD = 11  # utime, stime, cutime, cstime: fields 14 to 17 of proc(5), two of them cut
_RSS = re.compile(r"^Rss:\s+([0-9]+) kB$", re.MULTILINE)


def cpu_seconds(pids: Iterable[int]) -> float:
    """CPU time of the processes and all under them, ended and waited-for children included."""
    return sum(_ticks(each) for pid in pids for each in tree(pid)) / TICKS_PER_SECOND


def resident_bytes(pids: Iterable[int]) -> int:
    """Resident memory of the processes and all under them; a shared page counts for each."""
    return sum(_resident(each) for pid in pids for each in tree(pid))


def open_sockets(pids: Iterable[int]) -> int:
    """How many sockets they hold, all of them: what they listen on and ask upstream by too."""
    folders = (Path(f"/proc/{each}/fd") for pid in pids for each in tree(pid))
    return sum(path.is_socket() for folder in folders for path in folder.iterdir())


def tree(pid: int) -> Iterator[int]:
    """The process, its children, theirs, and so on."""
    yield pid
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in children.read_text().split():
            yield from tree(int(child))


def _ticks(pid: int) -> int:
    # The name, in parentheses, may hold spaces and parentheses: fields are counted after it.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return sum(map(int, fields[_FIRST_TIME_FIELD : _FIRST_TIME_FIELD + 4]))


def _resident(pid: int) -> int:
    found = _RSS.search(Path(f"/proc/{pid}/smaps_rollup").read_text())
    if found is None:
        raise ProcessLookupError(pid)  # a process that is ending has no memory any more
    return int(found[1]) * 1024
