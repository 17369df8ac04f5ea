"""What the facade counts. Labels are from small fixed sets: no device, digest or path, and only a
bounded number of hosts.
"""

import asyncio
from collections import Counter as Counts
from collections.abc import Iterator
from typing import Final

from attrs import field, frozen
from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector
from typing_extensions import override

from facade.metrics.approval_metrics import ApprovalMetrics
from facade.metrics.device_metrics import DeviceMetrics
from facade.metrics.pull_metrics import NotAsked, PullMetrics, PullSource, ended_labels
from facade.metrics.store_metrics import StoreMetrics
from facade.metrics.tally import HistogramTally, Tally
from facade.metrics.upstream_metrics import MAX_HOSTS, OTHER, UpstreamMetrics
from shared.oci import ReadRoute
from shared.process_metrics import process_registry

_HEAD_LINES: Final = 2  # HELP and TYPE, written once
# From a manifest on a warm token to a model of tens of GiB over a slow link.
_DURATION_BUCKETS: Final = (0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0, 600.0, 3600.0)


@frozen
class _Labels:
    """What an answer is counted by."""

    answer: tuple[str, str]
    duration: tuple[str]
    pull: tuple[str, str, str] | None


@frozen(kw_only=True)
class FacadeMetrics:
    """The process's metrics in a registry of its own."""

    registry: CollectorRegistry
    _answers: Tally
    _durations: HistogramTally
    refused_credentials: Gauge
    background_failures: Counter
    problem: Gauge
    loop_lag: Gauge
    answered_at_once: Tally
    unverified_ranges: Counter
    not_asked: Counter
    credentials_minted: Counter
    tokens_minted: Counter
    open_upstreams: Gauge
    approvals: ApprovalMetrics
    store: StoreMetrics
    devices: DeviceMetrics
    pulls: PullMetrics
    upstreams: UpstreamMetrics
    # By how an answer ended: making labels took a tenth of a small answer's time
    # (docs/decisions/pulls.md).
    _labels: dict[tuple[int | None, ReadRoute | None, PullSource], _Labels] = field(
        factory=dict, init=False
    )

    @classmethod
    def create(cls) -> "FacadeMetrics":
        """Return metrics that start at zero."""
        registry = process_registry("facade")
        metrics = cls(
            registry=registry,
            answers=Tally.create(
                registry, "facade_answers", "Answers to devices", ("status", "kind"), ()
            ),
            durations=HistogramTally.create(
                registry,
                "facade_answer_seconds",
                "From the request's headers to the last byte",
                ("kind",),
                _DURATION_BUCKETS,
            ),
            refused_credentials=Gauge(
                "facade_refused_credentials",
                "Connections whose credential their registry refused when it was last used",
                ["host"],
                registry=registry,
            ),
            background_failures=Counter(
                "facade_background_failures",
                "Failures that nobody foresaw of work beside the pulls; it was started again",
                ["work"],
                registry=registry,
            ),
            problem=Gauge(
                "facade_problem",
                "1 while something is wrong with the part; /readyz says what",
                ["part"],
                registry=registry,
            ),
            loop_lag=Gauge(
                "facade_loop_lag_seconds",
                "The worst lateness of the event loop since the last scrape",
                registry=registry,
            ),
            answered_at_once=Tally.create(
                registry,
                "facade_answers_at_once",
                "Of the answers to devices, those that began without waiting, around the parser",
                (),
                [()],
            ),
            unverified_ranges=Counter(
                "facade_unverified_ranges",
                "Ranges that were answered, marked, before their blob was proven",
                registry=registry,
            ),
            not_asked=Counter(
                "facade_not_asked",
                "Pulls that were answered without asking the registry, as they had to ask it",
                ["reason"],
                registry=registry,
            ),
            credentials_minted=Counter(
                "facade_credentials_minted",
                "Credentials asked of providers: Google, AWS, or read from the connection",
                registry=registry,
            ),
            tokens_minted=Counter(
                "facade_tokens_minted",
                "Authorizations asked of registries' token endpoints",
                registry=registry,
            ),
            open_upstreams=Gauge(
                "facade_open_upstreams",
                "Connections whose client is open: their registry was asked in the last hour",
                registry=registry,
            ),
            approvals=ApprovalMetrics.create(registry),
            store=StoreMetrics.create(registry),
            devices=DeviceMetrics.create(registry),
            pulls=PullMetrics.create(registry),
            upstreams=UpstreamMetrics.create(registry),
        )
        for why in NotAsked:
            metrics.not_asked.labels(why)
        return metrics

    def show_refused_credentials(self, by_host: Counts[str]) -> None:
        """Show of how many connections the credential is refused, by host, and of the rest."""
        self.refused_credentials.clear()
        shown = by_host.most_common(MAX_HOSTS)
        for host, count in shown:
            self.refused_credentials.labels(host).set(count)
        rest = by_host.total() - sum(count for _, count in shown)
        self.refused_credentials.labels(OTHER).set(rest)

    def answered(
        self, status: int | None, kind: ReadRoute | None, source: PullSource, seconds: float
    ) -> None:
        """Count an answer, and the pull that it was, if any.

        Without a status it was aborted, or its device left.
        """
        labels = self._labels.get((status, kind, source))
        if labels is None:
            labels = self._labels[status, kind, source] = _labels_of(status, kind, source)
            self._answers.counts.setdefault(labels.answer, 0)
        self._answers.counts[labels.answer] += 1
        self._durations.observe(labels.duration, seconds)
        if labels.pull is not None:
            self.pulls.ended.counts[labels.pull] += 1

    def exposition(self) -> bytes:
        """Return the Prometheus text format."""
        return b"".join(self._parts())

    async def exposition_in_turns(self) -> bytes:
        """Return the same, but let other work have its turn in between."""
        parts = []
        for part in self._parts():
            parts.append(part)
            await asyncio.sleep(0)
        return b"".join(parts)

    def _parts(self) -> Iterator[bytes]:
        """Yield the text metric by metric, and one of many series piece by piece."""
        before = ""
        for metric in self.registry.collect():
            part = generate_latest(_Only(metric))
            yield part if metric.name != before else part.split(b"\n", _HEAD_LINES)[_HEAD_LINES]
            before = metric.name


def _labels_of(status: int | None, kind: ReadRoute | None, source: PullSource) -> _Labels:
    route = "none" if kind is None else kind.value
    pull = None if kind is None else ended_labels(kind, status, source)
    return _Labels((str(status or "aborted"), route), (route,), pull)


@frozen
class _Only(Collector):
    """One metric, to be written by itself."""

    _metric: Metric

    @override
    def collect(self) -> tuple[Metric]:
        """Return it."""
        return (self._metric,)
