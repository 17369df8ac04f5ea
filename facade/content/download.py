"""A blob's bytes from upstream: resumed after a break, verified before the end.

What `verified_pieces` yields may be sent on; where it ends without an error, everything it
yielded was right. Memory is constant: what is held is one piece and what one read gave.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

from attrs import define, field

from facade.content.held_back import HeldBackVerifier, WrongBytesError
from facade.registries.circuit_breaker import CircuitOpenError
from facade.registries.upstream import Upstream
from shared.jitter import jittered
from shared.oci import Digest, Kind, RepositoryName
from shared.structured_log import get_logger
from shared.upstream.errors import (
    BrokenBodyError,
    ConnectError,
    NotNowError,
    RateLimitedError,
    ServerError,
    UnexpectedAnswerError,
    UpstreamError,
    UpstreamTimeoutError,
)

MAX_RESUMES_WITHOUT_PROGRESS: Final = 5
FIRST_RESUME_DELAY_SECONDS: Final = 0.1
MAX_RESUME_DELAY_SECONDS: Final = 5.0

# Worth another try from the byte reached; everything else is an answer.
_BREAKS: Final = (
    BrokenBodyError,
    CircuitOpenError,
    ConnectError,
    NotNowError,
    RateLimitedError,
    ServerError,
    UpstreamTimeoutError,
)
_ASKING_FOR_PATIENCE: Final = (CircuitOpenError, NotNowError, RateLimitedError, ServerError)
_log = get_logger("facade.download")

Settle = Callable[[], Awaitable[None]]


async def _settled() -> None:
    """Return at once: the verifier takes each chunk before the next one is asked for."""


@define(eq=False)
class Download:
    """One attempt to bring a blob's bytes, over as many upstream answers as it takes."""

    length: int
    verifier: HeldBackVerifier
    _upstream: Upstream
    _repository: RepositoryName
    _stack: AsyncExitStack
    _chunks: AsyncIterator[bytes]
    _first_resume_delay: float = FIRST_RESUME_DELAY_SECONDS
    _reached: int = 0  # what the verifier took, or was handed and takes in time
    _failures: int = field(default=0, init=False)
    settle: Settle = _settled  # awaited where the verifier has to have taken everything

    async def verified_pieces(self) -> AsyncIterator[bytes]:
        """Yield what may be sent on, the held-back end last.

        Raises `WrongBytesError`, or an `UpstreamError` where resuming was given up.
        """
        async for chunk in self._resumed_chunks():
            for piece in self.verifier.take(chunk):
                yield piece
        yield self.verifier.finish()

    async def unverified_chunks(self) -> AsyncIterator[bytes]:
        """Yield everything as it comes: only where this ends without an error was it right.

        Whoever takes a chunk has the verifier take it, some time before `settle` returns.
        """
        async for chunk in self._resumed_chunks():
            yield chunk
        await self.settle()
        self.verifier.finish()

    async def _resumed_chunks(self) -> AsyncIterator[bytes]:
        while self._reached < self.length:
            try:
                async for chunk in self._chunks:
                    self._failures = 0
                    self._reached += len(chunk)
                    if self._reached > self.length:
                        message = "more bytes than the announced length"
                        raise WrongBytesError(message)
                    yield chunk
                if self._reached == self.length:
                    break
                message = "the body ended early"
                raise BrokenBodyError(message)
            except _BREAKS as error:
                if self._reached == self.length:
                    break  # only the framing's end is missing; the digest tells
                await self._before_resuming(error)
                try:
                    self._chunks = await self._resume(self._reached)
                except _BREAKS as again:
                    self._chunks = _Broken(again)

    async def resume_behind(self, left: int) -> None:
        """Ask for what follows the beginning that is there already.

        The verifier has to take that beginning before anything more. Raises `UpstreamError`
        where upstream does not begin to answer.
        """
        self._reached = left
        self._chunks = await self._resume(left)

    async def close(self) -> None:
        """Let upstream's answer go; whoever reads on asks again."""
        await self._stack.aclose()

    async def _before_resuming(self, error: UpstreamError) -> None:
        self._failures += 1
        if self._failures > MAX_RESUMES_WITHOUT_PROGRESS:
            raise error
        _log.info(
            "upstream broke, resuming",
            repository=self._repository,
            digest=self.verifier.digest,
            bytes=self._reached,
            attempt=self._failures,
            reason=type(error).__name__,
        )
        ceiling = min(self._first_resume_delay * 2**self._failures, MAX_RESUME_DELAY_SECONDS)
        asked = error.retry_after if isinstance(error, _ASKING_FOR_PATIENCE) else None
        await asyncio.sleep(max(jittered(ceiling), asked or 0.0))

    async def _resume(self, reached: int) -> AsyncIterator[bytes]:
        """Return the bytes from the one reached on."""
        await self._stack.aclose()
        answer = await self._stack.enter_async_context(
            self._upstream.fetch(
                Kind.BLOB, self._repository, self.verifier.digest, first_byte=reached
            )
        )
        span = answer.content_range
        total = span.total if span else answer.content_length
        if total not in (None, self.length):
            message = "a resumed answer has another total length"
            raise UnexpectedAnswerError(message)
        return answer.chunks() if span else self._after_same_beginning(answer.chunks(), reached)

    async def _after_same_beginning(
        self, chunks: AsyncIterator[bytes], reached: int
    ) -> AsyncIterator[bytes]:
        """Compare the beginning of a whole answer with what was taken, and yield what follows."""
        again = self.verifier.digest.hasher()
        left = reached
        async for chunk in chunks:
            beginning, rest = chunk[:left], chunk[left:]
            again.update(beginning)
            left -= len(beginning)
            if left == 0 and beginning:
                await self.settle()
                if again.hexdigest() != self.verifier.prefix_hash():
                    message = "the registry sent another beginning the second time"
                    raise WrongBytesError(message)
            if rest:
                yield rest


class _Broken(AsyncIterator[bytes]):
    """A body that breaks at once: an answer that did not begin."""

    def __init__(self, error: UpstreamError) -> None:
        self._error = error

    async def __anext__(self) -> bytes:
        raise self._error


@asynccontextmanager
async def open_download(
    upstream: Upstream,
    repository: RepositoryName,
    digest: Digest,
    *,
    first_resume_delay: float = FIRST_RESUME_DELAY_SECONDS,
) -> AsyncIterator[Download]:
    """Ask upstream for a blob; raise `UpstreamError` where it does not begin to answer."""
    async with AsyncExitStack() as stack:
        answer = await stack.enter_async_context(upstream.fetch(Kind.BLOB, repository, digest))
        length = answer.content_length
        if length is None:
            length = await blob_length(upstream, repository, digest)
        verifier = HeldBackVerifier(digest, length)
        yield Download(
            length, verifier, upstream, repository, stack, answer.chunks(), first_resume_delay
        )


@asynccontextmanager
async def continue_download(
    upstream: Upstream, repository: RepositoryName, verifier: HeldBackVerifier, left: int
) -> AsyncIterator[Download]:
    """Ask upstream for what follows a beginning of `left` bytes, even where that is nothing.

    The verifier has to take the beginning before the download is read on. Raises `UpstreamError`
    where upstream does not begin to answer, or denies the blob.
    """
    async with AsyncExitStack() as stack:
        nothing = _Broken(BrokenBodyError(""))
        download = Download(
            verifier.length, verifier, upstream, repository, stack, nothing, reached=left
        )
        if left == verifier.length:
            await blob_length(upstream, repository, verifier.digest)  # the right is asked for
        else:
            await download.resume_behind(left)
        yield download


async def blob_length(upstream: Upstream, repository: RepositoryName, digest: Digest) -> int:
    """Return the length in bytes that upstream's HEAD announces, or raise `UpstreamError`."""
    async with upstream.fetch(Kind.BLOB, repository, digest, method="HEAD") as answer:
        if answer.content_length is None:
            message = "no length, neither on GET nor on HEAD"
            raise UnexpectedAnswerError(message)
        return answer.content_length
