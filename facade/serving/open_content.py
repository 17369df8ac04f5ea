"""Opens the store of one facade process, with its work in the background."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Self

from attrs import frozen

from facade.approvals.feed_state import FeedState
from facade.approvals.snapshot import Snapshot
from facade.approvals.statement_feed import StatementFeed
from facade.arrivals.flights import Flights
from facade.arrivals.stream_growth import GrowthTerms
from facade.content.far_ranges import FarRanges
from facade.content.source import Content
from facade.content.stored_content import StoredContent
from facade.content.streamed_content import StreamedContent
from facade.loop.thread_work import in_store_thread
from facade.metrics.store_metrics import StoreMetrics
from facade.registries.upstreams import Upstreams
from facade.rights.ended_rights import EndedRights
from facade.rights.rights import Rights
from facade.serving.config import FacadeSettings
from facade.store.blob_store import BlobStore
from facade.store.quotas import QuotaMark
from facade.store.scrub import Scrubber
from shared.stopping import end_tasks
from shared.supervised import Endless, Supervisor


@frozen
class KnownApprovals:
    """What the store has to know of approvals."""

    access_keys: Callable[[], frozenset[str]]  # of the connections that serve now
    are_known: Callable[[], bool]  # whether the database was read whole, and can be verified
    changed: asyncio.Event  # set with each change of a connection

    @classmethod
    def of(cls, snapshot: Snapshot, feed: StatementFeed, changed: asyncio.Event) -> Self:
        """Return what a snapshot knows of them, which a feed keeps fresh."""

        def are_known() -> bool:
            # With a wrong statement key nothing would be approved, and every right would end for
            # good. So would the rights of what is not verified yet.
            return (
                feed.state is FeedState.FOLLOWING
                and not snapshot.refused_rows.lacks_key
                and snapshot.is_settled
            )

        return cls(snapshot.connections.access_keys, are_known, changed)


@asynccontextmanager
async def open_content(
    settings: FacadeSettings,
    upstreams: Upstreams,
    approvals: KnownApprovals,
    metrics: StoreMetrics,
    supervisor: Supervisor,
) -> AsyncIterator[Content]:
    """Give the store's content; if nothing may be kept, only upstream's.

    Raises `CacheFolderError`.
    """
    far_ranges = FarRanges(settings.unverified_ranges)
    folder = settings.store_folder
    if folder is None:
        yield StreamedContent(far_ranges)
        return
    store = await in_store_thread(_open, folder, settings.cache_max_bytes, metrics)
    mark = await in_store_thread(QuotaMark.set, store.layout, settings.cache_max_bytes)
    rights = await in_store_thread(Rights.open, store.index)
    growth = GrowthTerms(most=settings.upstream_streams_per_blob)
    flights = Flights(store, rights, upstreams, growth=growth)
    metrics.followers.set_function(lambda: flights.followers)
    content = StoredContent.of(store, rights, flights, upstreams, far_ranges)
    ended_rights = EndedRights(
        rights, approvals.access_keys, approvals.are_known, approvals.changed
    )
    try:
        beside = {
            "uses": store.upkeep.keep_uses,
            "rights": rights.keep_looking,
            "rights_written": rights.keep_written,
            "rights_tidying": rights.keep_tidy,
            "measures": store.upkeep.keep_measured,
            "tidying": store.upkeep.keep_tidy,
            "room": store.keep_spare,
            "ended_rights": ended_rights.keep_ended,
            "scrub": Scrubber(store).scrub,
        }
        async with _beside(beside, supervisor):
            yield content
    finally:
        await content.close()
        await flights.land()
        mark.close()
        await in_store_thread(rights.write_ends)
        await in_store_thread(store.close)


def _open(folder: Path, max_bytes: int, metrics: StoreMetrics) -> BlobStore:
    return BlobStore.open(folder, max_bytes, metrics)


@asynccontextmanager
async def _beside(work: Mapping[str, Endless], supervisor: Supervisor) -> AsyncIterator[None]:
    """Run endless work while the block runs."""
    tasks = [supervisor.keep(name, each) for name, each in work.items()]
    try:
        yield
    finally:
        await end_tasks(*tasks)
