"""Who may read a digest: a membership of this repository, or a proof of it now.

Another repository of a connection that brought a blob proves its own right by a GET of its first
byte; another connection has to bring the bytes itself, for that is only a claim. Without a right a
stored digest does not exist for the asker: it gets the answer of a digest that nobody has, after
the same question and at the same cost, so that the time tells nothing either. A HEAD would be
another question, and be asked again by GET where it is denied.
"""

import attrs
from attrs import field, frozen

from facade.content.background_proofs import BackgroundProofs, Right, require_given
from facade.content.source import Asked, Authorized
from facade.pulls.payer import Payer
from facade.registries.upstreams import Upstreams
from facade.single_flight import SingleFlight
from facade.store.blob_store import BlobStore
from facade.store.index import Membership
from facade.store.layout import FlightKey
from facade.thread_work import in_store_thread
from shared.oci import OCTET_STREAM, RepositoryName
from shared.upstream.errors import UnexpectedAnswerError, UnexpectedStatusError


def flight_key(asked: Authorized) -> FlightKey:
    """Return what a download of it would serve."""
    return FlightKey(asked.connection.access_key, asked.pull.kind, asked.pull.digest)


def right_of(asked: Authorized) -> Right:
    """Return the right that the asker needs."""
    return Right(flight_key(asked), asked.pull.repository)


@frozen
class RightToRead:
    """The right to read what one machine stores."""

    _store: BlobStore
    _upstreams: Upstreams
    _proofs: BackgroundProofs
    _asking: SingleFlight[Right, None] = field(factory=SingleFlight, init=False)

    def membership(self, asked: Authorized) -> Membership | None:
        """Return the asker's right, where it was proven; one that is old is proven again soon."""
        membership = self._store.may_read(flight_key(asked), asked.pull.repository)
        if membership is not None and self._proofs.is_due(membership):
            self._proofs.note_use(asked, right_of(asked))
        return membership

    async def is_proven(self, asked: Asked) -> bool:
        """Tell whether the asker may read the blob, proving it by a GET of its own if need be.

        False if this connection never brought it, or if the answer says nothing that can be
        believed: its own download will prove it. Raises `UpstreamError` if upstream denies it.
        """
        if self.membership(asked) is not None:
            return True
        right = right_of(asked)
        if not self._store.index.is_member(right.key):
            return False
        try:
            await self._ask(asked, right)
        except UnexpectedStatusError:
            raise  # a download of its own would be answered so, too
        except UnexpectedAnswerError:
            return False
        await in_store_thread(self._store.index.prove, right.key, right.repository, OCTET_STREAM)
        return True

    async def require_while_arriving(self, asked: Asked, arrives_through: RepositoryName) -> None:
        """Return where the asker may read along with a download through a repository.

        Nothing is written: the connection has not delivered the digest yet. Raises
        `UpstreamError` where upstream denies it.
        """
        if arrives_through != asked.pull.repository and self.membership(asked) is None:
            await self._ask(asked, right_of(asked))

    async def close(self) -> None:
        """End what upstream is being asked."""
        await self._asking.close()
        await self._proofs.close()

    async def _ask(self, asked: Asked, right: Right) -> None:
        """Ask upstream once for everybody who asks now; who asks first pays as for a download."""
        if self._asking.is_under_way(right):
            await self._shared(asked, right)
            return
        paid = await asked.pay_download()
        try:
            await self._shared(asked, right)
        finally:
            paid.end()

    async def _shared(self, asked: Asked, right: Right) -> None:
        paid = attrs.evolve(asked, payer=Payer.without_limits(asked.payer.device))
        await self._asking.share(right, lambda: self._asked(paid))

    async def _asked(self, asked: Asked) -> None:
        """Ask on behalf of all who wait, whichever of them leaves."""
        async with self._upstreams.lease(asked.connection) as upstream:
            await require_given(attrs.evolve(asked, upstream=upstream).upstream, asked.pull)
