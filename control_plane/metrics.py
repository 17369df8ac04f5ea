"""What the control plane counts. Labels are routes and our own words, never a caller's."""

import time
from collections.abc import Collection, Iterable
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    disable_created_metrics,
    generate_latest,
)

from control_plane.database.notification_queue import NotificationQueue
from control_plane.http.server_tls import CERTIFICATE, KEY
from control_plane.http.tls_reload import ReloadedTls
from control_plane.troubles import ControlPlanePart, Trouble
from shared.build import Build

# From a database read to a registry that takes its time.
_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class ControlPlaneMetrics:
    """The counters of one process, in a registry of their own."""

    def __init__(self) -> None:
        """Start at nothing."""
        # A line more for each counter, which nobody asks for; the library names no types.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = CollectorRegistry()
        build = Info(
            "control_plane_build", "The version that runs, and its commit", registry=self._registry
        )
        build.info(Build.of_this_program().labels())
        self._file_refused: dict[str, Gauge] = {}  # by setting, where TLS is on
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
        self.background_failures = Counter(
            "control_plane_background_failures",
            "Failures that nobody foresaw of work beside the calls; it was started again",
            ("work",),
            registry=self._registry,
        )
        self.connections = Gauge(
            "control_plane_open_connections",
            "Open connections, handshakes among them",
            registry=self._registry,
        )
        self._problem = Gauge(
            "control_plane_problem",
            "Whether a part has a problem; `/readyz` says which",
            ("part",),
            registry=self._registry,
        )

    def show_troubles(self, troubles: Iterable[Trouble], refused_files: Collection[str]) -> None:
        """Take what is wrong now."""
        having = {trouble.part for trouble in troubles}
        for part in ControlPlanePart:
            self._problem.labels(part.value).set(part in having)
        for setting, gauge in self._file_refused.items():
            gauge.set(setting in refused_files)

    def watch_certificate(self, tls: ReloadedTls) -> None:
        """Show from now on when the certificate expires, and whether its files are used."""
        expiry = Gauge(
            "control_plane_server_certificate_expiry_timestamp_seconds",
            "When the control plane's own certificate expires",
            registry=self._registry,
        )
        left = Gauge(
            "control_plane_server_certificate_expires_in_seconds",
            "Until the control plane's own certificate expires and clients refuse it",
            registry=self._registry,
        )

        def expires_at() -> float:
            return tls.current.expires_at.timestamp()

        expiry.set_function(expires_at)
        left.set_function(lambda: expires_at() - time.time())
        refused = Gauge(
            "control_plane_file_refused",
            "Whether a file is not used as it is now, but what it held before",
            ("setting",),
            registry=self._registry,
        )
        self._file_refused = {name: refused.labels(name) for name in (CERTIFICATE, KEY)}

    def watch_notifications(self, queue: NotificationQueue) -> None:
        """Show from now on how full PostgreSQL's notification queue is."""
        Gauge(
            "control_plane_notification_queue_usage_ratio",
            "How much of PostgreSQL's notification queue is in use: 0 to 1",
            registry=self._registry,
        ).set_function(lambda: queue.usage)

    def exposition(self) -> bytes:
        """Return everything in Prometheus' text format."""
        return generate_latest(self._registry)
