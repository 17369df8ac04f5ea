"""What the control plane counts. Labels are routes and our own words, never a caller's."""

import math
import time
from collections.abc import Callable, Collection, Iterable
from functools import partial
from typing import Final

import asyncpg
from prometheus_client import Counter, Gauge, Histogram, generate_latest

from control_plane.database.database import Database
from control_plane.database.notification_queue import NotificationQueue
from control_plane.http.server_tls import CERTIFICATE, KEY
from control_plane.http.tls_reload import ReloadedTls
from control_plane.troubles import ControlPlanePart, Trouble
from shared.process_metrics import process_registry

# From a database read to a registry that takes its time.
_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class ControlPlaneMetrics:
    """The counters of one process, in a registry of their own."""

    def __init__(self) -> None:
        """Start at nothing."""
        self.registry = process_registry("control_plane")
        self._files = Gauge(
            "control_plane_file_refused",
            "Whether a file is not used as it is now, but what it held before",
            ("setting",),
            registry=self.registry,
        )
        self._file_refused: dict[str, Gauge] = {}  # by setting, of files that are read again
        self.requests = Counter(
            "control_plane_requests",
            "Answered requests",
            ("method", "route", "status"),
            registry=self.registry,
        )
        self.request_seconds = Histogram(
            "control_plane_request_seconds",
            "Time to answer",
            ("route",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.denied_logins = Counter(
            "control_plane_denied_logins",
            "Requests with a missing, wrong or expired operator token",
            registry=self.registry,
        )
        self.checks = Counter(
            "control_plane_connection_checks",
            "Logins tried at registries, by how they ended",
            ("outcome",),
            registry=self.registry,
        )
        self.ready = Gauge(
            "control_plane_ready",
            "Whether the last look at readiness found everything in place",
            registry=self.registry,
        )
        self.background_failures = Counter(
            "control_plane_background_failures",
            "Failures that nobody foresaw of work beside the calls; it was started again",
            ("work",),
            registry=self.registry,
        )
        self.connections = Gauge(
            "control_plane_open_connections",
            "Open connections, handshakes among them",
            registry=self.registry,
        )
        self.drafts = Gauge(
            "control_plane_drafts", "Drafts that wait to be approved", registry=self.registry
        )
        self.oldest_draft = Gauge(
            "control_plane_oldest_draft_timestamp_seconds",
            "When the draft was made that waits the longest; NaN if none waits",
            registry=self.registry,
        )
        self.ending_soon = Gauge(
            "control_plane_approvals_ending_soon",
            "Approvals that end by themselves within seven days",
            registry=self.registry,
        )
        self.next_end = Gauge(
            "control_plane_approval_expiry_timestamp_seconds",
            "When the next approval ends by itself; +Inf if none does",
            registry=self.registry,
        )
        self.oldest_draft.set(math.nan)
        self.next_end.set(math.inf)
        self.exported_entries = Gauge(
            "control_plane_audit_exported_entries",
            "Up to which entry the audit log was exported last; 0 if it never was",
            registry=self.registry,
        )
        self.last_export = Gauge(
            "control_plane_audit_export_timestamp_seconds",
            "When the audit log was exported last; 0 if it never was, NaN until that is known",
            registry=self.registry,
        )
        self.last_export.set(math.nan)
        self._database_waits = Histogram(
            "control_plane_database_wait_seconds",
            "Until there was a connection to the database, or none in time",
            ("pool",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._problem = Gauge(
            "control_plane_problem",
            "Whether a part has a problem; `/readyz` says which",
            ("part",),
            registry=self.registry,
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
            registry=self.registry,
        )
        left = Gauge(
            "control_plane_server_certificate_expires_in_seconds",
            "Until the control plane's own certificate expires and clients refuse it",
            registry=self.registry,
        )

        def expires_at() -> float:
            return tls.current.expires_at.timestamp()

        expiry.set_function(expires_at)
        left.set_function(lambda: expires_at() - time.time())
        for setting in (CERTIFICATE, KEY):
            self.watch_file(setting)

    def watch_file(self, setting: str) -> None:
        """Show from now on whether a setting's file is used."""
        self._file_refused[setting] = self._files.labels(setting)

    def watch_notifications(self, queue: NotificationQueue) -> None:
        """Show from now on how full PostgreSQL's notification queue is."""
        Gauge(
            "control_plane_notification_queue_usage_ratio",
            "How much of PostgreSQL's notification queue is in use: 0 to 1",
            registry=self.registry,
        ).set_function(lambda: queue.usage)

    def watch_audit_log(self, length: Callable[[], int]) -> None:
        """Show from now on how many entries the log has that is believed."""
        Gauge(
            "control_plane_audit_entries",
            "Entries of the audit log, up to the newest that this process has verified",
            registry=self.registry,
        ).set_function(length)

    def watch_database(self, database: Database) -> None:
        """Show from now on what the pools of connections are at."""
        connections = Gauge(
            "control_plane_database_connections",
            "Open connections to the database",
            ("pool", "state"),
            registry=self.registry,
        )
        limit = Gauge(
            "control_plane_database_connections_limit",
            "Connections to the database that a pool opens at most",
            ("pool",),
            registry=self.registry,
        )
        for name, pool in database.pools().items():
            connections.labels(name, "idle").set_function(pool.get_idle_size)
            connections.labels(name, "in_use").set_function(partial(_in_use, pool))
            limit.labels(name).set(pool.get_max_size())
            self._database_waits.labels(name)

    def note_database_wait(self, pool: str, seconds: float) -> None:
        """Count a wait for a connection of one of the database's pools."""
        self._database_waits.labels(pool).observe(seconds)

    def exposition(self) -> bytes:
        """Return everything in Prometheus' text format."""
        return generate_latest(self.registry)


def _in_use(pool: asyncpg.Pool) -> int:
    return int(pool.get_size() - pool.get_idle_size())
