"""Who may read a digest: a membership of this repository, or a proof of it now.

Another repository of a connection that brought the digest proves its own right by HEAD; another
connection has to bring the bytes itself, for a HEAD is only a claim. Without a right a stored
digest does not exist for the asker: it gets the answer of a digest that nobody has.
"""

import asyncio

from attrs import frozen

from facade.content import Asked, StreamedContent
from facade.store.blob_store import BlobStore
from facade.store.index import Membership
from facade.store.layout import FlightKey
from shared.oci import OCTET_STREAM, RepositoryName


def flight_key(asked: Asked) -> FlightKey:
    """Return what a download of it would serve."""
    return FlightKey(asked.connection.access_key, asked.pull.kind, asked.pull.digest)


@frozen
class RightToRead:
    """The right to read what one machine stores."""

    _store: BlobStore
    _streamed: StreamedContent

    def membership(self, asked: Asked) -> Membership | None:
        """Return the asker's right, where it was proven."""
        return self._store.may_read(flight_key(asked), asked.pull.repository)

    async def is_proven(self, asked: Asked) -> bool:
        """Tell whether the asker may read the digest, proving it by HEAD if need be.

        False where this connection never brought it: its own download will prove it. Raises
        `UpstreamError` where upstream denies it.
        """
        if self.membership(asked) is not None:
            return True
        repository, key = asked.pull.repository, flight_key(asked)
        if not self._store.index.is_member(key):
            return False
        await self._streamed.require_right(asked)
        await asyncio.to_thread(self._store.index.prove, key, repository, OCTET_STREAM)
        return True

    async def require_while_arriving(self, asked: Asked, arrives_through: RepositoryName) -> None:
        """Return where the asker may read along with a download through a repository.

        Nothing is written: the connection has not delivered the digest yet. Raises
        `UpstreamError` where upstream denies it.
        """
        if arrives_through != asked.pull.repository and self.membership(asked) is None:
            await self._streamed.require_right(asked)

    async def write(self, asked: Asked, media_type: str) -> None:
        """Write the right of what came verified through the asker's own connection."""
        await asyncio.to_thread(
            self._store.index.prove, flight_key(asked), asked.pull.repository, media_type
        )
