"""Folders and files that hold what is believed or served: nobody else may have written them.

Ours are those of this process's user, and root's. Whatever every user of the machine may write is
refused. Whatever a group may write is refused unless it is our group (Kubernetes' `fsGroup` makes
it so). A configured folder may itself be a link, as systemd makes it; below it no link is followed.
"""

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

DIRECTORY_MODE: Final = 0o700
FILE_MODE: Final = 0o600
_BESIDE_DATABASE: Final = ("-wal", "-shm", "-journal")


class NotOwnError(PermissionError):
    """A folder or file is not ours alone to write; the message says why."""

    def __init__(self, words: str) -> None:
        """Say what is wrong with it."""
        super().__init__(errno.EPERM, words)


def prepare_own_folder(folder: Path) -> None:
    """Make a configured folder, or take it if it is ours; then only we can enter it.

    One that has anything for others in it is left as open as it is: a wrong setting names `/etc`,
    and nobody but root could use the machine. Raises `NotOwnError` and other `OSError`.
    """
    folder.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
    found = folder.stat()  # the folder that a link leads to
    if found.st_mode & stat.S_IWOTH:  # as Kubernetes makes an emptyDir
        raise NotOwnError(
            f"every user of the machine may write {folder.name}: name a folder below it"
        )
    _require_own(found, folder)
    if found.st_uid != os.geteuid():  # root's, made for us, is as root made it
        return
    if stat.S_IMODE(found.st_mode) != DIRECTORY_MODE and not _has_anything_for_others(folder):
        folder.chmod(DIRECTORY_MODE)


def require_own_folder(folder: Path) -> None:
    """Raise `NotOwnError` if a folder below a configured one is a link, or not ours."""
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise NotOwnError(f"{folder.name} is no folder")
    _require_own(found, folder)


def open_own(path: Path | str, flags: int, mode: int = FILE_MODE) -> int:
    """Open a file below a configured folder, or make it with `os.O_CREAT`; return its descriptor.

    Raises `NotOwnError` if it is a link or not ours, and other `OSError`.
    """
    try:
        # O_NONBLOCK: a named pipe in a file's place is opened without waiting, a file as always
        descriptor = os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, mode)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise NotOwnError(f"{Path(path).name} is a link") from None
        raise
    try:
        require_own_file(descriptor, path)
    except BaseException:  # whatever it is, the file is closed
        os.close(descriptor)
        raise
    return descriptor


def require_own_file(descriptor: int, path: Path | str) -> None:
    """Raise `NotOwnError` if what was opened is no file, or not ours."""
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        raise NotOwnError(f"{Path(path).name} is no file")
    _require_own(found, path)


def make_own_database(path: Path) -> None:
    """Make an empty file for SQLite below a configured folder, or take the one there.

    Raises as `open_own`, also for one of the files that SQLite keeps beside it.
    """
    os.close(open_own(path, os.O_RDWR | os.O_CREAT))
    for suffix in _BESIDE_DATABASE:
        with suppress(FileNotFoundError):
            os.close(open_own(path.with_name(path.name + suffix), os.O_RDONLY))


def _require_own(found: os.stat_result, path: Path | str) -> None:
    if found.st_uid not in (0, os.geteuid()):
        raise NotOwnError(f"{Path(path).name} belongs to another user ({found.st_uid})")
    if found.st_mode & stat.S_IWOTH:
        raise NotOwnError(f"every user of the machine may write {Path(path).name}")
    if found.st_mode & stat.S_IWGRP and found.st_gid not in {os.getegid(), *os.getgroups()}:
        group = f"a group that is not ours ({found.st_gid})"
        raise NotOwnError(f"{group} may write {Path(path).name}")


def _has_anything_for_others(folder: Path) -> bool:
    """Tell whether others may use anything in a folder. Nothing of ours is for them."""
    for path in folder.iterdir():
        with suppress(FileNotFoundError):  # it has gone meanwhile
            if path.lstat().st_mode & stat.S_IRWXO:
                return True
    return False
