"""What the facade counts. Labels are from small fixed sets: no device, digest or path, and only a
bounded number of hosts.
"""

import asyncio
from collections import Counter as Counts
from collections.abc import Iterator
from typing import Final

from attrs import field, frozen
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    Info,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import Metric
from prometheus_client.registry import Collector
from typing_extensions import override

from facade.metrics.device_metrics import DeviceMetrics
from facade.metrics.pull_metrics import NotAsked, PullMetrics
from facade.metrics.store_metrics import StoreMetrics
from facade.metrics.tally import HistogramTally, Tally
from facade.metrics.upstream_metrics import MAX_HOSTS, OTHER, UpstreamMetrics
from shared.build import Build
from shared.oci import ReadRoute

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
# From a manifest on a warm token to a model of tens of GiB over a slow link.
# A second is promised. A poll without NOTIFY takes 15 s; if the database was away, as long as that.
_LAG_BUCKETS: Final = (0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 15.0, 60.0, 600.0)
_HEAD_LINES: Final = 2  # HELP and TYPE, written once
_DURATION_BUCKETS: Final = (0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0, 600.0, 3600.0)


@frozen
class FacadeMetrics:
    """The process's metrics in a registry of its own."""

    registry: CollectorRegistry
    _answers: Tally
    _durations: HistogramTally
    connections: Gauge
    unverified_statements: Gauge
    ended_approvals: Gauge
    next_approval_end: Gauge
    approvals_ending_soon: Gauge
    refused_credentials: Gauge
    refused_rows: Gauge
    vanished_connections: Gauge
    unusable_secrets: Gauge
    snapshot_age: Gauge
    background_failures: Counter
    problem: Gauge
    loop_lag: Gauge
    statements_refused: Counter
    answered_at_once: Tally
    unverified_ranges: Counter
    not_asked: Counter
    credentials_minted: Counter
    tokens_minted: Counter
    open_upstreams: Gauge
    statement_lag: Histogram
    store: StoreMetrics
    devices: DeviceMetrics
    pulls: PullMetrics
    upstreams: UpstreamMetrics
    # By status and kind: making labels took a tenth of a small answer's time
    # (docs/decisions/pulls.md).
    _answer_labels: dict[tuple[int | None, ReadRoute | None], tuple[str, str]] = field(
        factory=dict, init=False
    )

    @classmethod
    def create(cls) -> "FacadeMetrics":
        """Return metrics that start at zero."""
        # It adds a line to each counter, which nobody needs. The library has no types.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)
        build = Info("facade_build", "The version that runs, and its commit", registry=registry)
        build.info(Build.of_this_program().labels())
        metrics = cls(
            registry,
            Tally.create(registry, "facade_answers", "Answers to devices", ("status", "kind"), ()),
            HistogramTally.create(
                registry,
                "facade_answer_seconds",
                "From the request's headers to the last byte",
                ("kind",),
                _DURATION_BUCKETS,
            ),
            Gauge(
                "facade_approved_connections",
                "Connections that the snapshot serves now: their approval has not expired",
                registry=registry,
            ),
            Gauge(
                "facade_unverified_statements",
                "Statements of the state folder that were not verified yet since the start: each is"
                " verified before it first serves, and the rest in the background",
                registry=registry,
            ),
            Gauge(
                "facade_expired_approvals",
                "Connections whose approval has expired: they serve nobody until it is renewed",
                registry=registry,
            ),
            Gauge(
                "facade_approval_expiry_timestamp_seconds",
                "When the next approval that serves ends by itself; +Inf if none does",
                registry=registry,
            ),
            Gauge(
                "facade_approvals_ending_soon",
                "Approvals that serve, and end by themselves within seven days",
                registry=registry,
            ),
            Gauge(
                "facade_refused_credentials",
                "Connections whose credential their registry refused when it was last used",
                ["host"],
                registry=registry,
            ),
            Gauge(
                "facade_refused_rows",
                "Rows of the database that are not believed now",
                ["reason"],
                registry=registry,
            ),
            Gauge(
                "facade_vanished_connections",
                "Approved connections whose row is gone without a statement: they serve nobody",
                registry=registry,
            ),
            Gauge(
                "facade_unusable_secrets",
                "Connections whose sealed secret does not open here (with the keys that are there"
                " now), or is of no use",
                registry=registry,
            ),
            Gauge(
                "facade_snapshot_age_seconds",
                "Since the database was last read whole; -1 where it never was",
                registry=registry,
            ),
            Counter(
                "facade_background_failures",
                "Failures that nobody foresaw of work beside the pulls; it was started again",
                ["work"],
                registry=registry,
            ),
            Gauge(
                "facade_problem",
                "1 while something is wrong with the part; /readyz says what",
                ["part"],
                registry=registry,
            ),
            Gauge(
                "facade_loop_lag_seconds",
                "The worst lateness of the event loop since the last scrape",
                registry=registry,
            ),
            Counter(
                "facade_statements_refused",
                "Rows that were not believed, and subjects that vanished",
                registry=registry,
            ),
            Tally.create(
                registry,
                "facade_answers_at_once",
                "Of the answers to devices, those that were given from memory, without waiting",
                (),
                [()],
            ),
            Counter(
                "facade_unverified_ranges",
                "Ranges that were answered, marked, before their blob was proven",
                registry=registry,
            ),
            Counter(
                "facade_not_asked",
                "Pulls that were answered without asking the registry, as they had to ask it",
                ["reason"],
                registry=registry,
            ),
            Counter(
                "facade_credentials_minted",
                "Credentials asked of providers: Google, AWS, or read from the connection",
                registry=registry,
            ),
            Counter(
                "facade_tokens_minted",
                "Authorizations asked of registries' token endpoints",
                registry=registry,
            ),
            Gauge(
                "facade_open_upstreams",
                "Connections whose client is open: their registry was asked in the last hour",
                registry=registry,
            ),
            Histogram(
                "facade_statement_lag_seconds",
                "From an act of the admin API to its effect here; not of what a start catches up",
                buckets=_LAG_BUCKETS,
                registry=registry,
            ),
            StoreMetrics.create(registry),
            DeviceMetrics.create(registry),
            PullMetrics.create(registry),
            UpstreamMetrics.create(registry),
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

    def answered(self, status: int | None, kind: ReadRoute | None, seconds: float) -> None:
        """Count an answer; without a status it was aborted, or its device left."""
        labels = self._answer_labels.get((status, kind))
        if labels is None:
            labels = (str(status or "aborted"), kind.value if kind else "none")
            self._answer_labels[status, kind] = labels
            self._answers.counts.setdefault(labels, 0)
        self._answers.counts[labels] += 1
        self._durations.observe(labels[1:], seconds)

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


@frozen
class _Only(Collector):
    """One metric, to be written by itself."""

    _metric: Metric

    @override
    def collect(self) -> tuple[Metric]:
        """Return it."""
        return (self._metric,)
