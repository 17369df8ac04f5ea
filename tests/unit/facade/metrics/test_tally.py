"""A histogram of our own shows what the client library's shows."""

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram, generate_latest

from facade.metrics.tally import HistogramTally

BOUNDS = (0.005, 0.25, 1.0, 60.0)
VALUES = st.lists(
    st.tuples(st.sampled_from(["a", "b"]), st.sampled_from([0.0, 0.005, 0.1, 1.0, 59.0, 1e9]))
)


@given(VALUES)
def test_it_is_read_as_the_librarys_is(values: list[tuple[str, float]]) -> None:
    """By whoever scrapes it: names, labels, bounds and numbers."""
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    tally = HistogramTally.create(ours, "seconds", "How long", ("kind",), BOUNDS)
    histogram = Histogram("seconds", "How long", ["kind"], buckets=BOUNDS, registry=theirs)
    for kind, value in values:
        tally.observe((kind,), value)
        histogram.labels(kind).observe(value)
    assert shown(ours) == shown(theirs)


def shown(registry: CollectorRegistry) -> set[str]:
    """Return the lines, without the times at which the library made its own."""
    lines = generate_latest(registry).decode().splitlines()
    return {line for line in lines if "_created" not in line}
