"""Opens the feed of statements on its state file, and follows the database while devices pull."""

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from facade.approvals.remembering import Remembering
from facade.approvals.row_change import Change, RowOutcome
from facade.approvals.snapshot import Snapshot
from facade.approvals.state_file import StateFile
from facade.approvals.statement_feed import STATEMENTS, VERIFICATION, StatementFeed
from facade.loop.thread_work import in_access_thread
from facade.metrics.approval_metrics import ApprovalMetrics
from facade.serving.change_effects import GENERATIONS_PER_SECOND, ChangeEffects
from facade.serving.config import FacadeSettings
from shared.stopping import end_tasks
from shared.supervised import Supervisor


@asynccontextmanager
async def open_feed(
    settings: FacadeSettings,
    statement_keys: Mapping[str, Ed25519PublicKey],
    snapshot: Snapshot,
    effects: ChangeEffects,
    metrics: ApprovalMetrics,
    supervisor: Supervisor,
) -> AsyncIterator[StatementFeed]:
    """Give a feed that has read nothing yet; raise `StateFileError` if it can remember nothing."""

    def on_change(change: Change) -> None:
        if change.outcome is not RowOutcome.ACCEPTED:
            metrics.statements_refused.inc()
        elif feed.state.was_read and change.generation is not None:  # the first read finds old ones
            lag = time.time() - change.generation / GENERATIONS_PER_SECOND
            metrics.statement_lag.observe(max(0.0, lag))
        if not change.is_strangers:
            effects.apply(change)

    state_file = await in_access_thread(StateFile.open, settings.state_dir)
    remembering = Remembering(state_file, snapshot)
    try:
        feed = StatementFeed(
            settings.database_url,
            statement_keys,
            snapshot,
            remembering,
            settings.poll_interval,
            on_change,
            supervisor,
        )
        yield feed
    finally:
        await remembering.close()


@asynccontextmanager
async def following(feed: StatementFeed, supervisor: Supervisor) -> AsyncIterator[None]:
    """Follow the database, and verify what the state file remembers, while the block runs."""
    tasks = [
        supervisor.keep(STATEMENTS, feed.run),
        supervisor.keep(VERIFICATION, feed.verify_rest),
    ]
    try:
        yield
    finally:
        await end_tasks(*tasks)
