"""What lies in a cache folder, seen from outside."""

import contextlib
import hashlib
from pathlib import Path


def stored_blobs(cache: Path) -> list[Path]:
    """Return the files of complete blobs."""
    return [path for path in cache.glob("blobs/*/*/*") if not path.suffix]


def partials(cache: Path) -> list[Path]:
    """Return the files of what arrives, or stopped arriving."""
    return list(cache.glob("ingest/*/data"))


def sizes(files: list[Path]) -> int:
    """Return the bytes of files that may vanish meanwhile."""
    total = 0
    for path in files:
        with contextlib.suppress(FileNotFoundError):
            total += path.stat().st_size
    return total


def used_bytes(cache: Path) -> int:
    """Return what counts against the quota: the bytes of what is stored and of what arrives.

    What moves from the one to the other is counted once: a file has its inode throughout.
    """
    found: dict[int, int] = {}
    for path in [*partials(cache), *stored_blobs(cache)]:
        with contextlib.suppress(FileNotFoundError):
            status = path.stat()
            found[status.st_ino] = status.st_size
    return sum(found.values())


def require_right_files(cache: Path) -> int:
    """Hash every stored blob; return how many there are. `AssertionError` where one is wrong."""
    blobs = stored_blobs(cache)
    for path in blobs:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, path.parent.parent.name).hexdigest()
        assert digest == path.name, f"{path} is not what its name says"
    return len(blobs)
