"""How long a blob is if its answer does not say so: a short one is proven, else the registry asked.

What the registry says is a claim, and is not believed if the digest rules it out: only the digest
of nothing names 0 bytes. What the blob's own bytes have shown before counts for more.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Final, Self

from attrs import field, frozen

from facade.registries.upstream import Upstream
from facade.values.piece import PIECE_BYTES, WrongBytesError
from shared.failures import without_frames
from shared.oci import Digest, Kind, RepositoryName
from shared.upstream.answer import UpstreamAnswer
from shared.upstream.asked_range import THE_FIRST_BYTE
from shared.upstream.errors import (
    CredentialRefusedError,
    GoneError,
    NotInRegistryError,
    PolicyDeniedError,
    RangeRefusedError,
    UnexpectedAnswerError,
    UpstreamError,
)

# Then the blob goes on without a length. A registry may hang at one question and answer others.
TOLD_LENGTH_SECONDS: Final = 10.0


@frozen
class Beginning:
    """The beginning of a body: more than a piece of it, or all of it."""

    _chunks: list[bytes] = field(repr=False)
    _rest: AsyncIterator[bytes] = field(repr=False)
    size: int  # bytes
    is_all: bool  # the body ended, and the digest names these bytes
    _broken: UpstreamError | None = None  # how the body broke behind it

    @classmethod
    async def read(cls, body: AsyncIterator[bytes], digest: Digest) -> Self:
        """Read until there is more than `PIECE_BYTES`, or no more.

        If the body breaks, reading `chunks` raises the same error.
        """
        chunks, size, hasher = list[bytes](), 0, digest.hasher()
        try:
            async for chunk in body:
                chunks.append(chunk)
                hasher.update(chunk)
                size += len(chunk)
                if size > PIECE_BYTES:
                    return cls(chunks, body, size, is_all=False)
        except UpstreamError as error:
            return cls(chunks, body, size, is_all=False, broken=without_frames(error))
        return cls(chunks, body, size, is_all=digest.names(hasher))

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the whole body."""
        for chunk in self._chunks:
            yield chunk
        self._chunks.clear()
        if self._broken is not None:
            raise without_frames(self._broken)
        async for chunk in self._rest:
            yield chunk


async def blob_length(upstream: Upstream, repository: RepositoryName, digest: Digest) -> int:
    """Return the length in bytes that upstream tells, or raise `UpstreamError`.

    Raises `WrongBytesError` if its bytes turn out to be others.
    """
    told = await _told_length(upstream, repository, digest)
    if told is None:
        raise UnexpectedAnswerError("no length that can be true, neither on GET nor on HEAD")
    return told


async def length_behind(
    beginning: Beginning, upstream: Upstream, repository: RepositoryName, digest: Digest
) -> int | None:
    """Return the length of a blob whose answer names none; None if nobody knows it.

    A device that was told a wrong length has to be cut off, although the bytes are right. So only
    the answer to a range is believed, because it comes from where the bytes come from; and if it
    was wrong once, never again. A HEAD is not believed: often a proxy or a database answers it.
    """
    if beginning.is_all:
        return beginning.size
    if upstream.lengths.was_mistold(digest):
        return None
    told = None
    with suppress(UpstreamError, WrongBytesError, TimeoutError):  # the blob comes nevertheless
        async with asyncio.timeout(TOLD_LENGTH_SECONDS):
            told = await _length_by_range(upstream, repository, digest)
    return told if told is not None and told >= beginning.size else None


async def _told_length(
    upstream: Upstream, repository: RepositoryName, digest: Digest
) -> int | None:
    """Return the length in bytes that the registry tells; None if it tells none, or a wrong one.

    The answer to a GET of the first byte is asked first: it comes the way that the bytes come.
    Raises `UpstreamError` if the registry does not give the blob, and `WrongBytesError` if it gives
    a short one that is wrong.
    """
    lengths = upstream.lengths
    told, seen = await _told_by_range(upstream, repository, digest)
    if told is None or not lengths.may_be(digest, told):
        told = await _told_by_head(upstream, repository, digest)
    if (proven := lengths.proven(digest)) is not None:
        return proven
    return told if told is not None and told >= seen and lengths.may_be(digest, told) else None


async def _length_by_range(
    upstream: Upstream, repository: RepositoryName, digest: Digest
) -> int | None:
    """Return the length that the answer to a GET of the first byte tells; None as `_told_length`.

    Raises as `_told_length`.
    """
    told, _ = await _told_by_range(upstream, repository, digest)
    return told if told is not None and upstream.lengths.may_be(digest, told) else None


async def _told_by_range(
    upstream: Upstream, repository: RepositoryName, digest: Digest
) -> tuple[int | None, int]:
    """Return the length that is told, and how many bytes have been seen: it has no fewer."""
    try:
        async with upstream.fetch(Kind.BLOB, repository, digest, THE_FIRST_BYTE) as answer:
            if answer.content_range is None and (answer.content_length or 0) <= PIECE_BYTES:
                return await _proven_length(answer, digest)
            answer.require_claim()
            span = answer.content_range
            return (answer.content_length if span is None else span.total), 0
    except RangeRefusedError as refused:
        # There is a first byte of everything but nothing: if it names more, it contradicts itself.
        return (0 if refused.total == 0 else None), 0
    except UnexpectedAnswerError:
        return None, 0


async def _proven_length(answer: UpstreamAnswer, digest: Digest) -> tuple[int | None, int]:
    """Return the length of a whole answer that is at most a piece long; None if it is longer.

    And how many of its bytes have been seen.
    """
    beginning = await Beginning.read(answer.chunks(), digest)
    if beginning.is_all:
        return beginning.size, beginning.size
    if beginning.size == answer.content_length:
        raise WrongBytesError("the bytes are not those of the digest")
    return None, beginning.size


async def _told_by_head(
    upstream: Upstream, repository: RepositoryName, digest: Digest
) -> int | None:
    # A registry that gives the blob and refuses its HEAD tells no length.
    with suppress(
        CredentialRefusedError,
        GoneError,
        NotInRegistryError,
        PolicyDeniedError,
        UnexpectedAnswerError,
    ):
        async with upstream.fetch(Kind.BLOB, repository, digest, method="HEAD") as answer:
            return answer.content_length
    return None
