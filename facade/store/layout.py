"""Where everything lies in the cache folder.

blobs/<algorithm>/<2 hex>/<hex>        complete and verified; beside it <hex>.xxh3
ingest/<flight>/data                   arriving; beside it `announcement`, `checksums`, and `proof`
                                       once it is verified
quarantine/                            what rotted, for a person to look at
index.sqlite3                          who may read what, and what was used when
*.lock                                 held by whoever makes room, scrubs, or opens the index
"""

import hashlib
from pathlib import Path
from typing import Final

from attrs import frozen

from shared.oci import Digest, Kind

DIRECTORY_MODE: Final = 0o700
FILE_MODE: Final = 0o600


@frozen(cache_hash=True)
class FlightKey:
    """What one download serves: a digest, on one connection's access key."""

    access_key: str
    kind: Kind
    digest: Digest

    @property
    def name(self) -> str:
        """A file name that is the same in every process."""
        text = f"{self.access_key}/{self.kind}/{self.digest}"
        return hashlib.sha256(text.encode()).hexdigest()


@frozen
class Layout:
    """The paths below the cache folder."""

    root: Path

    def prepare(self) -> None:
        """Make the folders, mode 0700."""
        for folder in (self.root, self.blobs, self.ingest, self.quarantine):
            folder.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
        self.root.chmod(DIRECTORY_MODE)

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
        """The index of memberships and uses."""
        return self.root / "index.sqlite3"

    @property
    def evictor_lock(self) -> Path:
        """Held by the process that makes room."""
        return self.root / "evictor.lock"

    @property
    def scrub_lock(self) -> Path:
        """Held by the process that scrubs."""
        return self.root / "scrub.lock"

    def blob(self, digest: Digest) -> Path:
        """The file of a complete blob."""
        return self.blobs / digest.algorithm / digest.hex[:2] / digest.hex

    def checksums(self, digest: Digest) -> Path:
        """The file of its pieces' checksums."""
        return self.blob(digest).with_name(f"{digest.hex}.xxh3")

    def flight(self, key: FlightKey) -> Path:
        """The folder of an arriving blob."""
        return self.ingest / key.name
