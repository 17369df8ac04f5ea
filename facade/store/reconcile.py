"""Makes the catalogue agree with the files, whatever a crash or a person did to either of them.

It goes folder by folder, some names at a time, so that memory does not grow with the store. Only if
a folder has fewer or more blobs than are noted is each noted one looked for.
"""

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice, product
from string import hexdigits
from typing import Final

from attrs import frozen

from facade.store.catalogue import Catalogue, StoredSize
from facade.store.failing_sector import passing_over_bad_places
from facade.store.layout import Layout, checksums_name
from shared.oci import ALGORITHMS, Digest, InvalidDigestError

ORPHANED_SECONDS: Final = 3600.0  # checksums are written a moment before their blob
NAMES_AT_ONCE: Final = 1000  # some 0.5 MiB, and some milliseconds of Python

_HEX: Final = hexdigits[:16]


@frozen
class Folder:
    """Where the blobs of an algorithm lie whose hex digits begin with these two."""

    algorithm: str
    digits: str

    @property
    def beginning(self) -> str:
        """What all their digests begin with."""
        return f"{self.algorithm}:{self.digits}"


@frozen
class _StoredFile:
    """A blob, or a file that belongs to one. Not a `Path`, because that would intern each name."""

    folder: str
    name: str
    digest: Digest

    @property
    def path(self) -> str:
        return os.path.join(self.folder, self.name)  # noqa: PTH118 - see above

    @property
    def is_blob(self) -> bool:
        return self.name == self.digest.hex

    @property
    def is_checksums(self) -> bool:
        return self.name == checksums_name(self.digest)


def folders() -> Iterator[Folder]:
    """Yield every folder that blobs may lie in, whether it is there or not."""
    for algorithm, *digits in product(ALGORITHMS, _HEX, _HEX):
        yield Folder(algorithm, "".join(digits))


def reconcile(
    layout: Layout, catalogue: Catalogue, folder: Folder, *, names_at_once: int = NAMES_AT_ONCE
) -> None:
    """Make the index know every blob of a folder and no other. Blocks; raises `OSError`.

    Other processes may go on. What they add or evict meanwhile, they note themselves.
    """
    place = str(layout.blobs / folder.algorithm / folder.digits)
    blobs, files = 0, _files(place, folder)
    while some := list(islice(files, names_at_once)):
        blobs += _note_blobs(catalogue, some)
        del some  # before more are read: one lot is held, not two
    if catalogue.count_of(folder.beginning) != blobs:
        _forget_gone(catalogue, place, folder, names_at_once)


def _note_blobs(catalogue: Catalogue, files: Sequence[_StoredFile]) -> int:
    """Note those that nobody has noted, and drop orphans; return how many blobs there are."""
    noted = catalogue.noted({file.digest for file in files})
    blobs = [file for file in files if file.is_blob]
    sizes = [_size(file) for file in blobs if file.digest not in noted]
    catalogue.found_all([size for size in sizes if size is not None])
    _drop_orphans(
        file for file in files if not (file.is_blob or (file.is_checksums and file.digest in noted))
    )
    return len(blobs) - sizes.count(None)


def _size(file: _StoredFile) -> StoredSize | None:
    """Return what is to be noted of a blob; None if it was evicted just now, or the disk fails."""
    size = None
    with suppress(FileNotFoundError), passing_over_bad_places("note a stored blob"):
        size = StoredSize(file.digest, os.stat(file.path).st_size)  # noqa: PTH116 - see `_StoredFile`
    return size


def _forget_gone(catalogue: Catalogue, place: str, folder: Folder, names_at_once: int) -> None:
    """Look for each blob that is noted of a folder, and forget those that are not there."""
    after = folder.beginning
    while noted := catalogue.noted_behind(after, folder.beginning, names_at_once):
        gone = [digest for digest in noted if _is_gone(place, digest)]
        catalogue.removed(*gone)
        # Who stored one while it was forgotten has noted it already, and would not again.
        again = [_StoredFile(place, digest.hex, digest) for digest in gone]
        catalogue.found_all([size for size in map(_size, again) if size is not None])
        _drop_orphans(_StoredFile(place, checksums_name(digest), digest) for digest in gone)
        after = str(noted[-1])
        del noted, gone  # as above


def _is_gone(place: str, digest: Digest) -> bool:
    """Tell whether a blob is missing. If the disk does not say, it counts as there."""
    is_there = True
    with passing_over_bad_places("look for a noted blob"):
        is_there = _exists(_StoredFile(place, digest.hex, digest).path)
    return not is_there


def _files(place: str, folder: Folder) -> Iterator[_StoredFile]:
    for name in _names(place):
        hexadecimal, _, _ = name.partition(".")
        with suppress(InvalidDigestError):  # whoever put it there knows what it is
            digest = Digest.parse(f"{folder.algorithm}:{hexadecimal}")
            if hexadecimal.startswith(folder.digits):
                yield _StoredFile(place, name, digest)


def _names(place: str) -> Iterator[str]:
    with (
        suppress(FileNotFoundError, NotADirectoryError),
        passing_over_bad_places("read a folder of blobs"),
        os.scandir(place) as found,
    ):
        for each in found:
            yield each.name


def _drop_orphans(files: Iterable[_StoredFile]) -> None:
    """Delete old checksums without a blob, and what a crash left half written."""
    oldest = time.time() - ORPHANED_SECONDS
    for file in files:
        with suppress(FileNotFoundError), passing_over_bad_places("drop an orphan"):
            is_old = os.stat(file.path).st_mtime < oldest  # noqa: PTH116 - see `_StoredFile`
            if is_old and not (file.is_checksums and _has_blob(file)):
                os.unlink(file.path)  # noqa: PTH108 - see `_StoredFile`


def _has_blob(file: _StoredFile) -> bool:
    """Tell whether the blob of some checksums is there, perhaps since just now."""
    return _exists(_StoredFile(file.folder, file.digest.hex, file.digest).path)


def _exists(path: str) -> bool:
    """Tell whether there is a file; raise `OSError` if the disk does not say."""
    try:
        os.stat(path)  # noqa: PTH116 - see `_StoredFile`
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True
