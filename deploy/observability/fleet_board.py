"""The dashboard "Fleet and registries": all processes, the registries behind them, approvals."""

from typing import Final

from deploy.observability.grafana import Board, Graph, Line, Number, Row

_HERE: Final = 'namespace=~"$namespace"'
_RATE: Final = "[$__rate_interval]"


def _rate(metric: str, by: str, more: str = "") -> str:
    return f"sum by ({by}) (rate({metric}{{{_HERE}{more}}}{_RATE}))"


FLEET: Final = Row(
    "The fleet",
    (
        Number("Facades", "short", f'sum(up{{job="facade",{_HERE}}})', bad_below=1),
        Number("Control planes", "short", f'sum(up{{job="control-plane",{_HERE}}})', bad_below=1),
        Number(
            "Bytes saved in an hour",
            "percentunit",
            f"min(facade:bytes_saved:ratio1h{{{_HERE}}})",
        ),
        Number("Hits in an hour", "percentunit", f"min(facade:pulls_hit:ratio1h{{{_HERE}}})"),
        Number(
            "Connections approved",
            "short",
            f"max(facade_approved_connections{{{_HERE}}})",
        ),
        Number(
            "Approvals that end soon",
            "short",
            f"max(facade_approvals_ending_soon{{{_HERE}}})",
            "Within seven days.",
            bad_from=1,
        ),
        Graph(
            "Versions",
            "short",
            (
                Line(f"count by (version) (facade_build_info{{{_HERE}}})", "facade {{version}}"),
                Line(
                    f"count by (version) (control_plane_build_info{{{_HERE}}})",
                    "control plane {{version}}",
                ),
            ),
        ),
        Graph(
            "Pulls by outcome",
            "reqps",
            (Line(f"sum by (outcome) (facade:pulls:rate5m{{{_HERE}}})", "{{outcome}}"),),
            stacked=True,
        ),
        Graph(
            "Restarts in an hour",
            "short",
            (
                Line(
                    f'changes(process_start_time_seconds{{job=~"facade|control-plane",{_HERE}}}[1h])',
                    "{{job}} {{instance}}",
                ),
            ),
        ),
    ),
)

REGISTRIES: Final = Row(
    "Registries",
    (
        Graph(
            "Not asked: 2 nobody, 1 one tries",
            "short",
            (
                Line(
                    f"max by (host, prefix) (facade_upstream_circuit{{{_HERE}}}) > 0",
                    "{{host}} {{prefix}}",
                ),
            ),
        ),
        Graph(
            "Bytes from registries",
            "Bps",
            (Line(_rate("facade_upstream_bytes_total", "host, prefix"), "{{host}} {{prefix}}"),),
            stacked=True,
        ),
        Graph(
            "Time to the headers, 99 of 100",
            "s",
            (
                Line(
                    f"max by (host, prefix) (facade:upstream_seconds:p99_5m{{{_HERE}}})",
                    "{{host}} {{prefix}}",
                ),
            ),
        ),
        Graph(
            "Requests by outcome",
            "reqps",
            (Line(_rate("facade_upstream_requests_total", "outcome"), "{{outcome}}"),),
            "To registries, to where they point, and to token endpoints. A login begins with 401.",
        ),
        Graph(
            "Requests that fail",
            "percentunit",
            (
                Line(
                    f"max by (host, prefix) (facade:upstream_failed:ratio5m{{{_HERE}}})",
                    "{{host}} {{prefix}}",
                ),
            ),
        ),
        Graph(
            "Tokens that were not given",
            "reqps",
            (
                Line(
                    _rate("facade_token_failures_total", "host, prefix, reason"),
                    "{{host}} {{prefix}} {{reason}}",
                ),
            ),
        ),
        Graph(
            "Newest token expires in",
            "s",
            (
                Line(
                    f"max by (host, prefix) (facade_token_expiry_timestamp_seconds{{{_HERE}}})"
                    " - time()",
                    "{{host}} {{prefix}}",
                ),
            ),
        ),
        Graph(
            "Open clients, and credentials that are refused",
            "short",
            (
                Line(f"sum(facade_open_upstreams{{{_HERE}}})", "open clients"),
                Line(
                    f"max by (host) (facade_refused_credentials{{{_HERE}}}) > 0",
                    "refused by {{host}}",
                ),
            ),
        ),
        Graph(
            "Tokens asked",
            "reqps",
            (
                Line(_rate("facade_tokens_minted_total", "job"), "tokens of registries"),
                Line(_rate("facade_credentials_minted_total", "job"), "credentials of providers"),
            ),
        ),
    ),
)

BELIEFS: Final = Row(
    "Approvals and revocations",
    (
        Graph(
            "Since the database was read",
            "s",
            (Line(f"facade_snapshot_age_seconds{{{_HERE}}}", "{{instance}}"),),
        ),
        Graph(
            "From an act to its effect, 99 of 100",
            "s",
            (
                Line(
                    "histogram_quantile(0.99, "
                    + _rate("facade_statement_lag_seconds_bucket", "instance, le")
                    + ")",
                    "{{instance}}",
                ),
            ),
            "By the clock of the control plane's host.",
        ),
        Graph(
            "Not believed, not openable",
            "short",
            (
                Line(f"sum by (reason) (facade_refused_rows{{{_HERE}}})", "rows: {{reason}}"),
                Line(f"max(facade_vanished_connections{{{_HERE}}})", "vanished"),
                Line(f"max(facade_unusable_secrets{{{_HERE}}})", "secrets that do not open"),
            ),
        ),
        Graph(
            "Next approval ends in",
            "s",
            (
                Line(
                    f"min(facade_approval_expiry_timestamp_seconds{{{_HERE}}}) - time() < +Inf",
                    "the first",
                ),
            ),
        ),
    ),
)

CERTIFICATES: Final = Row(
    "Certificates",
    (
        Graph(
            "Servers' certificates end in",
            "s",
            (
                Line(
                    f'min(facade_certificate_expiry_timestamp_seconds{{which="server",{_HERE}}})'
                    " - time()",
                    "facade",
                ),
                Line(
                    f"min(control_plane_server_certificate_expiry_timestamp_seconds{{{_HERE}}})"
                    " - time()",
                    "control plane",
                ),
            ),
        ),
        Graph(
            "Device CAs end in",
            "s",
            (
                Line(
                    f"min by (issuer) (facade_device_ca_expires_in_seconds{{{_HERE}}})",
                    "{{issuer}}",
                ),
            ),
        ),
        Graph(
            "CRLs end in",
            "s",
            (
                Line(
                    f"min by (issuer) (facade_crl_next_update_timestamp_seconds{{{_HERE}}} > 0)"
                    " - time()",
                    "{{issuer}}",
                ),
            ),
        ),
    ),
)

CONTROL_PLANE: Final = Row(
    "The control plane",
    (
        Graph(
            "Requests",
            "reqps",
            (Line(_rate("control_plane_requests_total", "status"), "{{status}}"),),
            stacked=True,
        ),
        Graph(
            "Time to answer, 99 of 100",
            "s",
            (
                Line(
                    "histogram_quantile(0.99, "
                    + _rate("control_plane_request_seconds_bucket", "route, le")
                    + ")",
                    "{{route}}",
                ),
            ),
        ),
        Graph(
            "Logins denied, checks",
            "reqps",
            (
                Line(_rate("control_plane_denied_logins_total", "job"), "logins denied"),
                Line(
                    _rate("control_plane_connection_checks_total", "outcome"), "check: {{outcome}}"
                ),
            ),
        ),
        Graph(
            "What is wrong",
            "short",
            (Line(f"control_plane_problem{{{_HERE}}} == 1", "{{instance}}: {{part}}"),),
            "/readyz says it in words.",
        ),
        Graph(
            "Open connections",
            "short",
            (Line(f"control_plane_open_connections{{{_HERE}}}", "{{instance}}"),),
        ),
        Graph(
            "Drafts, and approvals that end within seven days",
            "short",
            (
                Line(f"max(control_plane_drafts{{{_HERE}}})", "drafts that wait"),
                Line(f"max(control_plane_approvals_ending_soon{{{_HERE}}})", "approvals that end"),
            ),
        ),
        Graph(
            "Oldest draft has waited",
            "s",
            (
                Line(
                    f"time() - min(control_plane_oldest_draft_timestamp_seconds{{{_HERE}}})",
                    "the oldest",
                ),
            ),
        ),
        Graph(
            "Entries of the audit log",
            "short",
            (
                Line(f"max(control_plane_audit_entries{{{_HERE}}})", "in the log"),
                Line(f"max(control_plane_audit_exported_entries{{{_HERE}}})", "in the last export"),
            ),
        ),
        Graph(
            "Connections to the database",
            "short",
            (
                Line(
                    f"sum by (pool, state) (control_plane_database_connections{{{_HERE}}})",
                    "{{pool}} {{state}}",
                ),
                Line(
                    f"sum by (pool) (control_plane_database_connections_limit{{{_HERE}}})",
                    "{{pool}}, at most",
                ),
            ),
        ),
        Graph(
            "Wait for a connection to the database, 99 of 100",
            "s",
            (
                Line(
                    "histogram_quantile(0.99, "
                    + _rate("control_plane_database_wait_seconds_bucket", "pool, le")
                    + ")",
                    "{{pool}}",
                ),
            ),
        ),
        Graph(
            "CPU and memory",
            "short",
            (
                Line(
                    f'rate(process_cpu_seconds_total{{job="control-plane",{_HERE}}}{_RATE})',
                    "cores of {{instance}}",
                ),
                Line(
                    f'process_resident_memory_bytes{{job="control-plane",{_HERE}}} / 1e9',
                    "GB of {{instance}}",
                ),
            ),
        ),
        Graph(
            "PostgreSQL's notification queue",
            "percentunit",
            (Line(f"max(control_plane_notification_queue_usage_ratio{{{_HERE}}})", "in use"),),
            "From one half on nobody is notified, and facades poll.",
        ),
    ),
)

FLEET_AND_REGISTRIES: Final = Board(
    uid="registry-backends-fleet",
    title="Fleet and registries",
    says="All processes, the registries behind them, approvals and certificates.",
    job="facade",
    rows=(FLEET, REGISTRIES, BELIEFS, CERTIFICATES, CONTROL_PLANE),
)
