"""What comes of an arriving blob is written within the quota, and past a disk that is full.

Room is claimed before each write. A disk may be fuller than the quota knows: then other blobs are
evicted, and the write is tried once more.
"""

import errno
from collections.abc import Callable
from typing import Final

from attrs import define

from facade.arrivals.claimed_room import ClaimedRoom
from facade.arrivals.verified_pieces import PieceVerifier
from facade.loop.thread_work import finish_in_thread
from facade.store.blob_store import Asker, BlobStore, NoRoomError
from facade.store.ingest_file import OwnedIngest
from facade.store.segment_writer import SegmentWriter

DISK_FULL: Final = (errno.ENOSPC, errno.EDQUOT)
RELIEF_BYTES: Final = 64 * 1024 * 1024  # evicted in addition, so that not each write has to


@define(eq=False)
class RoomWrites:
    """The writes of one blob. They raise `StoreGaveUpError` if there is no room, and `OSError`."""

    _store: BlobStore
    _ingest: OwnedIngest
    _room: ClaimedRoom
    _asker: Asker
    _come_bytes: int  # that the quota counts

    async def segment(self, sink: SegmentWriter, write: Callable[[], None], count: int) -> None:
        """Write so many bytes of a segment."""
        before = sink.new_bytes
        async with self._room.made_for(lambda: self._come_bytes + count):
            await self._write_or_relieve(write, count)
            self._come_bytes += sink.new_bytes - before

    async def append(self, chunks: list[bytes], verifier: PieceVerifier) -> None:
        """Write what comes next of a blob of unknown length, and hash it once all is written."""
        size, count = self._ingest.size, sum(map(len, chunks))

        def write() -> None:
            self._ingest.append(chunks, from_size=size)
            for chunk in chunks:
                verifier.take_verbatim(chunk)

        async with self._room.made_for(lambda: size + count):
            await self._write_or_relieve(write, count)

    async def _write_or_relieve(self, write: Callable[[], None], count: int) -> None:
        """Write so many bytes; if the disk is full, once more after an eviction."""
        try:
            await finish_in_thread(write)
        except OSError as error:
            if error.errno not in DISK_FULL or not await self._relieves_disk(count):
                raise
            await finish_in_thread(write)

    async def _relieves_disk(self, count: int) -> bool:
        try:
            await self._store.relieve_disk(count, self._asker, RELIEF_BYTES)
        except NoRoomError:
            return False
        return True
