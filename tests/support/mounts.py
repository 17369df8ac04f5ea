"""File systems of a test's own: small ones that fill up, and folders that become read-only.

It needs root (CAP_SYS_ADMIN), as in a container of CI; without it these tests fail and say so.
"""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[Path]:
    """Give a folder as an empty file system of so many bytes, in memory."""
    folder.mkdir()
    _mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder)
    try:
        yield folder
    finally:
        _unmount(folder)


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Have every path below a folder be read-only; what is open already is as it was."""
    _mount("--bind", folder, folder)
    try:
        _mount("-o", "remount,bind,ro", folder)
        yield
    finally:
        _unmount(folder)


@contextmanager
def without_programs(folder: Path) -> Iterator[None]:
    """Make a folder from which no program can be run."""
    folder.mkdir()
    _mount("-t", "tmpfs", "-o", "noexec", "tmpfs", folder)
    try:
        yield
    finally:
        _unmount(folder)


def _mount(*arguments: str | Path) -> None:
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"tests that fill disks have to mount, as root: {done.stderr}"


def _unmount(folder: Path) -> None:
    subprocess.run(["umount", "--lazy", folder], check=True)  # a killed facade may still have it
