"""The first bytes of an arriving blob that have come, as its readers have them before the disk has.

A device waits for its first byte. So it is given from memory what is being written, and not read
back. It is whole checked pieces: what was given can be told from what is in the file, and if it
cannot be written, whoever goes on without the store has it to be hashed.
"""

from typing import Final

from attrs import define, field, frozen

from facade.arrivals.gaps import ALIGNED_BYTES

# Given so. A reader that is further ahead of what its stream has written than `NEAR_BYTES` would be
# fetched for by another one.
MOST_SHOWN_BYTES: Final = 128 * 1024


@frozen(eq=False)
class JustCome:
    """A span that is being written."""

    first: int
    end: int
    last: bytes = field(repr=False)  # chunk of it: when that is written, all of it is
    _content: bytes = field(repr=False)  # of the span, and perhaps more

    def run_end(self, come_to: int) -> int:
        """Return the end of what has come, if all before `come_to` has."""
        return self.end if self.first <= come_to < self.end else come_to

    def read(self, offset: int, count: int) -> memoryview | None:
        """Return at most so many bytes; None if there are none at this offset."""
        if not self.first <= offset < self.end:
            return None
        end = min(offset + count, self.end)
        return memoryview(self._content)[offset - self.first : end - self.first]

    def count_before(self, offset: int, count: int) -> int:
        """Return how many of so many bytes lie before it."""
        return min(count, self.first - offset) if offset < self.first else count


@define(eq=False)
class FirstPieces:
    """Gathers the first chunks of a blob until they have a whole piece."""

    _first: int = field(default=0, init=False)
    _gathered: bytes = field(default=b"", init=False, repr=False)  # from there on
    _is_whole: bool = field(default=False, init=False)

    def take(self, chunk: bytes, first: int, length: int) -> JustCome | None:
        """Take a chunk; return the whole pieces when there are some, once. `length`: of the blob.

        What is not the next chunk is passed over: it was taken already, or lies elsewhere. But if
        some of what was gathered comes again, and differently, what was gathered is dropped: the
        file will have what came later.
        """
        if self._is_whole or not chunk or self._has(chunk, first):
            return None
        if first != self._end:
            if self._gathered and not self._meets(chunk, first):
                return None
            self._gathered = b""
            if first % ALIGNED_BYTES:
                return None
            self._first = first
        self._gathered = self._gathered + chunk if self._gathered else chunk
        begin, end = self._first, min(self._end, self._first + MOST_SHOWN_BYTES)
        if end < length:
            end -= end % ALIGNED_BYTES
        if end <= begin:
            return None
        self._is_whole, content, self._gathered = True, self._gathered, b""
        return JustCome(begin, end, chunk, content)

    @property
    def _end(self) -> int:
        return self._first + len(self._gathered)

    def _has(self, chunk: bytes, first: int) -> bool:
        """Tell whether the same bytes were taken for this place."""
        begin = first - self._first
        return begin >= 0 and self._gathered[begin : begin + len(chunk)] == chunk

    def _meets(self, chunk: bytes, first: int) -> bool:
        """Tell whether some of what was gathered comes again."""
        return first < self._end and self._first < first + len(chunk)
