"""The room of one arriving blob within the quota. It is claimed as bytes come, not as announced.

A length is only what a registry says, and a device that asks for a blob may leave at once. So no
more is claimed in advance than has come, and other blobs are evicted only for bytes that are there.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from attrs import define, field

from facade.arrivals.arrival import StoreGaveUpError
from facade.loop.thread_work import finish_in_thread
from facade.store.blob_store import Asker, BlobStore, NoRoomError
from facade.store.ingest_file import OwnedIngest
from facade.store.room_queue import nothing_to_look_at
from shared.oci import RepositoryName

# Claimed before a byte has come, if so much is free, so that a small blob takes one claim.
FIRST_ROOM_BYTES: Final = 1024 * 1024
# Twice of what is there is claimed, but at most so much more. Each claim takes some milliseconds.
MAX_ROOM_AHEAD_BYTES: Final = 64 * 1024 * 1024


@define(eq=False)
class ClaimedRoom:
    """What the quota counts for an arrival."""

    _store: BlobStore
    _ingest: OwnedIngest
    _access_key: str
    _length: int | None = field(default=None, init=False)
    _claimed: int = field(default=0, init=False)
    _claiming: asyncio.Lock = field(factory=asyncio.Lock, init=False)

    async def begin(
        self,
        length: int | None,
        inherited_bytes: int,
        repository: RepositoryName,
        look: Callable[[], None] = nothing_to_look_at,
    ) -> None:
        """Announce the arrival, with room for its first bytes after those that are there already.

        `look`: as `BlobStore.admit` has it. Raises `NoRoomError` if the whole cannot fit, and
        `OSError`.
        """
        self._length = length

        def claim(first: int) -> None:
            self._claimed = inherited_bytes + first
            self._ingest.announce(
                length, repository, room=self._claimed, access_key=self._access_key
            )

        whole = 0 if length is None else length - inherited_bytes
        first = min(whole, FIRST_ROOM_BYTES)
        await self._store.admit(whole, first, claim, Asker(self._access_key), look)

    @asynccontextmanager
    async def made_for(self, size: Callable[[], int]) -> AsyncIterator[None]:
        """Make the quota count `size` bytes while they are written, and from then on.

        `size` is asked once the write before it has ended, because what that wrote counts, too.
        Raises `StoreGaveUpError` if there is no room for so many bytes, and `OSError`.
        """
        async with self._claiming:
            await self._make_room_for(size())
            yield

    async def let_go_of_spare(self) -> None:
        """Claim no more than what has come. Raises `OSError`."""
        async with self._claiming:
            await finish_in_thread(self._let_go_of_spare)

    def _let_go_of_spare(self) -> None:
        size = self._ingest.allocated
        if size < self._claimed:
            self._ingest.claim(size)
            self._claimed = size

    async def _make_room_for(self, size: int) -> None:
        # What a killed owner wrote, and had no checksum yet, counts already and is written again.
        size = size if self._length is None else min(size, self._length)
        if size <= self._claimed:
            return
        ahead = size + min(size, MAX_ROOM_AHEAD_BYTES)
        if self._length is not None:
            ahead = max(size, min(ahead, self._length))
        least = size - self._claimed
        try:
            await self._store.make_room(least, self._claim, Asker(self._access_key), ahead - size)
        except NoRoomError as error:
            raise StoreGaveUpError from error

    def _claim(self, more: int) -> None:
        self._ingest.claim(self._claimed + more)
        self._claimed += more
