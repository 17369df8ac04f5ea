"""What was used since the index was last told. What is used least is evicted first."""

from attrs import define, field

from facade.store.index import Index
from shared.oci import Digest


@define(eq=False)
class Uses:
    """Counts uses in memory. The index is told every few seconds, and before an eviction."""

    _index: Index
    _counts: dict[Digest, int] = field(factory=dict, init=False)

    def note(self, digest: Digest) -> None:
        """Count a use. Only on the loop."""
        self._counts[digest] = self._counts.get(digest, 0) + 1

    def write(self) -> None:
        """Tell the index. Blocks."""
        counts, self._counts = self._counts, {}
        if counts:
            self._index.used(counts)
