"""One byte range of a blob, asked and answered (RFC 9110 section 14). Pure.

Several ranges, other units and malformed headers are ignored, as the RFC allows: the answer is then
the whole blob.
"""

import re
from typing import Final

from attrs import frozen

from facade.errors import PullError
from shared.outside_bytes import Party, reads_bytes_of

_RANGE: Final = re.compile(
    r"bytes=[ \t]*([0-9]{0,18})-([0-9]{0,18})[ \t]*", re.ASCII | re.IGNORECASE
)


class UnsatisfiableRangeError(PullError):
    """The range begins behind the end of a blob of so many bytes: 416."""

    def __init__(self, length: int) -> None:
        """Keep the blob's length."""
        super().__init__("range behind the end")
        self.length = length


@frozen
class ByteRange:
    """`first-`, `first-last` or `-suffix_length`: as asked, before the length is known."""

    first: int | None
    last: int | None

    @classmethod
    @reads_bytes_of(Party.DEVICE)
    def parse(cls, header: str) -> "ByteRange | None":
        """Return the range of a `Range` header; None if the header is ignored."""
        match = _RANGE.fullmatch(header)
        if match is None or not (match[1] or match[2]):
            return None
        first = int(match[1]) if match[1] else None
        last = int(match[2]) if match[2] else None
        if first is not None and last is not None and last < first:
            return None
        return cls(first, last)

    def span(self, length: int) -> "Span":
        """Return the bytes of a blob of this length; raise `UnsatisfiableRangeError`."""
        if self.first is None:
            suffix = min(self.last or 0, length)
            first, last = length - suffix, length - 1
        else:
            first = self.first
            last = length - 1 if self.last is None else min(self.last, length - 1)
        if first > last:
            raise UnsatisfiableRangeError(length)
        return Span(first, last - first + 1, length)


@frozen
class Span:
    """`count` bytes of a blob, from the byte `first` on."""

    first: int
    count: int
    length: int  # of the whole blob

    @classmethod
    def whole(cls, length: int) -> "Span":
        """Return all of a blob."""
        return cls(0, length, length)

    @property
    def end(self) -> int:
        """The offset behind the last byte."""
        return self.first + self.count

    @property
    def content_range(self) -> str:
        """The value of `Content-Range`."""
        return f"bytes {self.first}-{self.end - 1}/{self.length}"
