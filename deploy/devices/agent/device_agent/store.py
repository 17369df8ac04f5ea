"""The device's content: an OCI image layout, so that podman reads it as it lies there.

A file under `blobs/` was right when it got there. Disks rot, so whoever is about to apply it reads
it once more.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from attrs import frozen

from device_agent.descriptor import Descriptor
from device_agent.durable import make_folder, move, remove, sync_folder, write_whole
from device_agent.errors import RefusedError, StorageError
from device_agent.grammar import hex_of
from device_agent.partial import discard_partial, partial_files

READ_BYTES: Final = 256 * 1024
_REF_NAME: Final = "org.opencontainers.image.ref.name"


@frozen
class Store:
    """The layout in one folder, and what arrives beside it."""

    folder: Path

    def prepare(self) -> None:
        """Make its folders, once."""
        make_folder(self.folder / "blobs" / "sha256")
        make_folder(self.folder / "arriving")
        marker = self.folder / "oci-layout"
        if not marker.is_file():
            write_whole(marker, json.dumps({"imageLayoutVersion": "1.0.0"}).encode())

    def place(self, digest: str) -> Path:
        """Return where a blob lies."""
        return self.folder / "blobs" / "sha256" / hex_of(digest)

    def arriving(self, digest: str) -> Path:
        """Return where a blob grows."""
        return self.folder / "arriving" / hex_of(digest)

    def holds(self, blob: Descriptor) -> bool:
        """Tell whether a blob is here and right; one that is not is removed."""
        path = self.place(blob.digest)
        if not path.is_file():
            return False
        if path.stat().st_size == blob.size and digest_of(path) == blob.digest:
            return True
        remove(path)
        return False

    def put(self, blob: Descriptor, content: bytes) -> None:
        """Keep a small blob; RefusedError unless it is what its digest and size say."""
        if len(content) != blob.size or f"sha256:{_hex(content)}" != blob.digest:
            raise RefusedError(f"{blob.digest}: other bytes came")
        write_whole(self.place(blob.digest), content)

    def read(self, digest: str, limit: int) -> bytes:
        """Return a small blob."""
        with self.place(digest).open("rb") as file:
            return file.read(limit)

    def name_images(self, manifests: Mapping[str, Descriptor]) -> None:
        """Name manifests in the layout's index: by its name podman finds one."""
        entries = [
            {
                "mediaType": each.media_type,
                "digest": each.digest,
                "size": each.size,
                "annotations": {_REF_NAME: name},
            }
            for name, each in manifests.items()
        ]
        index = {"schemaVersion": 2, "manifests": entries}
        write_whole(self.folder / "index.json", json.dumps(index).encode())

    def expect_room(self, needed: int, kept_free: int) -> None:
        """Raise StorageError if so many bytes would leave too little."""
        free = shutil.disk_usage(self.folder).free
        if free < needed + kept_free:
            raise StorageError(
                f"{needed} bytes are needed beside {kept_free} that stay free, and {free} are free"
            )

    def missing(self, blobs: Iterable[Descriptor]) -> int:
        """Return how many bytes of these blobs are not here yet."""
        return sum(max(blob.size - self._bytes_of(blob), 0) for blob in blobs)

    def forget_all_but(self, digests: Iterable[str]) -> None:
        """Remove every blob that is none of these, here or arriving."""
        kept = tuple(digests)
        places = {self.place(digest) for digest in kept}
        for path in (self.folder / "blobs" / "sha256").iterdir():
            if path not in places:
                remove(path)
        self.forget_arriving_but(kept)
        sync_folder(self.folder / "blobs" / "sha256")

    def forget_arriving_but(self, digests: Iterable[str]) -> None:
        """Remove what came of blobs that are none of these: nobody wants it any more."""
        places = {self.arriving(digest) for digest in digests}
        for path in partial_files(self.folder / "arriving"):
            if path not in places:
                discard_partial(path)

    def _bytes_of(self, blob: Descriptor) -> int:
        for path in (self.place(blob.digest), self.arriving(blob.digest)):
            if path.is_file():
                return path.stat().st_size
        return 0


def copy_durably(source: Path, place: Path) -> None:
    """Copy a file to beside its place on another disk, then rename it."""
    unfinished = place.with_name(f".{place.name}.copied")
    with source.open("rb") as file, unfinished.open("wb") as copy:
        shutil.copyfileobj(file, copy, READ_BYTES)
        copy.flush()
        os.fsync(copy.fileno())
    move(unfinished, place)


def digest_of(path: Path) -> str:
    """Read a whole file; its digest."""
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


def _hex(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
