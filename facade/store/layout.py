"""Where everything lies in the cache folder.

blobs/<algorithm>/<2 hex>/<hex>        complete and verified; beside it <hex>.xxh3
ingest/<flight>-<repository>/data      arriving, with gaps; beside it `announcement`, `checksums`,
                                       `proof` once it is verified, `slow` if it comes slowly,
                                       `way` if it was asked to make way, `wanted` with locks on
                                       what other processes wait for, and `marked` with who was
                                       sent ranges before the proof
quarantine/                            what rotted, for a person to look at
index.sqlite3                          who may read what, and what was used when
<bytes>.quota.lock                     shared by the processes that may keep so many bytes
granted                                a total: all bytes that were ever granted to arrivals
beginnings                             empty: with locks on what somebody begins to bring, or brings
*.lock                                 held by whoever makes room, scrubs, or opens the index
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, Protocol

from attrs import frozen

from shared.oci import Digest
from shared.own_files import DIRECTORY_MODE, prepare_own_folder, require_own_folder

CHECKSUMS_SUFFIX: Final = ".xxh3"


class _Named(Protocol):
    @property
    def name(self) -> str:
        """A file name."""


@frozen
class Layout:
    """The paths below the cache folder."""

    root: Path

    def prepare(self) -> None:
        """Make the folders, mode 0700; raise `OSError`, also if somebody else made one of them."""
        prepare_own_folder(self.root)
        for folder in (self.blobs, self.ingest, self.quarantine):
            folder.mkdir(mode=DIRECTORY_MODE, exist_ok=True)
            require_own_folder(folder)
        for folder in self._folders_below():
            with suppress(FileNotFoundError):  # of an arrival that another process just ended
                require_own_folder(folder)

    def _folders_below(self) -> Iterator[Path]:
        """Yield each folder and link: later ones are ours, because nobody else can make them.

        A file that somebody left there is nobody's folder, and nothing is looked for below it.
        """
        yield from _folders_and_links(self.ingest)
        for algorithm in _folders_and_links(self.blobs):
            yield algorithm
            yield from _folders_and_links(algorithm)

    @property
    def blobs(self) -> Path:
        """Complete blobs."""
        return self.root / "blobs"

    @property
    def ingest(self) -> Path:
        """Arriving blobs, a folder each."""
        return self.root / "ingest"

    @property
    def quarantine(self) -> Path:
        """What rotted."""
        return self.root / "quarantine"

    @property
    def index(self) -> Path:
        """The index of rights and uses."""
        return self.root / "index.sqlite3"

    @property
    def evictor_lock(self) -> Path:
        """Held by the process that makes room."""
        return self.root / "evictor.lock"

    @property
    def granted(self) -> Path:
        """What was granted to arrivals so far. Written by whoever makes room."""
        return self.root / "granted"

    @property
    def beginnings(self) -> Path:
        """Locked by whoever begins to bring a blob, until its folder is."""
        return self.root / "beginnings"

    @property
    def scrub_lock(self) -> Path:
        """Held by the process that scrubs."""
        return self.root / "scrub.lock"

    def blob(self, digest: Digest) -> Path:
        """The file of a complete blob."""
        return Path(self.blob_path(digest))

    def checksums(self, digest: Digest) -> Path:
        """The file of its pieces' checksums."""
        return Path(self.checksums_path(digest))

    def checksums_path(self, digest: Digest) -> str:
        """The same as text."""
        return f"{self.blob_path(digest)}{CHECKSUMS_SUFFIX}"

    def blob_path(self, digest: Digest) -> str:
        """The same as `blob`, as text: every warm pull asks.

        With a `Path` of both files a blob is opened by twice as many calls of functions
        (docs/decisions/stored-blobs.md).
        """
        return f"{self.root}/blobs/{digest.algorithm}/{digest.hex[:2]}/{digest.hex}"

    def flight(self, of: _Named) -> Path:
        """The folder of an arriving blob: of a `Right`, because each repository is asked itself."""
        return self.ingest / of.name

    def flights(self, key: _Named) -> list[Path]:
        """The folders of all that arrive of a digest for one connection: a `FlightKey`. Blocks."""
        beginning = f"{key.name}-"  # there may be thousands of others, while nobody may announce
        with os.scandir(self.ingest) as found:
            return [Path(each) for each in found if each.name.startswith(beginning)]


def checksums_name(digest: Digest) -> str:
    """The name of the file that lies beside a blob."""
    return f"{digest.hex}{CHECKSUMS_SUFFIX}"


def _folders_and_links(folder: Path) -> list[Path]:
    with os.scandir(folder) as found:
        return [Path(each) for each in found if each.is_dir() or each.is_symlink()]
