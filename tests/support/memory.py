"""A process's memory, as Linux tells it.

`status` is told by counters of each processor, which Linux adds up only roughly from 6.2 on, and no
longer in the newest: with 64 processors it may be off by 32 MiB. For `smaps_rollup` it looks at
each page, so that is right. Of a peak only `status` tells.
"""

import os
import re
from pathlib import Path

from attrs import frozen

MIB = 1024 * 1024

_LINE = re.compile(r"^(VmRSS|VmHWM|Rss):\s+([0-9]+) kB$", re.MULTILINE)


@frozen
class Memory:
    """Resident bytes: now, and the most that there ever were."""

    now: int
    peak: int

    @classmethod
    def of(cls, pid: int) -> "Memory":
        """Read them from /proc (proc(5)); raise `OSError` or `KeyError` of one that has ended."""
        sizes = _sizes(Path(f"/proc/{pid}/status"))
        try:
            now = _sizes(Path(f"/proc/{pid}/smaps_rollup"))["Rss"]
        except PermissionError:  # of a process that may not be looked into
            now = sizes["VmRSS"]
        return cls(now, sizes["VmHWM"])

    @classmethod
    def of_this_process(cls) -> "Memory":
        """Read those of this one."""
        return cls.of(os.getpid())


def _sizes(page: Path) -> dict[str, int]:
    """Return the sizes on a page of /proc, by name, in bytes."""
    return {name: int(kilobytes) * 1024 for name, kilobytes in _LINE.findall(page.read_text())}
