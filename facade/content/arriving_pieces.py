"""The pieces of a span of an arriving blob, as they may be sent: `Want` says which may be."""

from collections.abc import AsyncIterator, Callable
from typing import Self

from attrs import define, field

from facade.arrivals.arrival import Arrival, ArrivalEndedError, StoreGaveUpError
from facade.arrivals.want import Ends, Want
from facade.store.page_cache_read import READ_BYTES
from facade.values.piece import Piece

ReadFailure = StoreGaveUpError | OSError  # `OSError` only before the first piece
# Gives the rest of a span, from an offset to its end, if the store fails.
GoOn = Callable[[ReadFailure, int, int | None], AsyncIterator[Piece]]


@define(eq=False)
class ArrivingPieces:
    """Follows the arriving file, and goes on without it if the store gives up."""

    _arrival: Arrival
    _want: Want
    _go_on: GoOn
    _limit: int = field(init=False)  # bytes before it may be sent, as the last question said
    _rest: AsyncIterator[Piece] | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        """Begin at the beginning; nothing may be sent yet."""
        self._limit = self._want.first

    def __aiter__(self) -> Self:
        """Return the iterator: itself."""
        return self

    def next_nowait(self) -> Piece | None:
        """Return the next piece if it can be had without waiting."""
        count = min(self._limit - self._want.at, READ_BYTES)
        if count <= 0 or self._rest is not None or self._is_cut:
            return None
        try:
            piece = self._arrival.read_nowait(self._want.at, count)
        except OSError:  # the read that waits meets it again
            return None
        if piece is not None:
            self._want.at += len(piece)
        return piece

    async def __anext__(self) -> Piece:
        """Return the next piece; raise `ArrivalEndedError` if no more will come."""
        if self._rest is None:
            try:
                return await self._arrived()
            except StoreGaveUpError as given_up:
                self._rest = self._without_store(given_up)
            except OSError as error:
                self._rest = self._without_store(error)
        return await anext(self._rest)

    @property
    def _is_cut(self) -> bool:
        """Whether the blob was wrong. An answer that ends with its bytes must not end then."""
        return self._want.ends is Ends.WITH_ITS_BYTES and self._arrival.is_wrong

    def _without_store(self, failure: ReadFailure) -> AsyncIterator[Piece]:
        """Return the rest from elsewhere; raise `ArrivalEndedError` if that could not be proven.

        What goes on hashes what was sent, from the beginning of the blob. If that is not all there,
        or cannot be read, nobody could say whether it was right.
        """
        want = self._want
        is_readable = isinstance(failure, StoreGaveUpError) and self._arrival.reached >= want.at
        if want.at > want.first and not is_readable:
            raise ArrivalEndedError("what was sent cannot be hashed") from failure
        return self._go_on(failure, want.at, want.end)

    async def _arrived(self) -> Piece:
        want = self._want
        if want.end is not None and want.at >= want.end and not self._is_cut:
            await self._until_it_may_end()
            self._arrival.leave(want)
            raise StopAsyncIteration
        if want.at >= self._limit or self._is_cut:
            self._limit = await self._arrival.sendable(want)
            if want.end is None and self._arrival.is_proven:
                want.end = self._arrival.length
            if want.end is not None:
                self._limit = min(self._limit, want.end)
            if want.at >= self._limit:
                raise StopAsyncIteration
        if (piece := self.next_nowait()) is not None:
            return piece
        # To a multiple, as `next_nowait` does, so that readers share their pieces.
        count = min(self._limit - want.at, READ_BYTES - want.at % READ_BYTES)
        piece = await self._arrival.read(want.at, count)
        want.at += len(piece)
        return piece

    async def _until_it_may_end(self) -> None:
        """Wait for the proof of what has no bytes that could be held back: an empty blob."""
        if self._arrival.length == 0 and not self._arrival.is_proven:
            await self._arrival.sendable(self._want)
