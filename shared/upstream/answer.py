"""What a registry answered, by allow-list: the few headers that are believed, and the body."""

import re
from collections.abc import AsyncIterator
from typing import Final, Self

import aiohttp
from attrs import field, frozen
from multidict import CIMultiDictProxy

from shared.upstream.errors import BrokenBodyError, UnexpectedAnswerError, UpstreamTimeoutError

MAX_HEADER_CHARACTERS: Final = 255  # a media type (RFC 6838) or a digest, and room

_CONTENT_RANGE: Final = re.compile(
    r"bytes (?:([0-9]{1,18})-([0-9]{1,18})|\*)/([0-9]{1,18})", re.ASCII | re.IGNORECASE
)
_EMPTY_RANGE: Final = re.compile(r"bytes \*/0", re.ASCII | re.IGNORECASE)
_LENGTH: Final = re.compile(r"[0-9]{1,18}", re.ASCII)
_MEDIA_TYPE: Final = re.compile(r"[a-z0-9!#$&^_.+-]+/[a-z0-9!#$&^_.+-]+", re.ASCII)
_DIGEST_LIKE: Final = re.compile(r"[A-Za-z0-9_+.:=-]+", re.ASCII)


@frozen
class ContentRange:
    """`bytes first-last/total` (RFC 9110 section 14.4); every number is known and fits."""

    first: int
    last: int
    total: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the range; raise `UnexpectedAnswerError` for an unknown or impossible one."""
        match = _CONTENT_RANGE.fullmatch(text.strip())
        if match is None or match[1] is None:
            raise UnexpectedAnswerError("the registry answers without a usable Content-Range")
        first, last, total = int(match[1]), int(match[2]), int(match[3])
        if not first <= last < total:
            raise UnexpectedAnswerError("the registry answers with an impossible Content-Range")
        return cls(first, last, total)

    @property
    def length(self) -> int:
        """How many bytes the range has."""
        return self.last - self.first + 1


@frozen
class UpstreamAnswer:
    """A 200, or a 206 of exactly what was asked for."""

    status: int
    content_length: int | None  # of this answer's body; of the whole content for HEAD
    content_type: str | None  # lower case, without parameters
    content_range: ContentRange | None
    digest_header: str | None  # Docker-Content-Digest: a claim
    _response: aiohttp.ClientResponse | None = field(repr=False)

    async def chunks(self) -> AsyncIterator[bytes]:
        """Give the body as it arrives, in pieces of any size; nothing for HEAD.

        Raises `BrokenBodyError` if it ends before `content_length`, `UpstreamTimeoutError` if
        nothing comes for the stall limit. A body without a length may be cut without a trace:
        only a digest tells.
        """
        if self._response is None:
            return
        read = self._response.content.readany
        received = 0
        try:
            while chunk := await read():
                received += len(chunk)
                yield chunk
        except TimeoutError:
            raise UpstreamTimeoutError("the registry stopped in the middle of a body") from None
        except (aiohttp.ClientError, OSError, RuntimeError):
            # RuntimeError is aiohttp's for reading on after the session was closed.
            raise _broken() from None
        if self.content_length is not None and received != self.content_length:
            raise _broken()


def whole_answer(response: aiohttp.ClientResponse, *, with_body: bool) -> UpstreamAnswer:
    """Return the answer of a 200."""
    return _answer(response, None, _content_length(response.headers), with_body=with_body)


def partial_answer(
    response: aiohttp.ClientResponse, first_byte: int, last_byte: int | None
) -> UpstreamAnswer:
    """Return the answer of a 206; it has what was asked for, no `last_byte` being the end.

    Raises `UnexpectedAnswerError`.
    """
    content_range = ContentRange.parse(response.headers.get("Content-Range", ""))
    end = content_range.total if last_byte is None else min(last_byte + 1, content_range.total)
    if content_range.first != first_byte or content_range.last != end - 1:
        raise UnexpectedAnswerError("the registry answers with another range than was asked for")
    length = _content_length(response.headers)
    if length not in (None, content_range.length):
        raise UnexpectedAnswerError("the registry's range and its length disagree")
    return _answer(response, content_range, content_range.length, with_body=True)


def probed_answer(response: aiohttp.ClientResponse) -> UpstreamAnswer:
    """Return what a HEAD would have, from the answer to a GET of the first byte alone."""
    match response.status:
        case 206:
            content_range = ContentRange.parse(response.headers.get("Content-Range", ""))
            return _answer(response, None, content_range.total, with_body=False)
        case 416:  # an empty blob has no first byte: `bytes */0`
            empty = _EMPTY_RANGE.fullmatch(response.headers.get("Content-Range", ""))
            if empty is None:
                raise UnexpectedAnswerError("the registry refuses the first byte")
            return _answer(response, None, 0, with_body=False)
        case _:
            return whole_answer(response, with_body=False)


def require_identity(headers: CIMultiDictProxy[str]) -> None:
    """Raise `UnexpectedAnswerError` if the body's bytes are not the content's own."""
    for name, plain in (("Content-Encoding", "identity"), ("Transfer-Encoding", "chunked")):
        values = [value.strip().lower() for value in headers.getall(name, ())]
        if any(value not in ("", plain) for value in values):
            raise UnexpectedAnswerError("the registry answers with an encoded body")


def media_type(headers: CIMultiDictProxy[str]) -> str | None:
    """Return the one media type of an answer, lower case and without parameters."""
    values = headers.getall("Content-Type", ())
    if len(values) != 1:
        return None
    bare = values[0].partition(";")[0].strip().lower()
    readable = len(bare) <= MAX_HEADER_CHARACTERS and _MEDIA_TYPE.fullmatch(bare)
    return bare if readable else None


def _answer(
    response: aiohttp.ClientResponse,
    content_range: ContentRange | None,
    content_length: int | None,
    *,
    with_body: bool,
) -> UpstreamAnswer:
    content_type = media_type(response.headers)
    if content_type == "text/html":
        raise UnexpectedAnswerError("the registry answers with a web page")
    return UpstreamAnswer(
        status=206 if content_range else 200,
        content_length=content_length,
        content_type=content_type,
        content_range=content_range,
        digest_header=_digest_header(response.headers),
        response=response if with_body else None,
    )


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


def _broken() -> BrokenBodyError:
    return BrokenBodyError("the registry broke off in the middle of a body")
