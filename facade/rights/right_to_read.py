"""Who may read a digest: a connection that has a right to it in this repository.

Without one, a stored digest does not exist for the asker, and the registry is asked as if nobody
had it (`arrivals/flight.py`). If the registry begins to give it, that proves the right of a
connection that has brought the digest through another repository. Any other connection has to bring
the bytes.
"""

from functools import lru_cache
from typing import Final

from attrs import frozen

from facade.loop.thread_work import in_index_thread
from facade.rights.background_proofs import BackgroundProofs
from facade.rights.right import FlightKey, Right
from facade.rights.rights import ProvenRight, Rights
from facade.values.authorized_pull import AuthorizedPull
from shared.oci import Digest, Kind, RepositoryName

REMEMBERED_RIGHTS: Final = 4096  # some 600 bytes each, the least used are forgotten


def right_of(asked: AuthorizedPull) -> Right:
    """Return the right that the asker needs."""
    pull = asked.pull
    return _right(asked.connection.access_key, pull.kind, pull.digest, pull.repository)


# A fleet asks for the same again and again. To make the two and their hashes, and to find out that
# they equal those that are known, takes eight times as long (docs/decisions/pulls.md).
@lru_cache(REMEMBERED_RIGHTS)
def _right(access_key: str, kind: Kind, digest: Digest, repository: RepositoryName) -> Right:
    return Right(FlightKey(access_key, kind, digest), repository)


@frozen
class RightToRead:
    """The right to read what one machine stores."""

    _rights: Rights
    _proofs: BackgroundProofs

    async def proven(self, asked: AuthorizedPull) -> ProvenRight | None:
        """Return the asker's right if it was proven; an old one is proven again soon."""
        right = right_of(asked)
        proven = self._rights.proven_nowait(right)
        if proven is None:
            proven = await in_index_thread(self._rights.proven, right)
        return self._used(asked, right, proven)

    def proven_nowait(self, asked: AuthorizedPull) -> ProvenRight | None:
        """Return the asker's right if it is in memory."""
        right = right_of(asked)
        return self._used(asked, right, self._rights.proven_nowait(right))

    def _used(
        self, asked: AuthorizedPull, right: Right, proven: ProvenRight | None
    ) -> ProvenRight | None:
        if proven is not None and self._proofs.is_due(proven):
            self._proofs.note_use(asked, right)
        return proven

    async def close(self) -> None:
        """End the proofs under way."""
        await self._proofs.close()
