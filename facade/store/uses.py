"""What was used since the catalogue was last told. What is used least is evicted first."""

from attrs import define, field

from facade.store.catalogue import Catalogue
from shared.oci import Digest


@define(eq=False)
class Uses:
    """Counts uses in memory. The catalogue is told every few seconds, and before an eviction."""

    _catalogue: Catalogue
    _counts: dict[Digest, int] = field(factory=dict, init=False)

    def note(self, digest: Digest) -> None:
        """Count a use. Only on the loop."""
        self._counts[digest] = self._counts.get(digest, 0) + 1

    def write(self) -> None:
        """Tell the catalogue. Blocks."""
        counts, self._counts = self._counts, {}
        if counts:
            self._catalogue.used(counts)
