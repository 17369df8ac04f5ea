"""Counters kept as plain integers, which become samples only when they are scraped.

The client library's counters take a lock for each increment and a lookup for labels. That is too
much for what counts with each chunk of each answer. For one event loop.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from math import inf

from attrs import define, field
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString
from typing_extensions import override


@define(eq=False)
class Tally(Collector):
    """One counter: `counts[labels] += n`. Known combinations of labels are there from the start."""

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


@define(eq=False)
class _Observed:
    counts: list[int]  # of each bucket alone, the last one without a bound
    total: float = 0.0


@define(eq=False)
class HistogramTally(Collector):
    """One histogram. A combination of labels is there from its first value on."""

    _name: str
    _meaning: str
    _labels: tuple[str, ...]
    _bounds: tuple[float, ...]
    _observed: dict[tuple[str, ...], _Observed] = field(factory=dict, init=False)

    @classmethod
    def create(
        cls,
        registry: CollectorRegistry,
        name: str,
        meaning: str,
        labels: tuple[str, ...],
        bounds: tuple[float, ...],
    ) -> "HistogramTally":
        """Return a histogram of nothing yet, whose buckets end with each of the bounds."""
        tally = cls(name, meaning, labels, bounds)
        registry.register(tally)
        return tally

    def observe(self, labels: tuple[str, ...], value: float) -> None:
        """Count a value."""
        observed = self._observed.get(labels)
        if observed is None:
            observed = self._observed[labels] = _Observed([0] * (len(self._bounds) + 1))
        observed.counts[bisect_left(self._bounds, value)] += 1
        observed.total += value

    def describe(self) -> Iterator[Metric]:
        """Yield the histogram without its samples."""
        yield HistogramMetricFamily(self._name, self._meaning, labels=self._labels)

    @override
    def collect(self) -> Iterator[Metric]:
        """Yield the histogram as it stands."""
        family = HistogramMetricFamily(self._name, self._meaning, labels=self._labels)
        # The library has no types.
        ends = [floatToGoString(bound) for bound in (*self._bounds, inf)]  # type: ignore[no-untyped-call]
        for labels, observed in self._observed.items():
            counts = [sum(observed.counts[: number + 1]) for number in range(len(ends))]
            family.add_metric(labels, [*zip(ends, counts, strict=True)], observed.total)
        yield family
