"""A blob's bytes from upstream: resumed after a break, verified before the end.

What `verified_pieces` yields may be sent on. If it ends without an error, everything it yielded was
right. Memory is constant: one piece, and what one read gave.

The digest decides. If the answer does not name the blob's length, what the registry says of it
elsewhere is only a claim. If it names none anywhere, the blob ends where the digest says so.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from attrs import define, field, frozen

from facade.arrivals.breaks import (
    FIRST_RESUME_DELAY_SECONDS,
    MIN_PART_BYTES,
    MIN_PROGRESS_BYTES,
    Breaks,
    is_break,
    says_nothing,
)
from facade.arrivals.given_blob import require_there
from facade.arrivals.unknown_length import Beginning, BrokenBody, length_behind
from facade.arrivals.validator import Validator
from facade.arrivals.verified_pieces import PieceVerifier
from facade.registries.upstream import Upstream
from facade.values.piece import MistoldLengthError, WrongBytesError
from shared.oci import Digest, Kind, RepositoryName
from shared.upstream.answer import ContentRange
from shared.upstream.asked_range import AskedRange
from shared.upstream.errors import (
    BrokenBodyError,
    RangeRefusedError,
    UnexpectedAnswerError,
    UpstreamError,
)

Settle = Callable[[], Awaitable[None]]


async def _settled() -> None:
    """Return at once, because the verifier takes each chunk before the next one is asked for."""


@frozen
class _Body:
    """The bytes of one answer, from the byte reached on."""

    chunks: AsyncIterator[bytes]
    part: ContentRange | None = None  # of a 206


async def _body_of(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


@define(eq=False)
class Download:
    """One attempt to bring a blob's bytes, with as many upstream answers as it takes."""

    length: int | None  # None: the registry does not tell
    verifier: PieceVerifier
    _upstream: Upstream
    _repository: RepositoryName
    _stack: AsyncExitStack
    _body: _Body
    _breaks: Breaks
    _is_told: bool = False  # whether another answer than the one with the bytes told the length
    is_claim: bool = False  # whether the last answer's headers may be a blob's
    validator: Validator | None = None  # of its first answer
    _reached: int = 0  # what the verifier has taken, or was given and will take
    _answered_at: int = field(default=0, init=False)  # where the present answer begins
    _ended_at: int | None = field(default=None, init=False)  # where a body of unknown length ended
    _knows_ranges: bool = field(default=True, init=False)  # if not, it is asked for the whole again
    _settle: Settle = field(default=_settled, init=False)  # see `unverified_chunks`

    async def verified_pieces(self) -> AsyncIterator[bytes]:
        """Yield what may be sent on, the held-back end last.

        Raises `WrongBytesError`, or an `UpstreamError` if resuming was given up.
        """
        async for chunk in self._resumed_chunks():
            for piece in self.verifier.take(chunk):
                yield piece
        yield self._finish()

    async def unverified_chunks(self, settle: Settle) -> AsyncIterator[bytes]:
        """Yield everything as it comes. It was right only if this ends without an error.

        The caller passes each chunk to the verifier, at the latest before `settle` returns, which
        is awaited when the verifier must have taken everything.
        """
        self._settle = settle
        async for chunk in self._resumed_chunks():
            yield chunk
        await self._settle()
        self._finish()

    def _finish(self) -> bytes:
        end = self.verifier.finish()
        if self.length is None:
            self._upstream.lengths.prove(self.verifier.digest, self.verifier.taken)
        return end

    async def _resumed_chunks(self) -> AsyncIterator[bytes]:
        while self._reached != self.length:
            try:
                async for chunk in self._body.chunks:
                    self._reached += len(chunk)
                    if self._reached - self._answered_at >= MIN_PROGRESS_BYTES:
                        self._breaks.make_up()
                    if self.length is not None and self._reached > self.length:
                        raise self._wrong_length("more bytes than the announced length")
                    yield chunk
                if await self._is_at_the_end():
                    break
                await self._ask_for_the_next_part()
            except UpstreamError as error:
                if not is_break(error):
                    raise
                if await self._has_all():
                    break  # only the end of the framing is missing
                if not await self._may_resume(error):
                    raise
                await self._try_to_resume()

    async def _is_at_the_end(self) -> bool:
        """Tell whether the blob ends where a body has ended, as far as anybody can tell."""
        if await self._has_all():
            return True
        # Two bodies ended here: there is no more.
        has_ended_here = self.length is None and self._ended_at == self._reached
        self._ended_at = self._reached
        return has_ended_here

    async def _has_all(self) -> bool:
        if self.length is not None and self._reached == self.length:
            return True  # the digest decides once everything was taken
        await self._settle()
        if not self.verifier.has_all():
            return False
        if self.length is not None:  # it was believed, and readers were told
            self._upstream.lengths.prove(self.verifier.digest, self._reached)
            raise self._wrong_length("another length than the registry told")
        return True

    def _wrong_length(self, message: str) -> WrongBytesError:
        """Return the error for an announced length that the bytes do not have."""
        if not self._is_told:
            return WrongBytesError(message)
        self._upstream.lengths.distrust(self.verifier.digest, self._reached)
        return MistoldLengthError(message)

    async def _ask_for_the_next_part(self) -> None:
        """Go on after a 206 with less than was asked for (RFC 9110 section 14.4)."""
        part = self._body.part
        if part is None or self._reached != part.last + 1 or part.length < MIN_PART_BYTES:
            raise BrokenBodyError("the body ended early")
        await self._resume()

    async def _try_to_resume(self) -> None:
        try:
            await self._resume()
        except UpstreamError as again:
            if not is_break(again):
                raise
            self._body = _Body(BrokenBody(again))

    async def resume_behind(self, inherited_bytes: int) -> None:
        """Ask for what follows the beginning that is there already.

        The verifier has to take that beginning first. Raises `UpstreamError` if upstream does not
        begin to answer.
        """
        self._reached = inherited_bytes
        while True:
            try:
                await self._resume()
            except UpstreamError as error:
                if not (says_nothing(error) and await self._may_resume(error)):
                    raise
            else:
                return

    def ask_when_read(self, inherited_bytes: int) -> None:
        """Ask for what follows a beginning only when the download is read, not now.

        The verifier has to take that beginning first.
        """
        self._reached, self._body = inherited_bytes, _Body(self._asked())

    async def _asked(self) -> AsyncIterator[bytes]:
        await self._resume()
        async for chunk in self._body.chunks:
            yield chunk

    @property
    def answer(self) -> AsyncIterator[bytes] | None:
        """The body of its first answer, if that said how long the blob is, for who resumes it."""
        return None if self._is_told or self.length is None else self._body.chunks

    async def close(self) -> None:
        """Let go of upstream's answer. Reading on asks again."""
        await self._stack.aclose()

    async def _may_resume(self, error: UpstreamError) -> bool:
        """Tell, after the pause before a retry, whether to try again."""
        if not self._breaks.count():
            return False
        await self._breaks.pause(error, self._reached)
        return True

    async def _resume(self) -> None:
        """Ask the registry for the bytes from the one reached on, so that a link is a new one.

        The range names its end if that is known, because some registries refuse open ranges.
        """
        await self._stack.aclose()
        self._answered_at = self._reached
        reached = self._reached if self._knows_ranges else 0
        is_open = self.length is None or not reached
        try:
            answer = await self._stack.enter_async_context(
                self._upstream.fetch(
                    Kind.BLOB,
                    self._repository,
                    self.verifier.digest,
                    AskedRange(reached, None if is_open else (self.length or 0) - 1),
                    is_resumed=True,
                )
            )
        except RangeRefusedError as refused:
            if not self._is_at_the_end_by(refused):
                raise
            self._body = _Body(_body_of())
            return
        self.is_claim = answer.is_plain
        span = answer.content_range
        self._require_same_length(span.total if span else answer.content_length)
        if span is not None:
            self._body = _Body(answer.chunks(), span)
        else:
            self._body = _Body(self._after_same_beginning(answer.chunks(), self._reached))

    def _is_at_the_end_by(self, refused: RangeRefusedError) -> bool:
        """Tell whether the registry says that there is nothing more. If not, it is asked for all.

        A refusal that names more bytes than the range left out contradicts itself, and
        counts as naming none.
        """
        total = refused.total
        if total is not None and total <= self._reached:
            self._require_same_length(total)
        if self.length is None and total == self._reached:
            self._ended_at = self._reached
            return True
        self._knows_ranges = False
        return False

    def _require_same_length(self, total: int | None) -> None:
        if None in (total, self.length) or total == self.length:
            return
        message = "a resumed answer has another total length"
        raise self._wrong_length(message) if self._is_told else UnexpectedAnswerError(message)

    async def _after_same_beginning(
        self, chunks: AsyncIterator[bytes], reached: int
    ) -> AsyncIterator[bytes]:
        """Compare the beginning of a whole answer with what was taken; yield what follows it."""
        again = self.verifier.digest.hasher()
        remaining = reached
        async for chunk in chunks:
            beginning, rest = chunk[:remaining], chunk[remaining:]
            again.update(beginning)
            remaining -= len(beginning)
            if remaining == 0 and beginning:
                await self._settle()
                if again.hexdigest() != self.verifier.prefix_hash():
                    raise WrongBytesError("the registry sent another beginning the second time")
            if rest:
                yield rest


@asynccontextmanager
async def open_download(
    upstream: Upstream,
    repository: RepositoryName,
    digest: Digest,
    *,
    first_resume_delay: float = FIRST_RESUME_DELAY_SECONDS,
) -> AsyncIterator[Download]:
    """Ask upstream for a blob; raise `UpstreamError` if it does not begin to answer.

    If the answer does not say how long it is, up to a piece of it is read first.
    """
    async with AsyncExitStack() as stack:
        answer = await stack.enter_async_context(upstream.fetch(Kind.BLOB, repository, digest))
        length, chunks = answer.content_length, answer.chunks()
        is_told = length is None
        if length is None:
            beginning = await Beginning.read(chunks, digest)
            length = await length_behind(beginning, upstream, repository, digest)
            chunks = beginning.chunks()
        yield Download(
            length,
            PieceVerifier(digest, length),
            upstream,
            repository,
            stack,
            _Body(chunks),
            Breaks(repository, digest, first_resume_delay),
            is_told=is_told,
            is_claim=answer.is_plain,
            validator=Validator.of(answer, digest),
        )


@asynccontextmanager
async def continue_download(
    upstream: Upstream, repository: RepositoryName, verifier: PieceVerifier, inherited_bytes: int
) -> AsyncIterator[Download]:
    """Ask upstream for what follows `inherited_bytes`, even if nothing does.

    The verifier has to take the beginning before the download is read. Raises `UpstreamError` if
    upstream does not begin to answer, or denies the blob.
    """
    async with AsyncExitStack() as stack:
        nothing = _Body(BrokenBody(BrokenBodyError("")))
        breaks = Breaks(repository, verifier.digest)
        download = Download(
            verifier.length,
            verifier,
            upstream,
            repository,
            stack,
            nothing,
            breaks,
            reached=inherited_bytes,
        )
        if inherited_bytes == verifier.length:
            await require_there(upstream, repository, verifier.digest)
        else:
            await download.resume_behind(inherited_bytes)
        yield download


@asynccontextmanager
async def download_behind(
    upstream: Upstream, repository: RepositoryName, verifier: PieceVerifier, inherited_bytes: int
) -> AsyncIterator[Download]:
    """Give a download of what follows `inherited_bytes`. It asks when it is first read.

    The verifier has to take the beginning first, so that no answer stands open while it is hashed.
    A failure then is a break or an answer, as in the middle of any download.
    """
    async with AsyncExitStack() as stack:
        nothing, breaks = _Body(_body_of()), Breaks(repository, verifier.digest)
        download = Download(verifier.length, verifier, upstream, repository, stack, nothing, breaks)
        download.ask_when_read(inherited_bytes)
        yield download
