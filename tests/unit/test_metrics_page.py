"""Every metric stands in the document, with its labels and its unit."""

import pytest

from deploy.dev.debian import REPOSITORY
from deploy.dev.metrics_page import (
    DescribedMetric,
    control_plane_metrics,
    facade_metrics,
    page,
)

BOTH = pytest.mark.parametrize("metrics", [facade_metrics(), control_plane_metrics()])


def test_the_document_is_what_the_programs_count() -> None:
    """`make docs` writes it; whoever adds a metric finds out here."""
    assert (REPOSITORY / "docs" / "metrics.md").read_text() == page()


@BOTH
def test_no_label_is_of_a_device_or_of_what_it_asks_for(metrics: list[DescribedMetric]) -> None:
    """Each would be as many series as somebody asks for."""
    labels = {label for metric in metrics for label in metric.labels}
    assert labels.isdisjoint({"device", "digest", "repository", "peer", "connection", "request_id"})


@BOTH
def test_names_are_as_prometheus_has_them(metrics: list[DescribedMetric]) -> None:
    """A counter ends in `_total`, a histogram in its unit, a point in time says that it is one."""
    assert len({metric.name for metric in metrics}) == len(metrics)
    for metric in metrics:
        assert metric.meaning
        assert (metric.type == "counter") == metric.name.endswith("_total")
        if metric.type == "histogram":
            assert metric.unit in {"s", "bytes"}


def test_the_two_processes_share_no_name_but_those_of_every_process() -> None:
    """One scrape of both is told apart by its names."""
    shared = {each.name for each in facade_metrics()} & {
        each.name for each in control_plane_metrics()
    }
    assert all(name.startswith(("process_", "python_")) for name in shared)
