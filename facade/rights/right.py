"""What a right is about: a digest that an access key may read through a repository."""

import hashlib

from attrs import frozen

from shared.oci import Digest, Kind, RepositoryName


@frozen(cache_hash=True)
class FlightKey:
    """What may be read: a digest, on one connection's access key."""

    access_key: str
    kind: Kind
    digest: Digest

    @property
    def name(self) -> str:
        """A file name that is the same in every process."""
        text = f"{self.access_key}/{self.kind}/{self.digest}"
        return hashlib.sha256(text.encode()).hexdigest()


@frozen(cache_hash=True)
class Right:
    """What a right is about, and what one download proves: a digest through a repository."""

    key: FlightKey
    repository: RepositoryName

    @property
    def name(self) -> str:
        """A file name that is the same in every process, and begins with that of its key."""
        repository = hashlib.sha256(str(self.repository).encode()).hexdigest()
        return f"{self.key.name}-{repository[:16]}"
