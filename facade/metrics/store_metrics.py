"""What the store counts. Labels are from small fixed sets."""

from enum import StrEnum
from math import nan
from typing import Final

from attrs import frozen
from prometheus_client import CollectorRegistry, Counter, Gauge


class WhyNotKept(StrEnum):
    """Why what came for a pull was passed on, and not kept."""

    ROOM = "room"  # no room may be freed for so many bytes within the quota
    DISK = "disk"  # the disk is full, or failed
    GIVEN_UP = "given_up"  # whoever brought it ended before it was whole


FOUND_BY_READ: Final = "read"
FOUND_BY_SCRUB: Final = "scrub"


class StoreState(StrEnum):
    """What takes room in the quota."""

    STORED = "stored"  # complete blobs
    ARRIVING = "arriving"  # with the room that was made for them so far
    LEFT = "left"  # by whoever brought it; it is resumed, or removed when room is needed
    QUARANTINED = "quarantined"
    INDEX = "index"  # beyond what the quota is rounded to


class WhyEvicted(StrEnum):
    """Why stored blobs were evicted."""

    ROOM = "room"  # an arrival waited for it
    AHEAD = "ahead"  # for what comes next, or because the quota was lowered
    DISK = "disk"  # the disk was fuller than the quota knows


@frozen(kw_only=True)
class StoreMetrics:
    """What one process counts of its store. The bytes are those of the whole machine."""

    rotten: Counter
    not_kept: Counter
    scrubbed_bytes: Counter
    index_failures: Counter
    bytes: Gauge
    limit: Gauge
    oldest_use: Gauge
    evicted: Counter
    followers: Gauge

    @classmethod
    def create(cls, registry: CollectorRegistry) -> "StoreMetrics":
        """Return counters that start at zero."""
        metrics = cls(
            rotten=Counter(
                "facade_store_rotten_blobs",
                "Stored blobs that were not what was stored, and are quarantined",
                ["found_by"],
                registry=registry,
            ),
            not_kept=Counter(
                "facade_store_not_kept",
                "Pulls of what was downloaded and passed on, because the store could not keep it",
                ["why"],
                registry=registry,
            ),
            scrubbed_bytes=Counter(
                "facade_store_scrubbed_bytes",
                "Bytes of stored blobs whose whole digest was verified again",
                registry=registry,
            ),
            index_failures=Counter(
                "facade_store_index_failures",
                "Reads and writes of the store's index that failed; pulls went on without it",
                registry=registry,
            ),
            bytes=Gauge(
                "facade_store_bytes",
                "What the store of this machine takes of its quota",
                ["state"],
                registry=registry,
            ),
            limit=Gauge(
                "facade_store_limit_bytes",
                "The store's quota; 0: nothing is kept",
                registry=registry,
            ),
            oldest_use=Gauge(
                "facade_store_oldest_use_timestamp_seconds",
                "When the stored blob that was used the longest ago was used; NaN without any",
                registry=registry,
            ),
            evicted=Counter(
                "facade_store_evicted_bytes",
                "Bytes of the quota that were freed of stored blobs",
                ["why"],
                registry=registry,
            ),
            followers=Gauge(
                "facade_followers",
                "Answers that are read along with a blob as it arrives, in whichever process",
                registry=registry,
            ),
        )
        for state in StoreState:
            metrics.bytes.labels(state)
        for why in WhyEvicted:
            metrics.evicted.labels(why)
        for found_by in (FOUND_BY_READ, FOUND_BY_SCRUB):
            metrics.rotten.labels(found_by)
        for not_kept in WhyNotKept:
            metrics.not_kept.labels(not_kept)
        metrics.oldest_use.set(nan)
        return metrics

    @classmethod
    def of_nobody(cls) -> "StoreMetrics":
        """Return counters that nobody reads."""
        return cls.create(CollectorRegistry())
