"""A comparison with the database that is overdue is said, though nothing has failed."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
from attrs import frozen

from facade.approvals.feed_state import FeedState
from facade.approvals.notifications import (
    CHANNEL,
    DEAF_SECONDS,
    NOTIFIED_BYTES_AT_ONCE,
)
from facade.approvals.remembering import Remembering
from facade.approvals.snapshot import Snapshot
from facade.approvals.state_file import StateFile
from facade.approvals.statement_feed import LATE_SECONDS, StatementFeed
from shared.keys import key_id
from shared.postgres.database_url import read_database_url
from shared.statement import ConnectionApproval
from shared.stopping import end_tasks
from tests.support.clock import Clock
from tests.support.eventually import eventually
from tests.support.facade_database import FacadeDatabase
from tests.support.statement_writer import StatementWriter

POLL_SECONDS = 3600.0


@frozen
class Followed:
    """A feed that runs, what it has believed, and its clock."""

    feed: StatementFeed
    snapshot: Snapshot
    clock: Clock
    following: asyncio.Task[None]


@pytest.fixture
async def approval(own_writer: StatementWriter) -> ConnectionApproval:
    """One that is there before the feed runs, where a test names it first."""
    return await own_writer.approve("registry.example")


@pytest.fixture
async def followed(
    own_database: FacadeDatabase, own_writer: StatementWriter, tmp_path: Path
) -> AsyncIterator[Followed]:
    """One that polls once an hour, and has not read yet."""
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
    await feed.restore()
    following = asyncio.create_task(feed.run())
    yield Followed(feed, snapshot, clock, following)
    await end_tasks(following)
    state_file.close()


async def test_lateness_counts_from_the_last_comparison(
    approval: ConnectionApproval, followed: Followed
) -> None:
    """A hanging thread kept revocations from being read, and `/readyz` said that all was well."""
    feed, clock = followed.feed, followed.clock
    await eventually(lambda: feed.state is FeedState.FOLLOWING)
    assert followed.snapshot.serving(approval.subject) is not None
    clock.advance(2 * POLL_SECONDS + LATE_SECONDS)
    assert feed.lateness() is None
    clock.advance(1)
    assert "last compared 7211 s ago" in (feed.lateness() or "")
    feed.look_again()
    await eventually(lambda: feed.lateness() is None)


async def test_a_feed_that_is_told_to_stop_in_the_moment_of_a_notification_stops(
    followed: Followed,
) -> None:
    """A facade that was told to stop while Postgres stopped never ended, now and then."""
    await eventually(lambda: followed.feed.state is FeedState.FOLLOWING)
    await asyncio.sleep(0.05)  # it waits for a notification by then
    followed.feed.look_again()
    followed.following.cancel()
    await eventually(followed.following.done)
    assert followed.following.cancelled()


async def test_whoever_notifies_without_end_is_not_listened_to_for_a_while(
    own_database: FacadeDatabase, own_writer: StatementWriter, followed: Followed
) -> None:
    """Parsing what anybody notifies took the loop; a revocation is found all the same."""
    feed = followed.feed
    stranger = await asyncpg.connect(own_database.facade_url)
    try:
        await eventually(lambda: feed.state is FeedState.FOLLOWING)
        assert feed.is_notified
        await stranger.execute(
            f"SELECT pg_notify('{CHANNEL}', 'connection/' || repeat('x', 3900) || i)"
            f" FROM generate_series(1, {2 * NOTIFIED_BYTES_AT_ONCE // 3900}) AS i"
        )
        await eventually(lambda: feed.is_flooded and not feed.is_notified)
        approval = await own_writer.approve("registry.example")
        await eventually(lambda: followed.snapshot.serving(approval.subject) is not None)
        followed.clock.advance(DEAF_SECONDS)
        await eventually(lambda: feed.is_notified and not feed.is_flooded)
    finally:
        await stranger.close()
