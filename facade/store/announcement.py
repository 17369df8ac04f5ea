"""What a small file beside an arriving blob says of it, to every process of the machine."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

from attrs import field, frozen

from facade.store.growing_checksums import write_all
from shared.oci import RepositoryName
from shared.own_files import open_own

ANNOUNCEMENT: Final = "announcement"  # the file's name
UNKNOWN: Final = "?"
NOBODY: Final = "-"
_READ_BYTES: Final = 4096  # of the file; ours has less than 512


@frozen
class Announcement:
    """What is said of an arriving blob: `5002 team/app 1024 3f0a`.

    It will have 5,002 bytes and comes through `team/app`. The quota has made room for 1,024 of them
    by now, at the request of the connection with the access key `3f0a`. `? team/app 1024 3f0a`:
    nobody knows how long it will be.

    Earlier versions wrote two words: `5002 team/app` with room for all of it, or `?1024 team/app`.
    """

    length: int | None  # bytes of the whole blob; None: unknown until it is proven
    repository: RepositoryName  # the one through which upstream gives it
    room: int = field()  # bytes that the quota counts for it
    access_key: str | None = None  # None: of no connection, or unknown

    @room.default
    def _room_of_length(self) -> int:
        return self.length or 0

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """Return what was announced in a folder; None if nothing was."""
        with suppress(FileNotFoundError, ValueError):  # or it is not ours, which counts as none
            match _content(f"{folder}/{ANNOUNCEMENT}").decode().split(" "):
                case [length, repository, room, key]:
                    access_key = None if key == NOBODY else key
                    name = RepositoryName.parse(repository)
                    return cls(_length(length), name, int(room), access_key)
                case [length, repository]:
                    name = RepositoryName.parse(repository)
                    return cls(_length(length), name, int(length.removeprefix(UNKNOWN)))
                case _:
                    pass
        return None

    def write(self, folder: Path) -> None:
        """Put it in place of what was announced before."""
        length = UNKNOWN if self.length is None else self.length
        key = self.access_key or NOBODY
        put_in_place(folder / ANNOUNCEMENT, f"{length} {self.repository} {self.room} {key}")


def _content(path: str) -> bytes:
    """Return a small file's content: a file object would cost more than all else of a look."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, _READ_BYTES)
    finally:
        os.close(descriptor)


def put_in_place(path: Path, content: str) -> None:
    """Put a small file in place of the one there."""
    temporary = path.with_name(f"{path.name}.new")
    descriptor = open_own(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    try:
        write_all(descriptor, content.encode(), 0)
    finally:
        os.close(descriptor)
    temporary.rename(path)


def _length(text: str) -> int | None:
    return None if text.startswith(UNKNOWN) else int(text)
