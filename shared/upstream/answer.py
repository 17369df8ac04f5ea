"""A registry's answer: the body, and the few headers that are read."""

import re
import time
from collections.abc import AsyncIterator, Callable
from typing import Final, Self

import aiohttp
from attrs import field, frozen
from multidict import CIMultiDictProxy

from shared.failures import forget_frames
from shared.outside_bytes import Party, reads_bytes_of
from shared.upstream.body_reading import MonotonicClock, next_chunk
from shared.upstream.errors import (
    BrokenBodyError,
    RangeRefusedError,
    UnexpectedAnswerError,
    UpstreamTimeoutError,
    WastefulAnswerError,
)
from shared.upstream.framing import TooMuchFramingError
from shared.upstream.patience import Patience, SpeedFloor

MAX_HEADER_CHARACTERS: Final = 255  # a media type (RFC 6838) or a digest, and room

_CONTENT_RANGE: Final = re.compile(
    r"bytes ([0-9]{1,18})-([0-9]{1,18})/(?:([0-9]{1,18})|\*)", re.ASCII | re.IGNORECASE
)
_UNSATISFIED_RANGE: Final = re.compile(r"bytes \*/([0-9]{1,18})", re.ASCII | re.IGNORECASE)
_LENGTH: Final = re.compile(r"[0-9]{1,18}", re.ASCII)
_MEDIA_TYPE: Final = re.compile(r"[a-z0-9!#$&^_.+-]+/[a-z0-9!#$&^_.+-]+", re.ASCII)
_DIGEST_LIKE: Final = re.compile(r"[A-Za-z0-9_+.:=-]+", re.ASCII)
_STRONG_ETAG: Final = re.compile(r'"[\x21\x23-\x7e\x80-\xff]*"')


@frozen
class ContentRange:
    """`bytes first-last/total` (RFC 9110 section 14.4); the numbers fit each other."""

    first: int
    last: int
    total: int | None  # None: `*`, the registry does not know it yet

    @classmethod
    @reads_bytes_of(Party.REGISTRY)
    def parse(cls, text: str) -> Self:
        """Return the range.

        Raises `RangeRefusedError` if the text names none, `UnexpectedAnswerError` if it names an
        impossible one.
        """
        match = _CONTENT_RANGE.fullmatch(text.strip())
        if match is None:
            raise RangeRefusedError("the registry answers without a usable Content-Range")
        first, last = int(match[1]), int(match[2])
        total = int(match[3]) if match[3] else None
        if not first <= last or (total is not None and last >= total):
            raise UnexpectedAnswerError("the registry answers with an impossible Content-Range")
        return cls(first, last, total)

    @property
    def length(self) -> int:
        """How many bytes the range has."""
        return self.last - self.first + 1


@frozen
class UpstreamAnswer:
    """A 200, or a 206 of what was asked for or of its beginning.

    Nothing that the headers say is proven: only a body that has the right digest is.
    """

    status: int
    content_length: int | None  # of this answer's body; of the whole content for HEAD
    content_types: frozenset[str]  # lower case, without parameters; "" for one that is unreadable
    content_range: ContentRange | None
    digest_header: str | None  # Docker-Content-Digest: a claim
    etag: str | None  # a strong one (RFC 9110 section 8.8.3), with its quotes
    is_plain: bool  # no web page and not encoded; otherwise its headers describe something else
    _response: aiohttp.ClientResponse | None = field(repr=False)
    # Of the body, which is read once.
    _patience: Patience = field(factory=SpeedFloor, kw_only=True, repr=False, eq=False)
    _clock: MonotonicClock = field(default=time.monotonic, kw_only=True, repr=False, eq=False)
    # is told of the body's bytes as they are read, by the task that reads
    _on_bytes: Callable[[int], None] = field(default=lambda _: None, kw_only=True, repr=False)

    @property
    def content_type(self) -> str | None:
        """The one media type that all Content-Type lines name; None if there is not exactly one."""
        return min(self.content_types) or None if len(self.content_types) == 1 else None

    def require_claim(self) -> None:
        """Return if the headers may be believed without the body.

        Raises `UnexpectedAnswerError`: a login page has a length too, and a gzipped body has
        another.
        """
        if not self.is_plain:
            raise UnexpectedAnswerError("the registry answers with a web page or an encoded body")

    async def chunks(self) -> AsyncIterator[bytes]:
        """Give the body as it arrives, in pieces of any size; nothing for HEAD.

        Raises `BrokenBodyError` if it ends before `content_length`, `UpstreamTimeoutError` if it
        says nothing for too long or comes too slowly, and `WastefulAnswerError` if it has too much
        framing. A body without a length may be cut off unnoticed: only a digest tells.
        """
        if self._response is None:
            return
        content, received = self._response.content, 0
        try:
            while chunk := await next_chunk(content, self._patience, self._clock):
                received += len(chunk)
                self._on_bytes(len(chunk))
                yield chunk
        except TimeoutError as error:
            forget_frames(error)
            raise UpstreamTimeoutError("the registry stopped or was too slow in a body") from None
        except TooMuchFramingError as error:
            forget_frames(error)
            raise WastefulAnswerError(str(error)) from None
        except (aiohttp.ClientError, OSError, RuntimeError) as error:
            # RuntimeError is aiohttp's for reading on after the session was closed.
            forget_frames(error)
            raise _broken() from None
        if self.content_length is not None and received != self.content_length:
            raise _broken()


def whole_answer(response: aiohttp.ClientResponse, *, with_body: bool) -> UpstreamAnswer:
    """Return the answer of a 200 or 203."""
    return _answer(response, None, _content_length(response.headers), with_body=with_body)


def whole_partial_answer(response: aiohttp.ClientResponse, *, with_body: bool) -> UpstreamAnswer:
    """Return the answer of a 206 that nobody asked for, and that has the whole.

    Raises `UnexpectedAnswerError` if it does not say so, or also names another length.
    """
    total = whole_total(response.headers)
    if total is None or _content_length(response.headers) not in (None, total):
        raise UnexpectedAnswerError("the registry answers with a range that was not asked for")
    return _answer(response, None, total, with_body=with_body)


def whole_total(headers: CIMultiDictProxy[str]) -> int | None:
    """Return the length of the whole if a 206 says that it has all of it: `bytes 0-9/10`."""
    try:
        content_range = _content_range(headers)
    except UnexpectedAnswerError:
        return None
    is_whole = content_range.length == content_range.total
    return content_range.total if is_whole else None


def partial_answer(
    response: aiohttp.ClientResponse, first_byte: int, last_byte: int | None
) -> UpstreamAnswer:
    """Return the answer of a 206: from `first_byte` to `last_byte` at most; it may end earlier.

    Raises `RangeRefusedError` if the answer does not say which bytes it has, or has more than were
    asked for (RFC 9110 section 15.3.7: it may give fewer), and `UnexpectedAnswerError` if they are
    others.
    """
    content_range = _content_range(response.headers)
    if content_range.first != first_byte:
        raise UnexpectedAnswerError("the registry answers with another range than was asked for")
    if last_byte is not None and content_range.last > last_byte:
        raise RangeRefusedError("the registry answers with more than the range that was asked for")
    length = _content_length(response.headers)
    if length not in (None, content_range.length):
        raise UnexpectedAnswerError("the registry's range and its length disagree")
    return _answer(response, content_range, content_range.length, with_body=True)


def suffix_answer(response: aiohttp.ClientResponse, suffix: int) -> UpstreamAnswer:
    """Return the answer of a 206 with the last bytes of something: so many, or all that it has.

    Raises as `partial_answer` does, and also if it does not say how long the whole is.
    """
    total = _content_range(response.headers).total
    if total is None:
        raise RangeRefusedError("the registry does not say where the last bytes lie")
    return partial_answer(response, max(0, total - suffix), total - 1)


def probed_answer(response: aiohttp.ClientResponse) -> UpstreamAnswer:
    """Return what a HEAD would have, from the answer to a GET of the first byte alone."""
    match response.status:
        case 206:
            total = _content_range(response.headers).total
            return _answer(response, None, total, with_body=False)
        case 416 if refused_range(response).total == 0:  # an empty blob has no first byte
            return _answer(response, None, 0, with_body=False)
        case 416:
            raise UnexpectedAnswerError("the registry refuses the first byte")
        case _:
            return whole_answer(response, with_body=False)


def refused_range(response: aiohttp.ClientResponse) -> RangeRefusedError:
    """Return the error of a 416, with the total if the registry names it (`bytes */total`)."""
    match = _UNSATISFIED_RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
    message = "the registry refuses the range"
    return RangeRefusedError(message, total=int(match[1]) if match else None)


def is_identity(headers: CIMultiDictProxy[str]) -> bool:
    """Tell whether the headers say that the body's bytes are the content's own."""
    content, transfer = (
        _codings(headers, "Content-Encoding"),
        _codings(headers, "Transfer-Encoding"),
    )
    return not content - {"", "identity"} and not transfer - {"", "identity", "chunked"}


def require_identity(headers: CIMultiDictProxy[str]) -> None:
    """Raise `UnexpectedAnswerError` if the body's bytes are not the content's own."""
    if not is_identity(headers):
        raise UnexpectedAnswerError("the registry answers with an encoded body")


def media_types(headers: CIMultiDictProxy[str]) -> frozenset[str]:
    """Return every media type of an answer, lower case and without parameters.

    "" for one that cannot be read. A proxy may have joined equal lines with commas.
    """
    return frozenset(
        _media_type(value)
        for line in headers.getall("Content-Type", ())
        for value in ([line] if '"' in line else line.split(","))
    )


def _media_type(value: str) -> str:
    bare = value.partition(";")[0].strip().lower()
    readable = len(bare) <= MAX_HEADER_CHARACTERS and _MEDIA_TYPE.fullmatch(bare)
    return bare if readable else ""


def _codings(headers: CIMultiDictProxy[str], name: str) -> set[str]:
    lines = headers.getall(name, ())
    return {coding.strip().lower() for line in lines for coding in line.split(",")}


def _answer(
    response: aiohttp.ClientResponse,
    content_range: ContentRange | None,
    content_length: int | None,
    *,
    with_body: bool,
) -> UpstreamAnswer:
    content_types = media_types(response.headers)
    return UpstreamAnswer(
        status=206 if content_range else 200,
        content_length=content_length,
        content_types=content_types,
        content_range=content_range,
        digest_header=_digest_header(response.headers),
        etag=_strong_etag(response.headers),
        is_plain="text/html" not in content_types and is_identity(response.headers),
        response=response if with_body else None,
    )


def _content_range(headers: CIMultiDictProxy[str]) -> ContentRange:
    """Return the one range of a 206. Several lines or several parts name no usable range."""
    lines = set(headers.getall("Content-Range", ()))
    if len(lines) != 1 or "multipart/byteranges" in media_types(headers):
        raise RangeRefusedError("the registry answers without a usable Content-Range")
    return ContentRange.parse(lines.pop())


def _content_length(headers: CIMultiDictProxy[str]) -> int | None:
    values = {value.strip() for value in headers.getall("Content-Length", ())}
    if not values or "Transfer-Encoding" in headers:
        return None
    value = values.pop()
    if values or not _LENGTH.fullmatch(value):
        raise UnexpectedAnswerError("the registry answers with an unusable Content-Length")
    return int(value)


def _digest_header(headers: CIMultiDictProxy[str]) -> str | None:
    value = headers.get("Docker-Content-Digest", "")
    readable = len(value) <= MAX_HEADER_CHARACTERS and _DIGEST_LIKE.fullmatch(value)
    return value if readable else None


def _strong_etag(headers: CIMultiDictProxy[str]) -> str | None:
    """Return the one strong validator; None if there is none, a weak one, or two that differ."""
    values = {value.strip() for value in headers.getall("ETag", ())}
    value = values.pop() if len(values) == 1 else ""
    readable = len(value) <= MAX_HEADER_CHARACTERS and _STRONG_ETAG.fullmatch(value)
    return value if readable else None


def _broken() -> BrokenBodyError:
    return BrokenBodyError("the registry broke off in the middle of a body")
