"""What lies in a cache folder, seen from outside."""

import asyncio
import contextlib
import hashlib
import os
from pathlib import Path
from typing import Final, Self

from attrs import define, field

from facade.store.arriving_file import CHECKSUMS
from facade.store.piece_checksums import CHECKED_BYTES, LENGTH_BYTES, pieces_there
from facade.values.coverage import Coverage

LOOKS_SECONDS: Final = 0.003


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
            total += _taken(path.stat())
    return total


def come(data: Path, length: int) -> Coverage:
    """Return what of an arriving blob has come, with its checksums: that is not bought again."""
    came, checksums = Coverage(), data.with_name(CHECKSUMS)
    content = checksums.read_bytes()[LENGTH_BYTES:] if checksums.exists() else b""
    for place, is_there in enumerate(pieces_there(content)):
        if is_there:
            came.add(place * CHECKED_BYTES, min(length, (place + 1) * CHECKED_BYTES))
    return came


def _taken(status: os.stat_result) -> int:
    """Return how many bytes of a file were written: what arrives has gaps."""
    return min(status.st_size, status.st_blocks * 512)


def used_bytes(cache: Path) -> int:
    """Return what counts against the quota at one moment: what is stored, and what arrives.

    Files come and go while they are looked at. All are opened; those that still have a name when
    the last one was opened were all there at that moment.
    """
    found: dict[int, tuple[int, int]] = {}  # by inode: a file that moves is one file
    with contextlib.ExitStack() as stack:
        for path in [*partials(cache), *stored_blobs(cache)]:
            with contextlib.suppress(FileNotFoundError):
                file = stack.enter_context(path.open("rb"))
                status = os.fstat(file.fileno())
                found[status.st_ino] = (file.fileno(), _taken(status))
        return sum(size for file, size in found.values() if os.fstat(file).st_nlink)


def require_right_files(cache: Path) -> int:
    """Hash every stored blob; return how many there are. `AssertionError` where one is wrong."""
    blobs = stored_blobs(cache)
    for path in blobs:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, path.parent.parent.name).hexdigest()
        assert digest == path.name, f"{path} is not what its name says"
    return len(blobs)


@define
class QuotaWatch:
    """Looks at a cache folder all the time, and remembers the most that it held."""

    cache: Path
    most_bytes: int = 0
    _watching: asyncio.Task[None] = field(init=False)

    async def __aenter__(self) -> Self:
        """Begin."""
        self._watching = asyncio.create_task(self._watch())
        return self

    async def __aexit__(self, *_: object) -> None:
        """Look once more."""
        self._watching.cancel()
        await asyncio.wait([self._watching])
        self._look()

    async def _watch(self) -> None:
        while True:
            self._look()
            await asyncio.sleep(LOOKS_SECONDS)

    def _look(self) -> None:
        self.most_bytes = max(self.most_bytes, used_bytes(self.cache))
