"""An arriving blob's folder: a file that is filled and never rewritten, its owner, its proof.

State lives in the file system, so that every process of the machine sees it:

- the lock on the file's inode shows that it has an owner;
- `checksums` shows which pieces have come, and what they are; `proof` that digest and length agree;
- `slow` is there if it comes slowly, and `way` if somebody who found no room asks it to make way.

A piece that has its checksum is not written again. If nobody knows how long the blob will be, bytes
are only appended, and the file's size is its progress. A new attempt is a new file, and readers of
the old one see that it was unlinked. When an owner dies, its lock is gone, and anybody may take
over what has come.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final, Self

from attrs import define, evolve

from facade.store.announcement import ANNOUNCEMENT, Announcement, put_in_place
from facade.store.arriving_file import (
    CHECKSUMS,
    DATA,
    LOOK_BYTES,
    ArrivingFile,
    RottenArrivalError,
)
from facade.store.file_lock import is_locked, lock_exclusively, lock_shared
from facade.store.growing_checksums import GrowingChecksums, write_all
from facade.store.inode import allocated_bytes, inode_of, is_file_at
from facade.store.piece_checksums import CHECKED_BYTES, checksums_span, runs_there
from facade.store.segment_writer import SegmentWriter
from facade.store.wanted_spans import WANTED
from facade.values.coverage import Coverage
from shared.oci import RepositoryName
from shared.own_files import DIRECTORY_MODE, FILE_MODE, open_own

PROOF: Final = "proof"
SLOW, WAY = "slow", "way"
MARKED: Final = "marked"  # devices that were sent ranges of it before anybody could verify them
_MARKS: Final = (SLOW, WAY)
_OF_ATTEMPT: Final = (PROOF, ANNOUNCEMENT, CHECKSUMS, WANTED, MARKED, *_MARKS)
# Read at a time to be hashed. A larger block is mapped anew each time, with a page fault for every
# 4 KiB of it (docs/decisions/arrivals.md).
REHASH_BYTES: Final = 1024 * 1024


@define(eq=False)
class OwnedIngest:
    """The file, as its only writer has it."""

    folder: Path
    descriptor: int
    _checksums: GrowingChecksums

    @classmethod
    def acquire(cls, folder: Path) -> Self | None:
        """Become the owner of a new file, or of a dead owner's; None if somebody owns it.

        What a dead owner left has to be read (`left`) before anything is appended.
        """
        path = folder / DATA
        try:
            with suppress(FileExistsError):  # `exist_ok` raises if the folder goes away meanwhile
                folder.mkdir(mode=DIRECTORY_MODE)
            descriptor = _open_to_write(path)
        except FileNotFoundError:
            return None  # its last owner took the folder away in between
        with ExitStack() as stack, suppress(FileNotFoundError):
            stack.callback(os.close, descriptor)  # which lets go of the lock, too, whatever fails
            if not lock_exclusively(descriptor) or not is_file_at(descriptor, path):
                return None
            is_new = os.fstat(descriptor).st_size == 0
            # If it is new, what a crash left of another attempt goes.
            _unlink(folder, *(_OF_ATTEMPT if is_new else _MARKS))
            checksums = _open_to_write(folder / CHECKSUMS)
            stack.callback(os.close, checksums)
            ingest = cls(folder, descriptor, GrowingChecksums(checksums))
            is_useful = is_new or ingest._is_known
            stack.pop_all()
            if is_useful:
                return ingest
            ingest.discard()  # nobody knows whose beginning it is
            return cls.acquire(folder)
        return None

    @property
    def _is_known(self) -> bool:
        announced = self.announced
        if announced is None:
            return False
        # If it was proven, its length is known, even without the proof or its place.
        may_be_proven = announced.length is None and self._checksums.is_of(self.size)
        return self._checksums.is_of(announced.length) or may_be_proven

    @property
    def size(self) -> int:
        """How far it has come."""
        return os.fstat(self.descriptor).st_size

    @property
    def announced(self) -> Announcement | None:
        """What an earlier owner announced of what it left."""
        return Announcement.read(self.folder)

    @property
    def allocated(self) -> int:
        """How many bytes have come, wherever they lie."""
        return allocated_bytes(self.descriptor)

    def touch(self) -> None:
        """Note that some of it is asked for: it is not abandoned, also if nothing more comes."""
        os.utime(self.descriptor)

    def come(self, length: int) -> Coverage:
        """Return which checked pieces of a blob of this length have come. Blocks.

        A piece is compared with its checksum when it is read.
        """
        come, size, start = Coverage(), self.size, 0
        most = length if size >= length else size - size % CHECKED_BYTES
        while start < most:
            first, count = checksums_span(start, LOOK_BYTES)
            for piece, end in runs_there(os.pread(self._checksums.descriptor, count, first)):
                come.add(start + piece * CHECKED_BYTES, min(most, start + end * CHECKED_BYTES))
            start += LOOK_BYTES
        return come

    def segment(self, first: int, length: int) -> SegmentWriter:
        """Return what writes a segment of a blob of this length."""
        return SegmentWriter(first, length, self.descriptor, self._checksums.descriptor)

    def announce(
        self,
        length: int | None,
        repository: RepositoryName,
        *,
        room: int | None = None,
        access_key: str | None = None,
    ) -> None:
        """Announce how long it will be and where it comes from, before the first byte.

        `room`: for how many bytes the quota has made room; None: for all of a known length.
        `access_key`: of the connection that it is brought through.
        """
        self._checksums.begin(length)
        claimed = (length or 0) if room is None else room
        Announcement(length, repository, claimed, access_key).write(self.folder)

    def claim(self, room: int) -> None:
        """Announce that the quota has made room for so many bytes by now."""
        announced = self.announced
        if announced is not None:
            evolve(announced, room=room).write(self.folder)

    def mark_slow(self, *, is_slow: bool) -> None:
        """Mark whether it comes slowly. Then it may be asked to make way. Raises `OSError`."""
        if is_slow:
            (self.folder / SLOW).touch(mode=FILE_MODE)
        else:
            (self.folder / SLOW).unlink(missing_ok=True)

    @property
    def is_asked_to_make_way(self) -> bool:
        """Whether somebody found no room, and this arrival has to give up its own."""
        return (self.folder / WAY).exists()

    def reader(self, length: int | None) -> ArrivingFile:
        """Return it open for reading. While it is open, the store does not evict it."""
        data = os.dup(self.descriptor)
        try:
            return ArrivingFile(length, data, os.dup(self._checksums.descriptor))
        except BaseException:
            os.close(data)
            raise

    def left(self) -> Iterator[bytes]:
        """Yield what a dead owner left, compared with its checksums. Blocks; raises `OSError`."""
        size = self.size
        while (hashed := self._checksums.hashed) < size:
            chunk = os.pread(self.descriptor, min(REHASH_BYTES, size - hashed), hashed)
            if not chunk:
                raise RottenArrivalError("the file is shorter than it was")
            self._checksums.take(chunk)
            self._checksums.write()
            yield chunk

    def append(self, chunks: Sequence[bytes], *, from_size: int | None = None) -> None:
        """Append to what has come; raise `OSError` if the disk is full or fails.

        To try again after that, name the size at which the first try began, because what it wrote
        stays.
        """
        size = self.size
        start = size if from_size is None else from_size
        for rest in _behind(size - start, chunks):
            size = write_all(self.descriptor, rest, size)
        for rest in _behind(self._checksums.hashed - start, chunks):
            self._checksums.take(rest)
        self._checksums.write()

    def prove(self) -> None:
        """Let readers of every process go to the end, because digest and length agree."""
        self._checksums.finish()
        put_in_place(self.folder / PROOF, str(inode_of(self.descriptor).number))

    def sync(self) -> None:
        """Make the disk write what has come. Blocks until it has."""
        self._checksums.finish()
        os.fsync(self.descriptor)
        os.fsync(self._checksums.descriptor)

    def move(self, blob: Path, checksums: Path) -> None:
        """Move the proven file to its place, where devices may read it at once."""
        blob.parent.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
        # Nobody else has it yet, but devices may read it as soon as it is at its place.
        lock_shared(self.descriptor)
        (self.folder / CHECKSUMS).rename(checksums)
        # First, so that the next attempt in this folder never finds them.
        _unlink(self.folder, *_OF_ATTEMPT)
        (self.folder / DATA).rename(blob)

    def discard(self) -> None:
        """Throw the attempt away. Its readers see that the file was unlinked.

        Even if that raises `OSError`, the file is closed.
        """
        try:
            _unlink(self.folder, *_OF_ATTEMPT)
            (self.folder / DATA).unlink(missing_ok=True)
        finally:
            self.release()

    def release(self) -> None:
        """Let go of the file as it is. An empty one is deleted."""
        with suppress(OSError):  # gone, or the disk fails; the next owner takes an empty one
            _unlink(self.folder, *_MARKS)
            if self.size == 0 and is_file_at(self.descriptor, self.folder / DATA):
                _unlink(self.folder, *_OF_ATTEMPT)
                (self.folder / DATA).unlink()
        os.close(self._checksums.descriptor)
        os.close(self.descriptor)
        with suppress(OSError):  # not empty: a partial, or already the next attempt
            self.folder.rmdir()


def _open_to_write(path: Path) -> int:
    return open_own(path, os.O_RDWR | os.O_CREAT)


def _behind(count: int, chunks: Iterable[bytes]) -> Iterator[memoryview]:
    """Yield chunks without so many bytes of their beginning."""
    if count < 0:
        raise ValueError("there is a gap before them")
    for chunk in chunks:
        yield memoryview(chunk)[count:]
        count = max(0, count - len(chunk))


def _unlink(folder: Path, *names: str) -> None:
    """Delete these files, in this order. Mostly there are none: to look costs less than to try."""
    with suppress(FileNotFoundError):  # then none is there
        there = {path.name for path in folder.iterdir()}
        for name in names:
            if name in there:
                (folder / name).unlink(missing_ok=True)


def ask_to_make_way(folder: Path) -> None:
    """Ask the owner of an arriving blob to give up its room. Raises `OSError`."""
    (folder / WAY).touch(mode=FILE_MODE)


def is_owned(folder: Path) -> bool:
    """Tell whether somebody writes an arriving blob now."""
    try:
        descriptor = open_own(folder / DATA, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        return is_locked(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Make the disk write which files a folder has. Blocks until it has."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
