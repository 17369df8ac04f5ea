"""Files that outlive a power cut: each appears whole or not at all, and stays.

Write beside the place, fsync, rename, fsync the folder. A rename alone is in order, but not
durable: ext4 was seen to show an empty file, or the old one, after a cut.
"""

import os
from pathlib import Path
from typing import Final

from device_agent.errors import ConfigurationError

_UNFINISHED: Final = ".unfinished"


def write_whole(path: Path, content: bytes, *, mode: int = 0o600) -> None:
    """Replace a file; after the return it is there whatever happens."""
    unfinished = path.with_name(f".{path.name}{_UNFINISHED}")
    unfinished.unlink(missing_ok=True)
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)
    sync_folder(path.parent)


def move(source: Path, place: Path) -> None:
    """Rename a file whose content is durable; after the return it is in its new place."""
    source.replace(place)
    sync_folder(place.parent)
    if source.parent != place.parent:
        sync_folder(source.parent)


def remove(path: Path) -> None:
    """Unlink a file, if it is there. A cut may bring it back: whoever asks looks again."""
    path.unlink(missing_ok=True)


def make_folder(path: Path, *, mode: int = 0o700) -> None:
    """Make a folder, and those above it, so that each outlives a cut."""
    if not path.is_dir():
        make_folder(path.parent, mode=0o755)
        path.mkdir(mode=mode, exist_ok=True)
        sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_bounded(path: Path, limit: int) -> bytes:
    """Return a file's content; ConfigurationError if it is longer, or cannot be read."""
    try:
        with path.open("rb") as file:
            content = file.read(limit + 1)
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from error
    if len(content) > limit:
        raise ConfigurationError(f"{path}: longer than {limit} bytes")
    return content
