"""A process's memory, as Linux tells it."""

import os
import re
from pathlib import Path

from attrs import frozen

MIB = 1024 * 1024

_LINE = re.compile(r"^(VmRSS|VmHWM):\s+([0-9]+) kB$", re.MULTILINE)


@frozen
class Memory:
    """Resident bytes: now, and the most that there ever were."""

    now: int
    peak: int

    @classmethod
    def of(cls, pid: int) -> "Memory":
        """Read them from /proc (proc(5))."""
        status = Path(f"/proc/{pid}/status").read_text()
        sizes = {name: int(kilobytes) * 1024 for name, kilobytes in _LINE.findall(status)}
        return cls(sizes["VmRSS"], sizes["VmHWM"])

    @classmethod
    def of_this_process(cls) -> "Memory":
        """Read those of this one."""
        return cls.of(os.getpid())
