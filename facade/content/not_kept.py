"""Why the store does not keep what a device is given: counted, because each such pull is bought."""

from facade.metrics.store_metrics import StoreMetrics, WhyNotKept
from facade.store.blob_store import NoRoomError


def count_not_kept(metrics: StoreMetrics, error: BaseException) -> None:
    """Count a pull whose content the store refused, or gave up."""
    metrics.not_kept.labels(why_not_kept(error)).inc()


def why_not_kept(error: BaseException) -> WhyNotKept:
    """Return what stands behind an error of the store, or of an arrival in it."""
    causes = (error, error.__cause__)
    if any(isinstance(each, NoRoomError) for each in causes):
        return WhyNotKept.ROOM
    if any(isinstance(each, OSError) for each in causes):
        return WhyNotKept.DISK
    return WhyNotKept.GIVEN_UP
