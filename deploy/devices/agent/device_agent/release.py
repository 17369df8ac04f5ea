"""What a fleet names for a device: for each slot one artifact. All of them together, or none."""

import hashlib
import json
from typing import Final

from attrs import frozen

from device_agent.descriptor import Descriptor
from device_agent.grammar import hex_of

SHOWN_HEX: Final = 12  # digits of a digest in names and lines: enough to tell releases apart


@frozen(order=True)
class Artifact:
    """One artifact by the manifest, or the index, that the fleet's keys have signed.

    `repository` is `host/repository` in a path of the facade, `digest` that document's, `length`
    its bytes.
    """

    slot: str
    repository: str
    digest: str
    length: int
    media_type: str

    @property
    def descriptor(self) -> Descriptor:
        """What was signed."""
        return Descriptor(self.digest, self.length, self.media_type)

    @property
    def short(self) -> str:
        """The digest's first digits."""
        return hex_of(self.digest)[:SHOWN_HEX]


@frozen
class Release:
    """The artifacts of a device, in the order of their slots."""

    artifacts: tuple[Artifact, ...]

    @property
    def fingerprint(self) -> str:
        """What tells this release from every other: SHA-256 in hex over slots and digests."""
        content = [[each.slot, each.digest] for each in self.artifacts]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()

    def __str__(self) -> str:
        """In a line: `app=0123456789ab model=...`."""
        return " ".join(f"{each.slot}={each.short}" for each in self.artifacts)
