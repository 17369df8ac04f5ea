"""The room of one arriving blob within the quota: claimed as its bytes come, not as they are told.

A length is a registry's claim, and a device that asks for a blob may leave at once. So a claim is
at most as far ahead as what has come, and others' blobs go only for bytes that are there.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from attrs import define, field

from facade.content.arrival import StoreGaveUpError
from facade.store.blob_store import Asker, BlobStore, NoRoomError
from facade.store.ingest_file import OwnedIngest
from shared.oci import RepositoryName

# Claimed before a byte has come, if so much is free: a small blob takes one claim.
FIRST_ROOM_BYTES: Final = 1024 * 1024
# Claimed for twice what is there, and at most for so much more: a claim costs some milliseconds.
MAX_ROOM_AHEAD_BYTES: Final = 64 * 1024 * 1024


@define(eq=False)
class ClaimedRoom:
    """What the quota counts for an arrival. Everything but `begin` blocks."""

    _store: BlobStore
    _ingest: OwnedIngest
    _access_key: str
    _length: int | None = field(default=None, init=False)
    _claimed: int = field(default=0, init=False)
    _claiming: threading.Lock = field(factory=threading.Lock, init=False)

    async def begin(self, length: int | None, left: int, repository: RepositoryName) -> None:
        """Announce the arrival, with room for its first bytes behind those that are left.

        Raises `NoRoomError` if the whole cannot fit, and `OSError`.
        """
        self._length = length

        def claim(first: int) -> None:
            self._claimed = left + first
            self._ingest.announce(
                length, repository, room=self._claimed, access_key=self._access_key
            )

        self._ingest.claim(left)  # what its last owner had claimed besides ended with it
        whole = 0 if length is None else length - left
        first = min(whole, FIRST_ROOM_BYTES)
        await self._store.admit(whole, first, claim, Asker(self._access_key))

    @contextmanager
    def made_for(self, size: int) -> Iterator[None]:
        """Have the quota count `size` bytes while they are written, and from then on.

        Raises `StoreGaveUpError` if there is no room for so many bytes.
        """
        with self._claiming:
            self._make_room_for(size)
            yield

    def let_go_of_spare(self) -> None:
        """Claim no more than what has come. Raises `OSError`."""
        with self._claiming:
            size = self._ingest.size
            if size < self._claimed:
                self._ingest.claim(size)
                self._claimed = size

    def _make_room_for(self, size: int) -> None:
        if size <= self._claimed:
            return
        ahead = size + min(size, MAX_ROOM_AHEAD_BYTES)
        if self._length is not None:
            ahead = max(size, min(ahead, self._length))
        with suppress(NoRoomError):
            self._claim(ahead, can_do_without=True)
            return
        try:
            self._claim(size)
        except NoRoomError as error:
            raise StoreGaveUpError from error

    def _claim(self, count: int, *, can_do_without: bool = False) -> None:
        asker = Asker(self._access_key, can_do_without=can_do_without)
        more = count - self._claimed
        self._store.make_more_room(more, lambda: self._ingest.claim(count), asker)
        self._claimed = count
