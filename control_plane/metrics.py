"""What the control plane counts. Labels are routes and our own words, never a caller's."""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

# From a database read to a registry that takes its time.
_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """The counters of one process, in a registry of their own."""

    def __init__(self) -> None:
        """Start at nothing."""
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "control_plane_requests",
            "Answered requests",
            ("method", "route", "status"),
            registry=self._registry,
        )
        self.request_seconds = Histogram(
            "control_plane_request_seconds",
            "Time to answer",
            ("route",),
            buckets=_SECONDS,
            registry=self._registry,
        )
        self.denied_logins = Counter(
            "control_plane_denied_logins",
            "Requests with a missing, wrong or expired operator token",
            registry=self._registry,
        )
        self.checks = Counter(
            "control_plane_connection_checks",
            "Logins tried at registries, by how they ended",
            ("outcome",),
            registry=self._registry,
        )
        self.ready = Gauge(
            "control_plane_ready",
            "Whether the last look at readiness found everything in place",
            registry=self._registry,
        )

    def exposition(self) -> bytes:
        """Return everything in Prometheus' text format."""
        return generate_latest(self._registry)
