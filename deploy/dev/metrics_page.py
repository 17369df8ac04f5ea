"""`docs/metrics.md`, made of what both programs count: `make docs` writes it, a test compares."""

from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import Final, cast

from attrs import frozen
from prometheus_client import CollectorRegistry, Info
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from control_plane.database.database import Database
from control_plane.database.notification_queue import NotificationQueue
from control_plane.http.tls_reload import ReloadedTls
from control_plane.metrics import ControlPlaneMetrics
from control_plane.troubles import ControlPlanePart
from control_plane.webhooks.delivery import DeliveryOutcome
from control_plane.webhooks.standing import Standing
from control_plane.webhooks.webhook_metrics import WebhookMetrics
from facade.devices.handshake_end import HandshakeEnd
from facade.metrics.device_metrics import WhichCertificate
from facade.metrics.metrics import FacadeMetrics
from facade.metrics.problems import FacadePart
from facade.metrics.pull_metrics import NotAsked, PullOutcome, PullSource, RefusedBy
from facade.metrics.store_metrics import StoreState, WhyEvicted, WhyNotKept
from facade.metrics.upstream_metrics import MAX_HOSTS, REST_SECONDS
from facade.metrics.upstream_outcomes import RequestOutcome, SegmentOutcome, TokenFailure
from shared.oci import Kind

_HEAD: Final = f"""# Metrics

Made by `make docs` of what both programs count; do not edit it by hand. How they are scraped:
[operating.md](operating.md). What is wrong when one of them moves: [facade.md](facade.md),
[control-plane.md](control-plane.md).

- No label is a device, a digest or a repository. Each label has a small fixed set of values, but for
  `host` and `prefix`, which operators approve, `issuer`, which are the CAs of the configured bundle, and
  `route`, which are the routes of the API.
- `prefix` tells several connections of one host apart; it is empty for one without a repository prefix.
- At most {MAX_HOSTS:,} connections have series with `host`. A further one takes the place of the one that was used
  the longest ago, if that has rested for {REST_SECONDS / 60:.0f} minutes, and its series go. While none rests, what
  further ones do is counted under `host="other"`. A series of an `outcome` or a `reason` beside
  `host` begins when there is the first of it.
- `facade_refused_credentials` has a series of each such host, the {MAX_HOSTS:,} with most of them at most, and the
  rest under `host="other"`.
- Durations are histograms, points in time are `_timestamp_seconds` (Unix time). Bytes are those of
  manifests and blobs, not of headers, TLS or error answers.
- The store is the machine's: several processes on one cache folder show the same
  `facade_store_bytes`, `facade_store_limit_bytes` and `facade_store_oldest_use_timestamp_seconds`: take one of them,
  not the sum. They are measured every 10 s.

## What is asked most

| question | expression |
|---|---|
| which share of what devices got was not paid upstream | `1 - sum(rate(facade_upstream_bytes_total[1h])) / sum(rate(facade_device_bytes_total[1h]))` |
| which share of pulls was answered without a question to the registry | `sum(rate(facade_pulls_total{{outcome="served",source=~"memory\\|store\\|arriving"}}[1h])) / sum(rate(facade_pulls_total{{outcome="served"}}[1h]))` |
| which share of pulls failed, though nobody was at fault in asking | `sum(rate(facade_pulls_total{{outcome="failed"}}[5m])) / sum(rate(facade_pulls_total[5m]))` |
| for how long is content kept that nobody uses | `time() - facade_store_oldest_use_timestamp_seconds` |
| is a registry away | `facade_upstream_circuit == 2` |
| do tokens go on being given | `facade_token_expiry_timestamp_seconds < time()` while `rate(facade_token_failures_total[5m]) > 0` |

## Where two tell of the same

Of a fact that two metrics tell of, the first is the one for alerts and dashboards. The other is older, and stays.

| take | instead of | |
|---|---|---|
| `facade_pulls_total` | `facade_answers_total` | which counts every request by its status, also what is no pull (`kind="none"`) |
| `facade_pulls_total` with `source` `memory`, `store` | `facade_answers_at_once_total` | which counts those of them that went around the parser |
| `facade_refused_total` with `unidentified`, `certificate`, `revoked` | `facade_devices_refused_total` | the same requests, by the same reasons |
| `facade_refused_total{{reason="allowance"}}` | `facade_not_asked_total` with `device_bytes`, `device_downloads`, `device_misses`, `device_requests`, `device_tokens` | which says what the device had too much of |
| `facade_certificate_expiry_timestamp_seconds{{which="server"}}` | `facade_server_certificate_expiry_timestamp_seconds`, `facade_server_certificate_expires_in_seconds` | |
| `facade_certificate_expiry_timestamp_seconds{{which="device_ca"}}` | the least `facade_device_ca_expires_in_seconds` | which tells of each CA |
| `facade_crl_next_update_timestamp_seconds` | `facade_crl_expires_in_seconds` | |
| `facade_device_handshakes_refused_total` | `facade_device_handshakes_failed_total` | which has no reasons |
"""

# What a label may be, by metric (empty: wherever there is that label).
_VALUES: Final[dict[tuple[str, str], type[StrEnum]]] = {
    ("facade_pulls_total", "outcome"): PullOutcome,
    ("facade_pulls_total", "source"): PullSource,
    ("facade_pulls_total", "kind"): Kind,
    ("facade_refused_total", "reason"): RefusedBy,
    ("facade_not_asked_total", "reason"): NotAsked,
    ("facade_store_not_kept_total", "why"): WhyNotKept,
    ("facade_device_handshakes_refused_total", "reason"): HandshakeEnd,
    ("facade_upstream_requests_total", "outcome"): RequestOutcome,
    ("facade_upstream_segments_total", "outcome"): SegmentOutcome,
    ("facade_token_failures_total", "reason"): TokenFailure,
    ("facade_store_bytes", "state"): StoreState,
    ("facade_store_evicted_bytes_total", "why"): WhyEvicted,
    ("facade_certificate_expiry_timestamp_seconds", "which"): WhichCertificate,
    ("facade_problem", "part"): FacadePart,
    ("control_plane_problem", "part"): ControlPlanePart,
    ("control_plane_webhook_attempts_total", "outcome"): DeliveryOutcome,
    ("control_plane_webhook_target", "state"): Standing,
}


@frozen
class DescribedMetric:
    """One metric, as it is scraped."""

    name: str
    type: str
    labels: tuple[str, ...]
    meaning: str

    @property
    def unit(self) -> str:
        """What its value counts, by the end of its name."""
        name = self.name.removesuffix("_total")
        ends = {
            "_timestamp_seconds": "Unix time",
            "_start_time_seconds": "Unix time",
            "_seconds": "s",
            "_bytes": "bytes",
            "_ratio": "0 to 1",
        }
        return next((unit for end, unit in ends.items() if name.endswith(end)), "")


def facade_metrics() -> list[DescribedMetric]:
    """Return what a facade counts."""
    return _described(FacadeMetrics.create().registry)


def control_plane_metrics() -> list[DescribedMetric]:
    """Return what a control plane counts that serves over TLS."""
    metrics = ControlPlaneMetrics()
    # Nothing of them is asked before a scrape.
    metrics.watch_certificate(cast(ReloadedTls, None))
    metrics.watch_notifications(cast(NotificationQueue, None))
    metrics.watch_database(cast(Database, _NoDatabase()))
    metrics.watch_audit_log(lambda: 0)
    WebhookMetrics(metrics.registry)
    return _described(metrics.registry)


class _NoDatabase:
    """A database without pools."""

    def pools(self) -> dict[str, object]:
        """Return none."""
        return {}


def page() -> str:
    """Return the page."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield _HEAD
    facade, plane = facade_metrics(), control_plane_metrics()
    yield "## Facade\n"
    yield from _table(each for each in facade if each.name.startswith("facade_"))
    yield "\n## Control plane\n"
    yield from _table(each for each in plane if each.name.startswith("control_plane_"))
    yield "\n## Both: the process and its interpreter\n"
    yield from _table(each for each in facade if not each.name.startswith("facade_"))
    yield "\n## What the labels say\n"
    yield "| metric | label | values |\n|---|---|---|"
    for (metric, label), values in _VALUES.items():
        told = ", ".join(f"`{value}`" for value in values)
        yield f"| `{metric}` | `{label}` | {told} |"


def _table(metrics: Iterable[DescribedMetric]) -> Iterator[str]:
    yield "| name | type | labels | unit | meaning |\n|---|---|---|---|---|"
    for each in sorted(metrics, key=lambda metric: metric.name):
        labels = ", ".join(f"`{label}`" for label in each.labels)
        yield f"| `{each.name}` | {each.type} | {labels} | {each.unit} | {each.meaning} |"


def _described(registry: CollectorRegistry) -> list[DescribedMetric]:
    collectors = list(registry._collector_to_names)  # noqa: SLF001 - the library lists them nowhere else
    return [_of(family, collector) for collector in collectors for family in _families(collector)]


def _families(collector: Collector) -> Iterable[Metric]:
    """Return its metrics: without asking anything, where it can."""
    if isinstance(collector, Info) or not hasattr(collector, "describe"):
        return collector.collect()
    described: Iterable[Metric] = collector.describe()
    return described


def _of(family: Metric, collector: object) -> DescribedMetric:
    end = {"counter": "_total", "info": "_info"}.get(family.type, "")
    named = getattr(family, "_labelnames", ()) or getattr(collector, "_labelnames", ())
    sampled = [label for sample in family.samples[:1] for label in sample.labels]
    return DescribedMetric(
        family.name + end,
        "gauge" if family.type == "info" else family.type,
        tuple(named or sampled),
        family.documentation.rstrip("."),
    )


if __name__ == "__main__":
    print(page(), end="")  # noqa: T201  # it is what the program is for
