"""What the store counts. Labels are from small fixed sets."""

from typing import Final

from attrs import frozen
from prometheus_client import CollectorRegistry, Counter

FOUND_BY_READ: Final = "read"
FOUND_BY_SCRUB: Final = "scrub"


@frozen
class StoreMetrics:
    """The counters of one process's store."""

    rotten: Counter
    scrubbed_bytes: Counter
    index_failures: Counter

    @classmethod
    def create(cls, registry: CollectorRegistry) -> "StoreMetrics":
        """Return counters that start at zero."""
        return cls(
            Counter(
                "facade_store_rotten_blobs",
                "Stored blobs that were not what was stored, and are quarantined",
                ["found_by"],
                registry=registry,
            ),
            Counter(
                "facade_store_scrubbed_bytes",
                "Bytes of stored blobs whose whole digest was verified again",
                registry=registry,
            ),
            Counter(
                "facade_store_index_failures",
                "Reads and writes of the store's index that failed; pulls went on without it",
                registry=registry,
            ),
        )

    @classmethod
    def of_nobody(cls) -> "StoreMetrics":
        """Return counters that nobody reads."""
        return cls.create(CollectorRegistry())
