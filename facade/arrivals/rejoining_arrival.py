"""An arrival as a reader has it who goes on with whoever takes the blob over."""

from collections.abc import Awaitable, Callable

from attrs import define, field

from facade.arrivals.announcing import NothingArrivesError
from facade.arrivals.arrival import Arrival, OwnerDiedError, StoreGaveUpError
from facade.arrivals.want import Want
from facade.store.blob_store import NoRoomError
from facade.store.inode import Inode
from facade.values.piece import Piece
from shared.oci import RepositoryName


@define(eq=False)
class RejoiningArrival:
    """An arrival that goes on if the process that brings it dies: another one takes over.

    It goes on with the same file. A new file would be another attempt, and what was read of the old
    one may have been wrong. A file of another repository is for readers of that repository to take
    over.
    """

    _own: RepositoryName
    _arrival: Arrival
    _join: Callable[[], Awaitable[Arrival]]
    _wants: dict[Want, None] = field(factory=dict, init=False)

    @property
    def length(self) -> int | None:
        """Bytes of the whole blob."""
        return self._arrival.length

    @property
    def reached(self) -> int:
        """The end of its beginning."""
        return self._arrival.reached

    @property
    def is_proven(self) -> bool:
        """Whether digest and length agree."""
        return self._arrival.is_proven

    @property
    def is_wrong(self) -> bool:
        """Whether nothing more of it may be sent."""
        return self._arrival.is_wrong

    @property
    def repository(self) -> RepositoryName:
        """Through which upstream gives it."""
        return self._arrival.repository

    @property
    def inode(self) -> Inode:
        """The file that is filled."""
        return self._arrival.inode

    def want(self, want: Want) -> None:
        """Note what is wanted, also for whoever takes over."""
        self._wants[want] = None
        self._arrival.want(want)

    def leave(self, want: Want) -> None:
        """Note that it is wanted no more."""
        self._wants.pop(want, None)
        self._arrival.leave(want)

    async def sendable(self, want: Want) -> int:
        """Wait as `Arrival` says, also beyond the death of its owner."""
        has_ended = False
        while True:
            try:
                return await self._arrival.sendable(want)
            except OwnerDiedError:
                if has_ended:
                    raise StoreGaveUpError from None
                has_ended = not await self._rejoin()

    async def note_marked(self, device: str) -> None:
        """Note it as `Arrival` says."""
        await self._arrival.note_marked(device)

    async def _rejoin(self) -> bool:
        """Read along with whoever takes it over; False if that has ended since.

        Then the file may be proven by now.
        """
        if self._arrival.repository != self._own:
            raise StoreGaveUpError
        try:
            arrival = await self._join()
        except NothingArrivesError:
            return False
        except (NoRoomError, OSError) as error:
            raise StoreGaveUpError from error
        if (arrival.length, arrival.inode) != (self.length, self.inode):
            raise StoreGaveUpError
        self._arrival = arrival
        for want in self._wants:
            arrival.want(want)
        return True

    def read_nowait(self, offset: int, count: int) -> Piece | None:
        """Return bytes that may be sent, as `Arrival` says."""
        return self._arrival.read_nowait(offset, count)

    async def read(self, offset: int, count: int) -> memoryview:
        """Return bytes that may be sent."""
        return await self._arrival.read(offset, count)
