"""What was found out about the lengths of blobs whose answers do not say how long they are.

What a registry says of such a length elsewhere is only a claim. What the bytes have shown counts
for more. Each upstream has a memory of its own.
"""

from typing import Final

from attrs import define, field, frozen

from shared.bounded_map import BoundedMap
from shared.oci import Digest

MAX_LENGTHS: Final = 4096  # of one connection, some 600 bytes each; the least used is forgotten


@frozen
class _Found:
    """A length was proven; or a wrong one was told, and so many bytes were seen."""

    seen: int
    is_proven: bool = False


@define(eq=False)
class BlobLengths:
    """What the bytes themselves have shown. For one event loop."""

    _found: BoundedMap[Digest, _Found] = field(factory=lambda: BoundedMap(MAX_LENGTHS), init=False)

    def prove(self, digest: Digest, length: int) -> None:
        """Note that the digest names so many bytes."""
        self._found.set(digest, _Found(length, is_proven=True))

    def distrust(self, digest: Digest, seen: int) -> None:
        """Note that a wrong length was told, and that at least so many bytes came."""
        before = self._found.get(digest)
        if before is None or not before.is_proven:
            self._found.set(digest, _Found(max(seen, before.seen if before else 0)))

    def proven(self, digest: Digest) -> int | None:
        """Return the length in bytes if it was proven."""
        found = self._found.get(digest)
        return found.seen if found is not None and found.is_proven else None

    def may_be(self, digest: Digest, told: int) -> bool:
        """Tell whether a length may be true."""
        found = self._found.get(digest)
        if found is None:
            return (told == 0) == digest.is_of_nothing
        return told == found.seen if found.is_proven else told >= found.seen

    def was_mistold(self, digest: Digest) -> bool:
        """Tell whether a wrong length was told, and the right one is not known."""
        found = self._found.get(digest)
        return found is not None and not found.is_proven

    @property
    def doubts_some(self) -> bool:
        """Whether there is a blob whose told length was wrong and whose real one is unknown."""
        return any(self.was_mistold(digest) for digest in self._found)

    @property
    def count(self) -> int:
        """How many are remembered."""
        return len(self._found)
