"""The pieces of a span of an arriving blob, as they may be sent.

The last piece of the span is held back until the whole blob is proven.
"""

from collections.abc import AsyncIterator, Callable
from typing import Self

from attrs import define, field

from facade.arrivals.arrival import Arrival, ArrivalEndedError, StoreGaveUpError
from facade.store.page_cache_read import READ_BYTES
from facade.values.byte_range import Span
from facade.values.piece import PIECE_BYTES, Piece

ReadFailure = StoreGaveUpError | OSError  # `OSError` only before the first piece
# Gives the rest of a span, from an offset to its end, if the store fails.
GoOn = Callable[[ReadFailure, int, int | None], AsyncIterator[Piece]]


@define(eq=False)
class ArrivingPieces:
    """Follows the growing file, and goes on without it if the store gives up."""

    _arrival: Arrival
    _span: Span | None  # None: the whole blob, however long it turns out to be
    _go_on: GoOn
    _first: int = field(init=False)
    _end: int | None = field(init=False)  # None: the blob's end, as long as nobody knows it
    _offset: int = field(init=False)
    _limit: int = field(init=False)  # bytes before it may be sent, as the last question said
    _rest: AsyncIterator[Piece] | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        """Begin at the beginning; nothing may be sent yet."""
        self._first = self._span.first if self._span else 0
        self._end = self._span.end if self._span else self._arrival.length
        self._offset = self._limit = self._first

    def __aiter__(self) -> Self:
        """Return the iterator: itself."""
        return self

    def next_nowait(self) -> Piece | None:
        """Return the next piece if it can be had without waiting."""
        count = min(self._limit - self._offset, READ_BYTES)
        if count <= 0 or self._rest is not None:
            return None
        try:
            piece = self._arrival.read_nowait(self._offset, count)
        except OSError:  # the read that waits meets it again
            return None
        if piece is not None:
            self._offset += len(piece)
        return piece

    async def __anext__(self) -> Piece:
        """Return the next piece; raise `ArrivalEndedError` if no more will come."""
        if self._rest is None:
            try:
                return await self._arrived()
            except StoreGaveUpError as given_up:
                self._rest = self._go_on(given_up, self._offset, self._end)
            except OSError as error:
                if self._offset > self._first:  # what was sent cannot be hashed any more
                    raise ArrivalEndedError("the store's file cannot be read") from error
                self._rest = self._go_on(error, self._offset, self._end)
        return await anext(self._rest)

    async def _arrived(self) -> Piece:
        if self._offset >= self._limit:
            self._limit = await self._sendable_beyond()
        if (piece := self.next_nowait()) is not None:
            return piece
        if self._end is not None and self._offset >= self._end:
            raise StopAsyncIteration
        # To a multiple, as `next_nowait` does, so that readers share their pieces.
        count = min(self._limit - self._offset, READ_BYTES - self._offset % READ_BYTES)
        piece = await self._arrival.read(self._offset, count)
        self._offset += len(piece)
        return piece

    async def _sendable_beyond(self) -> int:
        """Wait for more of the span; return up to where it may be sent."""
        offset, end = self._offset, self._end
        if end is None:
            limit = await self._arrival.readable_beyond(offset)
            self._end = self._arrival.length  # known once it is proven
            return limit
        return await self._sendable_of_span(offset, end)

    async def _sendable_of_span(self, offset: int, end: int) -> int:
        length = self._arrival.length
        if offset >= end and length:
            return end
        held_back = end - PIECE_BYTES
        limit = await self._arrival.readable_beyond(offset)
        if length is not None and limit < length and held_back <= offset:
            limit = await self._arrival.readable_beyond(max(offset, length - PIECE_BYTES))
        return end if limit == length else min(limit, held_back)
