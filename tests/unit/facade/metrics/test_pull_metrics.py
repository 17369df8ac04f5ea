"""Pulls are counted by how they ended and where their bytes came from, from zero on."""

from itertools import product

import pytest
from prometheus_client import CollectorRegistry

from facade.answers.distribution_errors import DeviceRefusal
from facade.metrics.pull_metrics import (
    PullMetrics,
    PullOutcome,
    PullSource,
    RefusedBy,
    ended_labels,
)
from shared.oci import Kind

PULLS, BYTES, REFUSED = "facade_pulls_total", "facade_device_bytes_total", "facade_refused_total"


def test_every_combination_is_there_before_the_first_pull() -> None:
    """A rate needs the zero before the one."""
    registry = CollectorRegistry()
    PullMetrics.create(registry)
    for kind, outcome, source in product(Kind, PullOutcome, PullSource):
        labels = {"kind": kind.value, "outcome": outcome.value, "source": source.value}
        assert registry.get_sample_value(PULLS, labels) == 0
    for kind in Kind:
        assert registry.get_sample_value(BYTES, {"kind": kind.value}) == 0
    for each in RefusedBy:
        assert registry.get_sample_value(REFUSED, {"reason": each.value}) == 0


@pytest.mark.parametrize(
    "status, outcome",
    [
        (200, PullOutcome.SERVED),
        (206, PullOutcome.SERVED),
        (304, PullOutcome.SERVED),
        (404, PullOutcome.REFUSED),
        (429, PullOutcome.REFUSED),
        (500, PullOutcome.FAILED),
        (504, PullOutcome.FAILED),
        (None, PullOutcome.ABORTED),
    ],
)
def test_a_status_is_an_outcome(status: int | None, outcome: PullOutcome) -> None:
    """And an answer without one was not whole."""
    assert PullOutcome.of_status(status) is outcome


def test_what_was_not_served_came_from_nowhere() -> None:
    """Wherever it was looked for: else a hit ratio would count refusals."""
    registry = CollectorRegistry()
    ended = PullMetrics.create(registry).ended
    ended.counts[ended_labels(Kind.BLOB, 502, PullSource.UPSTREAM)] += 1
    ended.counts[ended_labels(Kind.BLOB, None, PullSource.UPSTREAM)] += 1
    counted = {
        (sample.labels["outcome"], sample.labels["source"])
        for family in registry.collect()
        for sample in family.samples
        if sample.name == PULLS and sample.value
    }
    assert counted == {("failed", "none"), ("aborted", "upstream")}


def test_a_refused_device_has_the_same_reason_in_both_counters() -> None:
    """`facade_devices_refused_total` counts it too."""
    assert {each.value for each in DeviceRefusal} < {each.value for each in RefusedBy}
