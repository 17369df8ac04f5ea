"""What is counted begins at zero, and series of hosts have a bound."""

from collections import Counter

import pytest

from facade.content.not_kept import why_not_kept
from facade.metrics.metrics import FacadeMetrics
from facade.metrics.pull_metrics import NotAsked
from facade.metrics.store_metrics import FOUND_BY_READ, FOUND_BY_SCRUB, WhyNotKept
from facade.metrics.upstream_metrics import MAX_HOSTS, OTHER
from facade.store.blob_store import NoRoomError

REFUSED = "facade_refused_credentials"


def test_every_reason_is_there_before_the_first() -> None:
    """A rate needs the zero before the one."""
    value = FacadeMetrics.create().registry.get_sample_value
    for why in NotAsked:
        assert value("facade_not_asked_total", {"reason": why}) == 0
    for found_by in (FOUND_BY_READ, FOUND_BY_SCRUB):
        assert value("facade_store_rotten_blobs_total", {"found_by": found_by}) == 0
    for not_kept in WhyNotKept:
        assert value("facade_store_not_kept_total", {"why": not_kept}) == 0


def test_refused_credentials_are_shown_of_so_many_hosts_and_of_the_rest() -> None:
    """Those with most of them have series of their own; what is accepted again has none."""
    metrics = FacadeMetrics.create()
    value = metrics.registry.get_sample_value
    metrics.show_refused_credentials(Counter({"gone.example": 1}))
    assert value(REFUSED, {"host": "gone.example"}) == 1
    many = Counter({f"host-{number}.example": 2 for number in range(MAX_HOSTS)})
    metrics.show_refused_credentials(many | Counter({f"rare-{n}.example": 1 for n in range(5)}))
    assert value(REFUSED, {"host": "host-0.example"}) == 2
    assert value(REFUSED, {"host": "rare-0.example"}) is None
    assert value(REFUSED, {"host": OTHER}) == 5
    assert value(REFUSED, {"host": "gone.example"}) is None
    metrics.show_refused_credentials(Counter())
    assert value(REFUSED, {"host": OTHER}) == 0


def _caused(by: BaseException) -> Exception:
    error = RuntimeError("the store gave up")
    error.__cause__ = by
    return error


@pytest.mark.parametrize(
    "error, why",
    [
        (NoRoomError(), WhyNotKept.ROOM),
        (_caused(NoRoomError()), WhyNotKept.ROOM),
        (OSError(28, "full"), WhyNotKept.DISK),
        (_caused(OSError(5, "broken")), WhyNotKept.DISK),
        (RuntimeError(), WhyNotKept.GIVEN_UP),
    ],
)
def test_what_is_not_kept_is_counted_by_what_stands_behind_it(
    error: BaseException, why: WhyNotKept
) -> None:
    """The room of the quota is another matter than the disk."""
    assert why_not_kept(error) is why
