"""An arriving blob's folder: a growing file that is never rewritten, its owner, its proof.

State lives in the file system, so that every process of the machine sees it: the lock on the
file's inode names the owner, its size the progress, `proof` that digest and length agreed. Bytes
are appended only; a new attempt is a new file, and those who read the old one see that it was
unlinked. A dead owner's lock is gone: anybody may take over at the size reached.
"""

import os
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Self

from attrs import define, frozen

from facade.store.file_lock import is_locked, lock_exclusively, lock_shared
from facade.store.inode import is_file_at
from facade.store.layout import DIRECTORY_MODE, FILE_MODE
from shared.oci import RepositoryName

DATA, ANNOUNCEMENT, PROOF = "data", "announcement", "proof"


@frozen
class Announcement:
    """What is said of an arriving blob before its first byte."""

    length: int  # bytes of the whole blob
    repository: RepositoryName  # through which upstream gives it

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """Return what was announced in a folder; None where nothing was."""
        try:
            length, _, repository = (folder / ANNOUNCEMENT).read_text().partition(" ")
            return cls(int(length), RepositoryName.parse(repository))
        except (FileNotFoundError, ValueError):  # or not one of ours: as good as none
            return None


@define(eq=False)
class OwnedIngest:
    """The file, in the hands of its only writer."""

    folder: Path
    descriptor: int

    @classmethod
    def acquire(cls, folder: Path) -> Self | None:
        """Become the owner of a new file, or of a dead owner's; None if somebody owns it."""
        path = folder / DATA
        try:
            folder.mkdir(mode=DIRECTORY_MODE, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
        except FileNotFoundError:
            return None  # its last owner took the folder away in between
        ingest = cls(folder, descriptor)
        with ExitStack() as stack, suppress(FileNotFoundError):
            stack.callback(os.close, descriptor)  # and with it the lock, whatever fails
            if not lock_exclusively(descriptor) or not is_file_at(descriptor, path):
                return None
            is_new = ingest.size == 0
            if is_new:
                _forget(folder)  # what a crash left of another attempt
            is_useful = is_new or ingest.announced is not None
            stack.pop_all()
            if is_useful:
                return ingest
            ingest.discard()  # nobody knows of what it is the beginning
            return cls.acquire(folder)
        return None

    @property
    def size(self) -> int:
        """How far it has come."""
        return os.fstat(self.descriptor).st_size

    @property
    def announced(self) -> Announcement | None:
        """What an earlier owner announced of what it left."""
        return Announcement.read(self.folder)

    def announce(self, length: int, repository: RepositoryName) -> None:
        """Say how long it will be and where it comes from, before the first byte."""
        temporary = self.folder / f"{ANNOUNCEMENT}.new"
        temporary.write_text(f"{length} {repository}")
        temporary.rename(self.folder / ANNOUNCEMENT)

    def append(self, chunks: Sequence[bytes], *, from_size: int | None = None) -> None:
        """Write behind what has come; raise `OSError` where the disk is full or fails.

        To try again after that, say at which size the first try began: what it wrote stays.
        """
        size = self.size
        done = 0 if from_size is None else size - from_size
        for chunk in chunks:
            rest = memoryview(chunk)[done:]
            done = max(0, done - len(chunk))
            while rest:  # a signal, or the last bytes that the disk had
                written = os.pwrite(self.descriptor, rest, size)
                size, rest = size + written, rest[written:]

    def prove(self) -> None:
        """Let readers of every process through to the end: digest and length agree."""
        temporary = self.folder / f"{PROOF}.new"
        temporary.write_text(str(os.fstat(self.descriptor).st_ino))
        temporary.rename(self.folder / PROOF)

    def sync(self) -> None:
        """Have the disk write what has come. Blocks until it has."""
        os.fsync(self.descriptor)

    def move(self, blob: Path, checksums_path: Path, checksums: bytes) -> None:
        """Move the proven file to its place, where devices may read it at once."""
        blob.parent.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
        temporary = checksums_path.with_suffix(".new")
        temporary.write_bytes(checksums)
        temporary.rename(checksums_path)
        # Still nobody else's, but devices may read it as soon as it lies at its place.
        lock_shared(self.descriptor)
        # First, so that the next attempt in this folder never finds them.
        _forget(self.folder)
        (self.folder / DATA).rename(blob)

    def discard(self) -> None:
        """Throw the attempt away: its readers see that the file was unlinked.

        Where that raises `OSError`, the file is let go of all the same.
        """
        try:
            _forget(self.folder)
            (self.folder / DATA).unlink(missing_ok=True)
        finally:
            self.release()

    def release(self) -> None:
        """Let go of the file as it is; of an empty one, nothing is left."""
        with suppress(OSError):  # gone, or the disk fails: an empty one is the next owner's
            if self.size == 0 and is_file_at(self.descriptor, self.folder / DATA):
                _forget(self.folder)
                (self.folder / DATA).unlink()
        os.close(self.descriptor)
        with suppress(OSError):  # not empty: a partial, or already the next attempt
            self.folder.rmdir()


@define(eq=False)
class FollowedIngest:
    """The file of another process's download, open for reading."""

    folder: Path
    descriptor: int
    announced: Announcement

    @classmethod
    def open(cls, folder: Path) -> Self | None:
        """Open what arrives; None where nothing does, or its length is not known yet."""
        announced = Announcement.read(folder)
        if announced is None:
            return None
        try:
            descriptor = os.open(folder / DATA, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        return cls(folder, descriptor, announced)

    def close(self) -> None:
        """Close the file."""
        os.close(self.descriptor)

    @property
    def size(self) -> int:
        """How far it has come."""
        return os.fstat(self.descriptor).st_size

    def is_proven(self, blob: Path) -> bool:
        """Tell whether digest and length agreed: by the proof, or by its place in the store."""
        with suppress(FileNotFoundError):
            if (self.folder / PROOF).read_text() == str(os.fstat(self.descriptor).st_ino):
                return True
        with suppress(FileNotFoundError):
            return is_file_at(self.descriptor, blob)
        return False

    @property
    def is_discarded(self) -> bool:
        """Tell whether the attempt was thrown away."""
        return os.fstat(self.descriptor).st_nlink == 0

    @property
    def has_owner(self) -> bool:
        """Tell whether somebody still writes it."""
        return is_locked(self.descriptor)


def _forget(folder: Path) -> None:
    for name in (PROOF, ANNOUNCEMENT):
        (folder / name).unlink(missing_ok=True)


def is_owned(folder: Path) -> bool:
    """Tell whether somebody writes an arriving blob now."""
    try:
        descriptor = os.open(folder / DATA, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        return is_locked(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Have the disk write which files a folder has. Blocks until it has."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
