"""What is counted of each connection's registry, in plain integers; bounded however many there are.

Labels are `host` and `prefix`, as operators approved them. So many connections have series of their
own. A further one takes the place of the one that was used the longest ago, if that has rested for
some time; else what it does is counted under `host="other"`. So no dashboard sees series that come
and go with each pull, and Prometheus has two scrapes at least of what goes.
"""

import time
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import accumulate
from typing import Final, Protocol, TypeVar
from weakref import WeakSet

from attrs import define, field, frozen
from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString
from typing_extensions import override

from facade.metrics.upstream_outcomes import RequestOutcome, SegmentOutcome, TokenFailure
from shared.oci import Kind, ReadRoute

MAX_HOSTS: Final = 1000  # connections that have series, some 25 lines of a scrape each
REST_SECONDS: Final = 600.0  # unused for so long, a connection's series may go
LOOKED_AT: Final = 8  # of the longest unused, for one that rests: some may be in use for hours
HOSTS_AT_ONCE: Final = 32  # made into samples at once, some 3 ms; others have their turn in between
OTHER: Final = "other"
# Up to the headers of one answer, whose limit is 70 s.
_SECONDS: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0)
_LABELS: Final = ("host", "prefix")
_Label = TypeVar("_Label", bound=str)


class WatchedCircuit(Protocol):
    """What keeps a registry from being asked."""

    @property
    def standing(self) -> int:
        """0: closed, it is asked; 1: half open, one tries; 2: open, nobody asks."""


@define(eq=False)
class HostSeries:
    """What was counted of one connection's registry."""

    used_at: float
    streams: int = field(default=0, init=False)  # that are being read
    spare_streams: int = field(default=0, init=False)  # beyond the first of each blob
    segments: dict[SegmentOutcome, int] = field(factory=dict, init=False)
    bytes: dict[ReadRoute, int] = field(
        factory=lambda: dict[ReadRoute, int].fromkeys(Kind, 0), init=False
    )
    requests: dict[RequestOutcome, int] = field(factory=dict, init=False)
    answered: list[int] = field(factory=lambda: [0] * (len(_SECONDS) + 1), init=False)
    seconds: float = field(default=0.0, init=False)  # of all that were answered
    token_failures: dict[TokenFailure, int] = field(factory=dict, init=False)
    token_ends: float | None = field(default=None, init=False)  # Unix seconds, of the newest
    _circuits: WeakSet[WatchedCircuit] = field(factory=WeakSet, init=False)

    def watch(self, circuit: WatchedCircuit) -> None:
        """Show a circuit for as long as somebody has it."""
        self._circuits.add(circuit)

    @property
    def circuit(self) -> int:
        """The worst of the circuits: after a rotation there may be two for a while."""
        return max((each.standing for each in self._circuits), default=0)

    def may_go(self, now: float) -> bool:
        """Tell whether nobody has used it for long enough."""
        return not self.streams and now - self.used_at >= REST_SECONDS


_Labels = tuple[str, str]
_Add = Callable[[Metric, _Labels, HostSeries], None]


@frozen
class _Family:
    """One metric of all registries."""

    new: Callable[[], Metric]  # without samples
    add: _Add  # one registry's


def _counter(
    name: str, meaning: str, label: str, counts: Callable[[HostSeries], Mapping[_Label, int]]
) -> _Family:
    """Return a counter with a label of its own."""

    def add(family: Metric, labels: _Labels, series: HostSeries) -> None:
        for value, count in counts(series).items():
            own: dict[str, str] = dict(zip(_LABELS, labels, strict=True))
            family.add_sample(f"{name}_total", {**own, label: value}, count)

    return _Family(lambda: CounterMetricFamily(name, meaning, labels=(*_LABELS, label)), add)


def _gauge(name: str, meaning: str, value: Callable[[HostSeries], float | None]) -> _Family:
    """Return a gauge, which is not shown while it has no value."""

    def add(family: Metric, labels: _Labels, series: HostSeries) -> None:
        if (shown := value(series)) is not None:
            family.add_sample(name, dict(zip(_LABELS, labels, strict=True)), shown)

    return _Family(lambda: GaugeMetricFamily(name, meaning, labels=_LABELS), add)


def _answer_seconds() -> _Family:
    name, bounds = "facade_upstream_seconds", [*map(floatToGoString, _SECONDS), "+Inf"]
    meaning = "From a request to the headers of its answer, where there was one"

    def new() -> HistogramMetricFamily:
        return HistogramMetricFamily(name, meaning, labels=_LABELS)

    def add(family: Metric, labels: _Labels, series: HostSeries) -> None:
        counts = list(accumulate(series.answered))
        one = HistogramMetricFamily(name, meaning, labels=_LABELS)
        one.add_metric(labels, list(zip(bounds, counts, strict=True)), series.seconds)
        family.samples += one.samples

    return _Family(new, add)


_FAMILIES: Final = (
    _counter(
        "facade_upstream_bytes",
        "Bytes of manifests, blobs and lists that were read from a connection's registry",
        "kind",
        lambda series: series.bytes,
    ),
    _counter(
        "facade_upstream_requests",
        "Requests to a connection's registry, to where it points, and to its token endpoint",
        "outcome",
        lambda series: series.requests,
    ),
    _answer_seconds(),
    _gauge(
        "facade_upstream_circuit",
        "Whether a connection's registry is asked: 0 it is, 1 one tries, 2 nobody asks",
        lambda series: series.circuit,
    ),
    _gauge(
        "facade_token_expiry_timestamp_seconds",
        "When the newest token or credential of a connection expires",
        lambda series: series.token_ends,
    ),
    _gauge(
        "facade_upstream_spare_streams",
        "Streams beyond the first of each blob that are being read from a connection's registry",
        lambda series: series.spare_streams,
    ),
    _counter(
        "facade_upstream_segments",
        "Segments of blobs that were asked of a connection's registry beside other streams",
        "outcome",
        lambda series: series.segments,
    ),
    _counter(
        "facade_token_failures",
        "Tokens and credentials of a connection that were asked for and not given",
        "reason",
        lambda series: series.token_failures,
    ),
)


def _downloads() -> GaugeMetricFamily:
    return GaugeMetricFamily(
        "facade_downloads", "Blobs that this process reads from registries now"
    )


@define(eq=False)
class UpstreamMetrics(Collector):
    """The registries of one process."""

    _clock: Callable[[], float] = time.monotonic
    downloads: int = field(default=0, init=False)  # bodies of blobs that are being read now
    _series: OrderedDict[tuple[str, str], HostSeries] = field(factory=OrderedDict, init=False)
    _other: HostSeries | None = field(default=None, init=False)

    @classmethod
    def create(cls, registry: CollectorRegistry) -> "UpstreamMetrics":
        """Return metrics without any registry yet."""
        metrics = cls()
        registry.register(metrics)
        return metrics

    def of(self, host: str, prefix: str) -> HostSeries:
        """Return what is counted of a connection that is used now."""
        key, now = (host, prefix), self._clock()
        series = self._series.get(key)
        if series is None:
            if len(self._series) >= MAX_HOSTS and not self._makes_way(now):
                if self._other is None:
                    self._other = HostSeries(now)
                return self._other
            series = self._series[key] = HostSeries(now)
        series.used_at = now
        self._series.move_to_end(key)
        return series

    def _makes_way(self, now: float) -> bool:
        """Let the series go that were used the longest ago, if they rest; tell whether some did."""
        for _ in range(LOOKED_AT):
            key, series = next(iter(self._series.items()))
            if series.may_go(now):
                del self._series[key]
                return True
            if not series.streams:
                return False  # all others were used later
            self._series.move_to_end(key)
            series.used_at = now
        return False

    def describe(self) -> Iterator[Metric]:
        """Yield every metric without samples."""
        for family in _FAMILIES:
            yield family.new()
        yield _downloads()

    @override
    def collect(self) -> Iterator[Metric]:
        """Yield the metrics, some hosts at a time: the same name may come several times in turn."""
        shown = list(self._series.items())
        if self._other is not None:
            shown.append(((OTHER, ""), self._other))
        for family in _FAMILIES:
            for start in range(0, max(1, len(shown)), HOSTS_AT_ONCE):
                some = family.new()
                for labels, series in shown[start : start + HOSTS_AT_ONCE]:
                    family.add(some, labels, series)
                yield some
        downloads = _downloads()
        downloads.add_metric((), self.downloads)
        yield downloads


@frozen
class HostCounts:
    """Counts for one connection, whether or not it has series of its own."""

    _metrics: UpstreamMetrics
    _host: str
    _prefix: str

    @classmethod
    def of_nobody(cls) -> "HostCounts":
        """Return counts that nobody reads."""
        return cls(UpstreamMetrics(), OTHER, "")

    def request(self, ended: int | BaseException, seconds: float) -> None:
        """Count a request by the status that it was answered, or by how it failed."""
        series, outcome = self._now, RequestOutcome.of(ended)
        series.requests[outcome] = series.requests.get(outcome, 0) + 1
        if isinstance(ended, int):
            series.answered[bisect_left(_SECONDS, seconds)] += 1
            series.seconds += seconds

    @contextmanager
    def reading(self, kind: ReadRoute, *, is_download: bool) -> Iterator[Callable[[int], None]]:
        """Give what is told of the bytes of a body within the block."""
        series, metrics = self._now, self._metrics
        counts = series.bytes
        counts.setdefault(kind, 0)  # lists are asked of few registries

        def count(came: int) -> None:
            counts[kind] += came

        series.streams += 1
        metrics.downloads += is_download
        try:
            yield count
        finally:
            series.streams -= 1
            metrics.downloads -= is_download

    def spare_streams(self, more: int) -> None:
        """Count so many more streams, or fewer."""
        self._now.spare_streams += more

    def segment(self, outcome: SegmentOutcome) -> None:
        """Count a segment by what became of it."""
        segments = self._now.segments
        segments[outcome] = segments.get(outcome, 0) + 1

    @contextmanager
    def minting(self) -> Iterator[Callable[[float | None], None]]:
        """Guard asking for a token or credential; what is given is told how long one lasts."""
        try:
            yield self._minted
        except Exception as error:
            series, reason = self._now, TokenFailure.of(error)
            series.token_failures[reason] = series.token_failures.get(reason, 0) + 1
            raise

    def watch(self, circuit: WatchedCircuit) -> None:
        """Show a circuit for as long as somebody has it."""
        self._now.watch(circuit)

    def _minted(self, lifetime_seconds: float | None) -> None:
        if lifetime_seconds is not None:
            self._now.token_ends = time.time() + lifetime_seconds

    @property
    def _now(self) -> HostSeries:
        return self._metrics.of(self._host, self._prefix)
