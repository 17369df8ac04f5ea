"""The body of an answer to several ranges: `multipart/byteranges`, RFC 9110 section 14.6. Pure.

Each span is a part, in the order asked, and nothing is coalesced: containers/image counts the
parts. The boundary is a secret until the answer begins, because whoever wrote the blob could
otherwise write it into the blob.
"""

import secrets
from typing import Final, Self

from attrs import frozen

from facade.values.byte_range import Span, Spans

_BOUNDARY_BYTES: Final = 16  # random: nobody meets them by chance, or by trying


@frozen
class MultipartRanges:
    """What surrounds the spans of a blob."""

    spans: Spans
    _boundary: str
    _media_type: str  # of each part: the blob's own

    @classmethod
    def of(cls, spans: Spans, media_type: str) -> Self:
        """Return the layout of a new answer, with a boundary that no other has."""
        return cls(spans, secrets.token_hex(_BOUNDARY_BYTES), media_type)

    @property
    def content_type(self) -> str:
        """The media type of the whole answer."""
        return f"multipart/byteranges; boundary={self._boundary}"

    @property
    def content_length(self) -> int:
        """Bytes of the whole body."""
        spans = self.spans
        contents = sum(count for _, count in spans.numbers())
        firsts_and_lasts = sum(
            len(f"{first}{first + count - 1}") for first, count in spans.numbers()
        )
        shortest = len(self.head(Span(0, 1, spans.length))) - len("00")
        return contents + firsts_and_lasts + len(spans) * shortest + len(self.end)

    def head(self, span: Span) -> bytes:
        """Return what stands before the bytes of a span.

        The line break at its beginning belongs to the delimiter (RFC 2046 section 5.1.1).
        """
        return (
            f"\r\n--{self._boundary}\r\n"
            f"Content-Type: {self._media_type}\r\n"
            f"Content-Range: {span.content_range}\r\n\r\n"
        ).encode()

    @property
    def end(self) -> bytes:
        """What stands behind the last one."""
        return f"\r\n--{self._boundary}--\r\n".encode()
