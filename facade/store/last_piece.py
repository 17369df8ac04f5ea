"""The piece that was checked for a small read, for the next small read of the same reader.

Whoever asks for many small ranges beside each other would have the same 32 KiB read and checked for
each of them. What is read in larger pieces is not kept: a device that stopped would hold it.
"""

from attrs import define, field

from facade.store.piece_checksums import CHECKED_BYTES


@define(eq=False)
class LastPiece:
    """At most `CHECKED_BYTES` that were checked."""

    _start: int = field(default=0, init=False)  # its offset in the blob
    _content: memoryview = field(factory=lambda: memoryview(b""), init=False)

    def read(self, offset: int, count: int) -> memoryview | None:
        """Return so many bytes from an offset; None if not all of them are in it."""
        begin = offset - self._start
        if begin < 0 or begin + count > len(self._content):
            return None
        return self._content[begin : begin + count]

    def keep(self, start: int, content: memoryview, count: int) -> None:
        """Keep what was checked from an offset on, if `count`, which was asked for, is little."""
        if count < CHECKED_BYTES and len(content) <= CHECKED_BYTES:
            self._start, self._content = start, content
