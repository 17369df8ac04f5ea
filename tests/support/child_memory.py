"""The most memory that a command of the control plane held at once, by the kernel's own account."""

import asyncio
import subprocess
import sys
from collections.abc import Mapping
from typing import Final

from deploy.dev.product import whole_environment

# The program itself says at its end how much it held. `getrusage` would include the parent that it
# was forked from.
_TELLING: Final = """
import atexit, sys
from pathlib import Path
from control_plane.cli import main
atexit.register(lambda: sys.stderr.write(Path("/proc/self/status").read_text()))
main()
"""
_PEAK: Final = "VmHWM:"  # proc(5), in kB


async def peak_bytes(settings: Mapping[str, str], *arguments: str) -> tuple[int, bytes]:
    """Run a command, which must succeed; return its peak and what it printed."""
    return await asyncio.to_thread(_peak, settings, *arguments)


def _peak(settings: Mapping[str, str], *arguments: str) -> tuple[int, bytes]:
    ran = subprocess.run(
        [sys.executable, "-c", _TELLING, *arguments],
        env=whole_environment(settings),
        capture_output=True,
        check=False,
    )
    words = ran.stderr.decode()
    assert ran.returncode == 0, words
    (line,) = (line for line in words.splitlines() if line.startswith(_PEAK))
    return int(line.split()[1]) * 1024, ran.stdout
