"""Files that a command writes, knows again, and removes: never one that somebody else wrote.

Beside them is a record: the path of each file, and a digest of what was written. It is written
before the first file and after the last one, so that whatever a kill leaves behind is known.

    a file is    not there          as the record says      anything else
    write        it is written      it is replaced          nothing at all is written
    remove       it is forgotten    it is removed           it stays, and that is told

What another wrote just as it is wanted stays that other's.

Each file is written beside its place, flushed, and renamed into it.
"""

import hashlib
import os
import stat
from collections.abc import Mapping, Sequence
from contextlib import suppress
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import Final

import orjson
from attrs import frozen

from facade.commands.client_files import ClientFile
from facade.errors import CommandError
from shared.bounded_file import read_bounded
from shared.outside_bytes import Party, reads_bytes_of
from shared.safe_message import SafeMessage

RECORDS: Final = PurePosixPath("/var/lib/facade-device-config")
MAX_RECORD_BYTES: Final = 4 * 1024 * 1024  # some 20,000 files
_FOLDER_MODE: Final = 0o755
_HOSTS: Final = "certs.d"  # in it, each host has a folder of its own


class ForeignFileError(SafeMessage, CommandError):
    """A file is not what this command wrote, or the record is none; the message names it."""


class Fate(StrEnum):
    """What became of a file."""

    WRITTEN = "written"
    UNCHANGED = "unchanged"
    REMOVED = "removed"
    KEPT = "kept: it is not as it was written"


@frozen
class WrittenFiles:
    """The files of one record, below a root."""

    root: Path
    name: str

    def write(self, files: Sequence[ClientFile]) -> dict[PurePosixPath, Fate]:
        """Write these, and remove those that were written before and are none of them.

        Raises `ForeignFileError`, before anything is written; `OSError`.
        """
        before = self._recorded()
        wanted = {each.path: each for each in files}
        fates = {path: self._fate(each, before) for path, each in wanted.items()}
        known = {
            path: {_digest_of(each)}
            for path, each in wanted.items()
            if fates[path] is Fate.WRITTEN or path in before  # else another wrote just the same
        }
        self._record({**before, **{p: known[p] | before.get(p, set()) for p in known}})
        for path, fate in fates.items():
            if fate is Fate.WRITTEN:
                _put(self._at(path), wanted[path])
        gone = {p: self._remove(p, before[p]) for p in before.keys() - wanted.keys()}
        kept = {path: before[path] for path, fate in gone.items() if fate is Fate.KEPT}
        self._record({**known, **kept})
        return {**fates, **gone}

    def remove(self) -> dict[PurePosixPath, Fate]:
        """Remove what was written; raise `ForeignFileError` or `OSError`."""
        before = self._recorded()
        fates = {path: self._remove(path, digests) for path, digests in before.items()}
        self._record({path: before[path] for path, fate in fates.items() if fate is Fate.KEPT})
        return fates

    def _fate(self, wanted: ClientFile, before: Mapping[PurePosixPath, set[str]]) -> Fate:
        digest = _digest_at(self._at(wanted.path))
        if digest == _digest_of(wanted):
            return Fate.UNCHANGED
        if digest is None or digest in before.get(wanted.path, set()):
            return Fate.WRITTEN
        raise ForeignFileError(
            f"{wanted.path} is there and not as this command wrote it: nothing is written;"
            " --dry-run shows what belongs into it"
        )

    def _remove(self, path: PurePosixPath, digests: set[str]) -> Fate:
        place = self._at(path)
        digest = _digest_at(place)
        if digest is not None and digest not in digests:
            return Fate.KEPT
        for each in (place, _unfinished(place)):
            with suppress(FileNotFoundError, NotADirectoryError):
                each.unlink()
        if place.parent.parent.name == _HOSTS:
            with suppress(OSError):  # others' files are in it, or it is not there
                place.parent.rmdir()
        return Fate.REMOVED

    def _recorded(self) -> dict[PurePosixPath, set[str]]:
        place = self._at(self._place)
        try:
            return parse_record(read_bounded(place, MAX_RECORD_BYTES))
        except FileNotFoundError:
            return {}
        except ValueError:
            raise ForeignFileError(f"{self._place} is no record of this command") from None

    def _record(self, files: Mapping[PurePosixPath, set[str]]) -> None:
        place = self._at(self._place)
        if not files:
            place.unlink(missing_ok=True)
            return
        record = {str(path): sorted(digests) for path, digests in sorted(files.items())}
        content = orjson.dumps({"files": record}, option=orjson.OPT_INDENT_2)
        _put(place, ClientFile(self._place, content + b"\n"))

    @property
    def _place(self) -> PurePosixPath:
        return RECORDS / f"{self.name}.json"

    def _at(self, path: PurePosixPath) -> Path:
        return self.root / path.relative_to("/")


@reads_bytes_of(Party.FILE)
def parse_record(content: bytes) -> dict[PurePosixPath, set[str]]:
    """Return the digests of each file that was written; raise `ValueError`."""
    document = orjson.loads(content)
    files = document.get("files") if isinstance(document, dict) else None
    if not isinstance(files, dict):
        raise ValueError("no files")  # noqa: TRY004 - of another form
    found = dict[PurePosixPath, set[str]]()
    for name, digests in files.items():
        path = PurePosixPath(name)
        is_plain = path.is_absolute() and ".." not in path.parts and "\0" not in name
        if not (is_plain and isinstance(digests, list) and all(map(_is_digest, digests))):
            raise ValueError("no path and digests")
        found[path] = set(digests)
    return found


def _is_digest(text: object) -> bool:
    return isinstance(text, str) and len(text) == hashlib.sha256().digest_size * 2


def _digest_of(file: ClientFile) -> str:
    if file.link_to is not None:
        return _digest(b"link", os.fsencode(file.link_to))
    return _digest(b"file", file.content)


def _digest_at(place: Path) -> str | None:
    """Return the digest of what is there, None for nothing; raise `OSError`."""
    try:
        found = place.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    if stat.S_ISLNK(found.st_mode):
        return _digest(b"link", os.fsencode(place.readlink()))
    if not stat.S_ISREG(found.st_mode) or found.st_size > MAX_RECORD_BYTES:
        return ""  # like nothing that was written
    return _digest(b"file", read_bounded(place, MAX_RECORD_BYTES))


def _digest(kind: bytes, content: bytes) -> str:
    return hashlib.sha256(kind + b"\0" + content).hexdigest()


def _put(place: Path, file: ClientFile) -> None:
    """Write a file as a whole, or not at all; raise `OSError`."""
    place.parent.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
    unfinished = _unfinished(place)
    unfinished.unlink(missing_ok=True)
    if file.link_to is not None:
        unfinished.symlink_to(file.link_to)
    else:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        with os.fdopen(os.open(unfinished, flags, file.mode), "wb") as writer:
            writer.write(file.content)
            writer.flush()
            os.fsync(writer.fileno())
    unfinished.rename(place)
    folder = os.open(place.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _unfinished(place: Path) -> Path:
    """Return what a file is called until it is whole."""
    return place.with_name(f".{place.name}.unfinished")
