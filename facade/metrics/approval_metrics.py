"""What is counted of approvals: what serves, what ends, what is not believed, and how old it is."""

from attrs import frozen
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from facade.metrics.act_to_effect import EFFECT_BUCKETS


@frozen(kw_only=True)
class ApprovalMetrics:
    """What a scrape reads of the snapshot, and what happens to statements. Labels are reasons."""

    connections: Gauge
    unverified_statements: Gauge
    ended_approvals: Gauge
    next_approval_end: Gauge
    approvals_ending_soon: Gauge
    refused_rows: Gauge
    vanished_connections: Gauge
    unusable_secrets: Gauge
    snapshot_age: Gauge
    statements_refused: Counter
    statement_lag: Histogram

    @classmethod
    def create(cls, registry: CollectorRegistry) -> "ApprovalMetrics":
        """Return metrics that start at zero."""
        return cls(
            connections=Gauge(
                "facade_approved_connections",
                "Connections that the snapshot serves now: their approval has not expired",
                registry=registry,
            ),
            unverified_statements=Gauge(
                "facade_unverified_statements",
                "Statements of the state folder that were not verified yet since the start: each is"
                " verified before it first serves, and the rest in the background",
                registry=registry,
            ),
            ended_approvals=Gauge(
                "facade_expired_approvals",
                "Connections whose approval has expired: they serve nobody until it is renewed",
                registry=registry,
            ),
            next_approval_end=Gauge(
                "facade_approval_expiry_timestamp_seconds",
                "When the next approval that serves ends by itself; +Inf if none does",
                registry=registry,
            ),
            approvals_ending_soon=Gauge(
                "facade_approvals_ending_soon",
                "Approvals that serve, and end by themselves within seven days",
                registry=registry,
            ),
            refused_rows=Gauge(
                "facade_refused_rows",
                "Rows of the database that are not believed now",
                ["reason"],
                registry=registry,
            ),
            vanished_connections=Gauge(
                "facade_vanished_connections",
                "Approved connections whose row is gone without a statement: they serve nobody",
                registry=registry,
            ),
            unusable_secrets=Gauge(
                "facade_unusable_secrets",
                "Connections whose sealed secret does not open here (with the keys that are there"
                " now), or is of no use",
                registry=registry,
            ),
            snapshot_age=Gauge(
                "facade_snapshot_age_seconds",
                "Since the database was last read whole; -1 where it never was",
                registry=registry,
            ),
            statements_refused=Counter(
                "facade_statements_refused",
                "Rows that were not believed, and subjects that vanished",
                registry=registry,
            ),
            statement_lag=Histogram(
                "facade_statement_lag_seconds",
                "From an act of the admin API to its effect here; not of what a start catches up",
                buckets=EFFECT_BUCKETS,
                registry=registry,
            ),
        )
