"""Files that are read again after a change, however they are replaced.

A file may be written in place, be renamed over, or lie behind a symbolic link that is pointed
elsewhere (as Kubernetes does with the folder of a Secret). All of that shows in what `stat` says of
the path.
"""

import os
import stat
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from attrs import define, field, frozen

from shared.bounded_file import read_bounded
from shared.unreadable_file import why_unreadable

# A second write within one tick of the file system's clock leaves no trace. So a file that is this
# young is read again the next time.
SETTLED_SECONDS: Final = 2.0

Stamp = tuple[int, int, int, int, int] | None  # None: nothing is known of it


@frozen
class FoundFiles:
    """What was read: the contents, and what could not be read."""

    contents: Mapping[str, bytes] = field(repr=False)
    unreadable: Mapping[str, str]  # why, in words
    exposed: frozenset[str] = frozenset()  # every user of the machine may read them


@define(eq=False)
class WatchedFiles:
    """Files by the names of their settings. It blocks: use a thread."""

    _paths: Mapping[str, Path]
    _bound: int  # bytes; what is longer counts as unreadable
    _seen: dict[str, Stamp] | None = field(default=None, init=False)

    def read(self) -> FoundFiles:
        """Return everything."""
        self._seen = self._stamps()
        contents, unreadable, exposed = dict[str, bytes](), dict[str, str](), set[str]()
        for name, path in self._paths.items():
            try:
                contents[name] = read_bounded(path, self._bound, pipe_seconds=0)
                if is_exposed(path.stat()):
                    exposed.add(name)
            except OSError as error:
                unreadable[name] = f"cannot be read: {why_unreadable(error)}"
        return FoundFiles(contents, unreadable, frozenset(exposed))

    def read_if_changed(self) -> FoundFiles | None:
        """Return everything if anything may have changed since the last time."""
        stamps = self._stamps()
        return self.read() if stamps != self._seen or any_is_young(stamps.values()) else None

    def forget(self) -> None:
        """Have everything read the next time, whether it has changed or not."""
        self._seen = None

    def _stamps(self) -> dict[str, Stamp]:
        return {name: stamp_of(path) for name, path in self._paths.items()}


def is_exposed(found: os.stat_result) -> bool:
    """Tell whether every user of the machine may read a file. For a private key that is a fault."""
    return bool(found.st_mode & stat.S_IROTH)


def stamp_of(path: Path) -> Stamp:
    """Return what changes whenever a file, or what a folder lists, is replaced. Blocks."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def any_is_young(stamps: Iterable[Stamp]) -> bool:
    """Tell whether anything may have been written again and still have the same stamp."""
    now = time.time_ns()
    return any(
        stamp is not None and abs(now - stamp[-1]) < SETTLED_SECONDS * 1e9 for stamp in stamps
    )
