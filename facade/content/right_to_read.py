"""Who may read a digest: a connection that has a right to it in this repository.

Without one, a stored digest does not exist for the asker, and the registry is asked as if nobody
had it (`flight.py`). If the registry begins to give it, that proves the right of a connection that
has brought the digest through another repository. Any other connection has to bring the bytes.
"""

from attrs import frozen

from facade.content.background_proofs import BackgroundProofs
from facade.content.source import AuthorizedPull
from facade.loop.thread_work import in_index_thread
from facade.store.blob_store import BlobStore
from facade.store.index import ProvenRight
from facade.store.layout import FlightKey, Right


def flight_key(asked: AuthorizedPull) -> FlightKey:
    """Return what the asker wants to read, without the repository."""
    return FlightKey(asked.connection.access_key, asked.pull.kind, asked.pull.digest)


def right_of(asked: AuthorizedPull) -> Right:
    """Return the right that the asker needs."""
    return Right(flight_key(asked), asked.pull.repository)


@frozen
class RightToRead:
    """The right to read what one machine stores."""

    _store: BlobStore
    _proofs: BackgroundProofs

    async def proven(self, asked: AuthorizedPull) -> ProvenRight | None:
        """Return the asker's right if it was proven; an old one is proven again soon."""
        key, repository = flight_key(asked), asked.pull.repository
        right = self._store.may_read_nowait(key, repository)
        if right is None:
            right = await in_index_thread(self._store.may_read, key, repository)
        return self._used(asked, right)

    def proven_nowait(self, asked: AuthorizedPull) -> ProvenRight | None:
        """Return the asker's right if it is in memory."""
        right = self._store.may_read_nowait(flight_key(asked), asked.pull.repository)
        return self._used(asked, right)

    def _used(self, asked: AuthorizedPull, right: ProvenRight | None) -> ProvenRight | None:
        if right is not None and self._proofs.is_due(right):
            self._proofs.note_use(asked, right_of(asked))
        return right

    async def close(self) -> None:
        """End the proofs under way."""
        await self._proofs.close()
