"""What is counted of webhooks. `target` is a name of the file, which has sixteen at most."""

import math
from typing import Final

from attrs import define, field
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from control_plane.webhooks.bounds import ATTEMPT_SECONDS
from control_plane.webhooks.delivery import Delivered, DeliveryOutcome
from control_plane.webhooks.standing import Standing

_SECONDS: Final = (0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, ATTEMPT_SECONDS)


@define(eq=False)
class WebhookMetrics:
    """The metrics of one process."""

    _registry: CollectorRegistry
    sends: Gauge = field(init=False)
    _attempts: Counter = field(init=False)
    _seconds: Histogram = field(init=False)
    _waiting: Gauge = field(init=False)
    _oldest: Gauge = field(init=False)
    _standing: Gauge = field(init=False)
    _gaps: Counter = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Register them."""
        self.sends = Gauge(
            "control_plane_webhook_sender",
            "Whether this process is the one that sends webhooks",
            registry=self._registry,
        )
        self._attempts = Counter(
            "control_plane_webhook_attempts",
            "Requests to a target of webhooks, by how they ended",
            ("target", "outcome"),
            registry=self._registry,
        )
        self._seconds = Histogram(
            "control_plane_webhook_attempt_seconds",
            "Time that a request to a target of webhooks took",
            ("target",),
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._waiting = Gauge(
            "control_plane_webhook_waiting_events",
            "Events that wait to be sent to a target; more may wait in the audit log",
            ("target",),
            registry=self._registry,
        )
        self._oldest = Gauge(
            "control_plane_webhook_failing_event_timestamp_seconds",
            "When the oldest event happened that a target did not take yet; NaN if none failed",
            ("target",),
            registry=self._registry,
        )
        self._standing = Gauge(
            "control_plane_webhook_target",
            "1 at how a target stands",
            ("target", "state"),
            registry=self._registry,
        )
        self._gaps = Counter(
            "control_plane_webhook_gaps",
            "Ranges of audit entries whose events a target was not sent, as it was told",
            ("target",),
            registry=self._registry,
        )

    def begin(self, target: str) -> None:
        """Have a target's series begin."""
        self._attempts.labels(target, DeliveryOutcome.DELIVERED.value)
        self._gaps.labels(target)
        self.show(target, 0, None, Standing.ACTIVE)

    def attempted(self, target: str, delivered: Delivered, seconds: float) -> None:
        """Count a request."""
        self._attempts.labels(target, delivered.outcome.value).inc()
        self._seconds.labels(target).observe(seconds)

    def show(self, target: str, waiting: int, oldest: float | None, standing: Standing) -> None:
        """Show how a target stands; `oldest` is a Unix time."""
        self._waiting.labels(target).set(waiting)
        self._oldest.labels(target).set(math.nan if oldest is None else oldest)
        for each in Standing:
            self._standing.labels(target, each.value).set(each is standing)

    def skipped(self, target: str) -> None:
        """Count a gap."""
        self._gaps.labels(target).inc()

    def forget(self, target: str) -> None:
        """Have a target's series end, which the file does not name any more."""
        for outcome in DeliveryOutcome:
            self._attempts.remove(target, outcome.value)
        for each in Standing:
            self._standing.remove(target, each.value)
        for metric in (self._seconds, self._waiting, self._oldest, self._gaps):
            metric.remove(target)
