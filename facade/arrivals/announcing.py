"""An arriving blob is announced, once its registry has said yes, unless it is here already.

What is there is looked at while nobody else announces anything, in any process: of those that are
answered at once, one goes on. If the connection has brought the blob through another repository,
the answer proves the right to it. If it is bringing it, readers read along with that.

Who is the only one (`Alone`) has nothing to look at, so its readers need not wait for the turn.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Self

from attrs import frozen

from facade.arrivals.arrival import POLL_SECONDS
from facade.arrivals.claimed_room import ClaimedRoom
from facade.arrivals.first_answer import Answer
from facade.errors import PullError
from facade.loop.thread_work import finish_in_thread
from facade.rights.right import FlightKey, Right
from facade.rights.rights import Rights
from facade.store.blob_store import BlobStore
from facade.store.bringing import BringingShare
from shared.oci import OCTET_STREAM, Digest


class NothingArrivesError(PullError):
    """A download has just ended, did not begin in time, or is not needed. Look again."""


class ArrivesElsewhereError(NothingArrivesError):
    """The registry would give it, and it is arriving already, through another repository."""

    def __init__(self, right: Right) -> None:
        """Say through which."""
        super().__init__(right)
        self.right = right


class MayBeStoredError(PullError):
    """The connection has brought it, and it is stored, perhaps with another length."""


class AnotherGoesFirstError(PullError):
    """It is about to be announced, through another repository, by another process."""


@frozen
class Alone:
    """Whether one who asks a registry is the only one who brings a blob, and nobody has it."""

    _share: BringingShare
    _store: BlobStore
    _digest: Digest
    _was_alone: bool  # while the registry was asked

    @classmethod
    def look(cls, store: BlobStore, key: FlightKey) -> Self:
        """Take a share, and look who else has one. Blocks; raises `OSError`."""
        share, was_alone = BringingShare.take(store.layout.beginnings, key.name), False
        with suppress(OSError):  # then nobody knows
            # In this order, and from then on the kernel knows what `lacks_nowait` asks it.
            was_alone = share.is_only_one and not store.has(key.digest)
        return cls(share, store, key.digest, was_alone)

    def goes_first(self) -> bool:
        """Tell whether it still is, and keep others from announcing it until `has_gone`.

        Whoever has begun and ended since has stored it.
        """
        with suppress(OSError):  # the kernel has no more locks: then nobody goes first
            if self._was_alone and self._share.goes_first():
                if self._store.lacks_nowait(self._digest):
                    return True
                self._share.has_gone()
        return False

    @property
    def another_goes_first(self) -> bool:
        """Whether somebody else is about to announce it."""
        return self._share.another_goes_first

    def has_gone(self) -> None:
        """Note that it is announced."""
        self._share.has_gone()

    def end(self) -> None:
        """Bring it no more. Blocks."""
        self._share.let_go()


@frozen
class Announcing:
    """How one blob is announced."""

    _right: Right
    _store: BlobStore
    _rights: Rights
    _room: ClaimedRoom
    # Through which other repository any process brings a blob that may have its length. Blocks.
    _arrives_beside: Callable[[], Right | None]
    _may_be: Callable[[int], bool]  # whether it may have this length
    _alone: Alone | None  # None: nobody knows

    async def announce(self, answer: Answer, *, goes_first: bool) -> None:
        """Announce it with room for its first bytes, unless the answer proves a right.

        `goes_first`: as `Alone` has it. Raises `NothingArrivesError` if it is stored,
        `ArrivesElsewhereError`, `NoRoomError` and `OSError`.
        """
        begin = partial(self._room.begin, answer.length, answer.left_bytes, self._right.repository)
        if goes_first or not answer.is_claim:
            return await begin()
        look = self._require_brought_here
        while True:
            try:
                return await begin(look)
            except MayBeStoredError:
                await self._require_not_stored()
                look = self._require_not_beside
            except AnotherGoesFirstError:
                await asyncio.sleep(POLL_SECONDS)
                look = self._require_brought_here  # it may be stored by now

    def _require_brought_here(self) -> None:
        """Raise as `_require_not_beside` does, and `MayBeStoredError`. Blocks."""
        key = self._right.key
        if self._rights.has_any(key) and self._store.can_open(key.digest):
            raise MayBeStoredError
        self._require_not_beside()

    def _require_not_beside(self) -> None:
        """Raise `ArrivesElsewhereError`, and `AnotherGoesFirstError`. Blocks."""
        if (beside := self._arrives_beside()) is not None:
            raise ArrivesElsewhereError(beside)
        if self._alone is not None and self._alone.another_goes_first:
            raise AnotherGoesFirstError

    async def _require_not_stored(self) -> None:
        """Prove the right to what another repository has brought; raise `NothingArrivesError`."""
        blob = await self._store.open_blob(self._right.key.digest)
        if blob is None:
            return
        blob.close()
        if self._may_be(blob.length):
            await finish_in_thread(self._rights.prove, self._right, OCTET_STREAM)
            raise NothingArrivesError
