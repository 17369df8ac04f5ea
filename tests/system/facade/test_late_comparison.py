"""A comparison with the database that is overdue is said, though nothing has failed."""

import asyncio
from pathlib import Path

import asyncpg

from facade.approvals.remembering import Remembering
from facade.approvals.snapshot import Snapshot
from facade.approvals.state_file import StateFile
from facade.approvals.statement_feed import (
    CHANNEL,
    DEAF_SECONDS,
    LATE_SECONDS,
    NOTIFIED_BYTES_AT_ONCE,
    StatementFeed,
)
from shared.keys import key_id
from shared.postgres.database_url import read_database_url
from shared.stopping import end_tasks
from tests.support.clock import Clock
from tests.support.eventually import eventually
from tests.support.facade_database import FacadeDatabase
from tests.support.statement_writer import StatementWriter

POLL_SECONDS = 3600.0


async def test_lateness_counts_from_the_last_comparison(
    own_database: FacadeDatabase, own_writer: StatementWriter, tmp_path: Path
) -> None:
    """A hanging thread kept revocations from being read, and `/readyz` said that all was well."""
    approval = await own_writer.approve("registry.example")
    public_key = own_writer.statement_key.public_key()
    state_file, snapshot, clock = StateFile.open(tmp_path / "state"), Snapshot(), Clock()
    feed = StatementFeed(
        read_database_url(own_database.facade_url),
        {key_id(public_key): public_key},
        snapshot,
        Remembering(state_file, snapshot),
        POLL_SECONDS,
        lambda _: None,
        clock=clock,
    )
    following = asyncio.create_task(feed.run())
    try:
        await eventually(lambda: feed.problem is None)
        assert snapshot.serving(approval.subject) is not None
        clock.advance(2 * POLL_SECONDS + LATE_SECONDS)
        assert feed.lateness() is None
        clock.advance(1)
        assert "last compared 7211 s ago" in (feed.lateness() or "")
        feed.look_again()
        await eventually(lambda: feed.lateness() is None)
    finally:
        await end_tasks(following)
        state_file.close()


async def test_a_feed_that_is_told_to_stop_in_the_moment_of_a_notification_stops(
    own_database: FacadeDatabase, own_writer: StatementWriter, tmp_path: Path
) -> None:
    """A facade that was told to stop while Postgres stopped never ended, now and then."""
    public_key = own_writer.statement_key.public_key()
    state_file, snapshot = StateFile.open(tmp_path / "state"), Snapshot()
    feed = StatementFeed(
        read_database_url(own_database.facade_url),
        {key_id(public_key): public_key},
        snapshot,
        Remembering(state_file, snapshot),
        POLL_SECONDS,
        lambda _: None,
    )
    following = asyncio.create_task(feed.run())
    await eventually(lambda: feed.problem is None)
    await asyncio.sleep(0.05)  # it waits for a notification by then
    feed.look_again()
    following.cancel()
    try:
        await eventually(following.done)
        assert following.cancelled()
    finally:
        await end_tasks(following)
        state_file.close()


async def test_whoever_notifies_without_end_is_not_listened_to_for_a_while(
    own_database: FacadeDatabase, own_writer: StatementWriter, tmp_path: Path
) -> None:
    """Parsing what anybody notifies took the loop; a revocation is found all the same."""
    public_key = own_writer.statement_key.public_key()
    state_file, snapshot, clock = StateFile.open(tmp_path / "state"), Snapshot(), Clock()
    feed = StatementFeed(
        read_database_url(own_database.facade_url),
        {key_id(public_key): public_key},
        snapshot,
        Remembering(state_file, snapshot),
        POLL_SECONDS,
        lambda _: None,
        clock=clock,
    )
    following = asyncio.create_task(feed.run())
    stranger = await asyncpg.connect(own_database.facade_url)
    try:
        await eventually(lambda: feed.problem is None)
        assert feed.is_notified
        await stranger.execute(
            f"SELECT pg_notify('{CHANNEL}', 'connection/' || repeat('x', 3900) || i)"
            f" FROM generate_series(1, {2 * NOTIFIED_BYTES_AT_ONCE // 3900}) AS i"
        )
        await eventually(lambda: feed.is_flooded and not feed.is_notified)
        approval = await own_writer.approve("registry.example")
        await eventually(lambda: snapshot.serving(approval.subject) is not None)
        clock.advance(DEAF_SECONDS)
        await eventually(lambda: feed.is_notified and not feed.is_flooded)
    finally:
        await stranger.close()
        await end_tasks(following)
        state_file.close()
