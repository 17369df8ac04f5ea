"""An arriving blob is announced, once its registry has said yes, unless it is here already.

What is there is looked at while nobody else announces anything, in any process: of those that are
answered at once, one goes on. If the connection has brought the blob through another repository,
the answer proves the right to it. If it is bringing it, readers read along with that.
"""

from collections.abc import Callable
from functools import partial

from attrs import frozen

from facade.arrivals.claimed_room import ClaimedRoom
from facade.arrivals.first_answer import Answer
from facade.errors import PullError
from facade.loop.thread_work import finish_in_thread
from facade.rights.right import Right
from facade.rights.rights import Rights
from facade.store.blob_store import BlobStore
from shared.oci import OCTET_STREAM


class NothingArrivesError(PullError):
    """A download has just ended, did not begin in time, or is not needed. Look again."""


class ArrivesElsewhereError(NothingArrivesError):
    """The registry would give it, and it is arriving already, through another repository."""

    def __init__(self, right: Right) -> None:
        """Say through which."""
        super().__init__(right)
        self.right = right


class MayBeStoredError(PullError):
    """The connection has brought it through another repository. It may be stored still."""


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

    async def announce(self, answer: Answer) -> None:
        """Announce it with room for its first bytes, unless the answer proves a right.

        Raises `NothingArrivesError` if it is stored, `ArrivesElsewhereError`, `NoRoomError` and
        `OSError`.
        """
        begin = partial(self._room.begin, answer.length, answer.left_bytes, self._right.repository)
        if not answer.is_claim:
            return await begin()
        try:
            await begin(self._require_brought_here)
        except MayBeStoredError:
            await self._require_not_stored()
            await begin(self._require_not_beside)

    def _require_brought_here(self) -> None:
        """Raise `MayBeStoredError` and `ArrivesElsewhereError`. Blocks."""
        if self._rights.has_any(self._right.key) and not self._rights.proven(self._right):
            raise MayBeStoredError
        self._require_not_beside()

    def _require_not_beside(self) -> None:
        if (beside := self._arrives_beside()) is not None:
            raise ArrivesElsewhereError(beside)

    async def _require_not_stored(self) -> None:
        """Prove the right to what another repository has brought; raise `NothingArrivesError`."""
        blob = await self._store.open_blob(self._right.key.digest)
        if blob is None:
            return
        blob.close()
        if self._may_be(blob.length):
            await finish_in_thread(self._rights.prove, self._right, OCTET_STREAM)
            raise NothingArrivesError
