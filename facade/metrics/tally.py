"""Counters kept as plain integers, which become samples only when they are scraped.

The client library's counters take a lock for each increment and a lookup for labels. That is too
much for what counts with each chunk of each answer. For one event loop.
"""

from collections.abc import Iterable, Iterator

from attrs import define
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector
from typing_extensions import override


@define(eq=False)
class Tally(Collector):
    """One counter: `counts[labels] += n`. Every combination of labels is there from the start."""

    _name: str  # without `_total`
    _meaning: str
    _labels: tuple[str, ...]
    counts: dict[tuple[str, ...], int]

    @classmethod
    def create(
        cls,
        registry: CollectorRegistry,
        name: str,
        meaning: str,
        labels: tuple[str, ...],
        known: Iterable[tuple[str, ...]],
    ) -> "Tally":
        """Return a counter that starts at zero, because a rate needs that first value."""
        tally = cls(name, meaning, labels, dict.fromkeys(known, 0))
        registry.register(tally)
        return tally

    def describe(self) -> Iterator[Metric]:
        """Yield the counter without its samples."""
        yield CounterMetricFamily(self._name, self._meaning, labels=self._labels)

    @override
    def collect(self) -> Iterator[Metric]:
        """Yield the counter as it stands."""
        family = CounterMetricFamily(self._name, self._meaning, labels=self._labels)
        for labels, count in self.counts.items():
            family.add_metric(labels, count)
        yield family
