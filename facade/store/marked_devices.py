"""Which devices were sent ranges of a blob that nobody could verify yet: a line for each.

It lies beside what arrives, so that whoever finds the blob wrong can name them: also those of
another process, and of one that was killed. Everything blocks, and raises `OSError`.
"""

import os
from pathlib import Path
from typing import Final

from attrs import frozen

from facade.store.ingest_file import MARKED
from shared.own_files import open_own

# Named in the log; the others are counted.
MAX_NAMED: Final = 1024
# A device's name may have some hundred bytes. Beyond this, lines are empty, and are only counted.
MAX_NAMES_BYTES: Final = 1024 * 1024
MAX_READ_BYTES: Final = 2 * MAX_NAMES_BYTES


@frozen
class MarkedDevices:
    """Who was sent some of it."""

    named: list[str]
    others: int  # at most so many more


def note_marked(folder: Path, device: str) -> None:
    """Note that a device was sent some of it."""
    descriptor = open_own(folder / MARKED, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        size = os.fstat(descriptor).st_size
        if size < MAX_READ_BYTES:
            name = device.replace("\n", " ") if size < MAX_NAMES_BYTES else ""
            os.write(descriptor, f"{name}\n".encode())
    finally:
        os.close(descriptor)


def read_marked(folder: Path) -> MarkedDevices:
    """Return who was sent some of it."""
    try:
        with (folder / MARKED).open("rb") as file:
            lines = file.read(MAX_READ_BYTES).decode(errors="replace").splitlines()
    except FileNotFoundError:
        return MarkedDevices([], 0)
    names = list(dict.fromkeys(line for line in lines if line))
    return MarkedDevices(names[:MAX_NAMED], len(names[MAX_NAMED:]) + lines.count(""))
