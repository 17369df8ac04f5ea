"""Makes the index agree with the files, whatever a crash or a person did to either of them."""

import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from attrs import frozen

from facade.store.bad_place import passing_over_bad_places
from facade.store.index import Index
from facade.store.layout import Layout
from shared.oci import Digest, InvalidDigestError

ORPHANED_SECONDS: Final = 3600.0  # checksums are written a moment before their blob


@frozen
class _StoredFile:
    digest: Digest
    path: Path
    is_blob: bool  # else something that belongs to one


def reconcile(layout: Layout, index: Index) -> None:
    """Have the index know every stored blob and no other. Blocks; raises `OSError`.

    Other processes may go on: what they add or evict meanwhile is theirs to note.
    """
    indexed = {each.digest for each in index.least_used(-1)}
    blobs, companions = set(), list[_StoredFile]()
    for file in _files(layout):
        if not file.is_blob:
            companions.append(file)
            continue
        blobs.add(file.digest)
        if file.digest not in indexed:
            with (
                suppress(FileNotFoundError),  # evicted just now
                passing_over_bad_places("note a stored blob"),
            ):
                index.found(file.digest, file.path.stat().st_size)
    for digest in indexed - blobs:
        with passing_over_bad_places("look for a noted blob"):
            if not layout.blob(digest).exists():
                index.removed(digest)
    _drop_orphans(layout, companions, blobs)


def _files(layout: Layout) -> Iterator[_StoredFile]:
    for path in _paths(layout):
        name, _, suffix = path.name.partition(".")
        with suppress(InvalidDigestError):  # whoever put it there knows what it is
            digest = Digest.parse(f"{path.parent.parent.name}:{name}")
            yield _StoredFile(digest, path, is_blob=not suffix)


def _paths(layout: Layout) -> Iterator[Path]:
    for folder in layout.blobs.glob("*/*"):
        found = list[Path]()
        with suppress(NotADirectoryError), passing_over_bad_places("read a folder of blobs"):
            found = list(folder.iterdir())
        yield from found


def _drop_orphans(layout: Layout, companions: list[_StoredFile], blobs: set[Digest]) -> None:
    """Delete old checksums without a blob, and what a crash left half written."""
    oldest = time.time() - ORPHANED_SECONDS
    for file in companions:
        if file.path == layout.checksums(file.digest) and file.digest in blobs:
            continue
        with suppress(FileNotFoundError), passing_over_bad_places("drop an orphan"):
            if file.path.stat().st_mtime < oldest and not _is_new_blobs(layout, file):
                file.path.unlink()


def _is_new_blobs(layout: Layout, file: _StoredFile) -> bool:
    """Tell whether the blob of some checksums has come since the folder was read."""
    return file.path == layout.checksums(file.digest) and layout.blob(file.digest).exists()
