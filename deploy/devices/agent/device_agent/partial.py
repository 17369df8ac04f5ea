"""A blob while it arrives: what of it is durable, and how it goes on after a power cut.

Beside the bytes lies a list with a CRC-32 for each piece of 4 MiB. The bytes of a piece are synced
before its line is, so a line proves that its piece was on the disk. Whoever goes on after a kill
or a cut reads the pieces that have a line, compares each, and asks for the rest: at most the pieces
in flight are bought twice. The CRC finds what a disk has lost. What a peer has forged, the blob's
digest finds, which is counted along.
"""

import errno
import hashlib
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final, Protocol, Self

from attrs import define, field

from device_agent.durable import remove, sync_folder
from device_agent.errors import StorageError

PIECE_BYTES: Final = 4 * 1024 * 1024  # two fsyncs for each: some 20 ms of a second at 4 MiB/s
_LINE_BYTES: Final = 9  # eight digits and a line break
_LIST: Final = ".pieces"


class _Hash(Protocol):
    def update(self, data: bytes | memoryview, /) -> None: ...
    def hexdigest(self) -> str: ...


@define
class Partial:
    """See the module's docstring. Made by `resume`."""

    path: Path
    _data: IO[bytes]
    _list: IO[bytes]
    size: int = field(default=0, init=False)  # bytes that are here, synced or not
    _sha256: _Hash = field(factory=hashlib.sha256, init=False)
    _crc: int = field(default=0, init=False)  # of the piece that is not whole
    _in_piece: int = field(default=0, init=False)

    @classmethod
    @contextmanager
    def resume(cls, path: Path) -> Iterator[Self]:
        """Open what has come of a blob, cut to what is proven to be whole."""
        with (
            _as_storage_error(),
            _opened(path) as data,
            _opened(path.with_name(path.name + _LIST)) as lines,
        ):
            partial = cls(path, data, lines)
            partial._read_again()
            sync_folder(path.parent)
            yield partial

    @property
    def digest(self) -> str:
        """The digest of all that is here."""
        return f"sha256:{self._sha256.hexdigest()}"

    def append(self, content: bytes) -> None:
        """Write bytes behind those that are here; StorageError if the disk does not take them."""
        rest = memoryview(content)
        while rest:
            part = rest[: PIECE_BYTES - self._in_piece]
            _write_all(self._data, part)
            self._count(part)
            rest = rest[len(part) :]
            if self._in_piece == PIECE_BYTES:
                self._close_piece()

    def finish(self, place: Path) -> None:
        """Move the whole blob to its place, durable."""
        os.fsync(self._data.fileno())
        self.path.replace(place)
        sync_folder(place.parent)
        self.discard()

    def discard(self) -> None:
        """Forget all of it."""
        remove(self.path)
        remove(self.path.with_name(self.path.name + _LIST))

    def _read_again(self) -> None:
        """Hash the pieces that have a line, up to the first that is not what its line says."""
        while True:
            line = self._list.read(_LINE_BYTES)
            piece = self._data.read(PIECE_BYTES) if len(line) == _LINE_BYTES else b""
            if len(piece) < PIECE_BYTES or line != _line(zlib.crc32(piece)):
                break
            self._sha256.update(piece)
            self.size += len(piece)
        self._data.seek(self.size)
        self._data.truncate()
        self._list.seek(self.size // PIECE_BYTES * _LINE_BYTES)
        self._list.truncate()

    def _count(self, part: memoryview) -> None:
        self._sha256.update(part)
        self._crc = zlib.crc32(part, self._crc)
        self._in_piece += len(part)
        self.size += len(part)

    def _close_piece(self) -> None:
        os.fdatasync(self._data.fileno())
        _write_all(self._list, memoryview(_line(self._crc)))
        os.fdatasync(self._list.fileno())
        self._crc, self._in_piece = 0, 0


def discard_partial(path: Path) -> None:
    """Forget what has come of a blob that nobody wants any more."""
    remove(path)
    remove(path.with_name(path.name + _LIST))


def partial_files(folder: Path) -> list[Path]:
    """Return the partial blobs of a folder."""
    return [path for path in folder.iterdir() if path.suffix != _LIST]


def _write_all(file: IO[bytes], content: memoryview) -> None:
    """Write all: a nearly full disk takes a part, and says so at the next write."""
    while content:
        content = content[file.write(content) :]


def _line(crc: int) -> bytes:
    return b"%08x\n" % crc


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "r+b", buffering=0) as file:
        yield file


@contextmanager
def _as_storage_error() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise StorageError("the disk is full: what has come is kept") from error
        raise StorageError(f"the disk failed: {error.strerror}") from error
