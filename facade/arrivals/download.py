"""A blob's bytes from upstream: resumed after a break, verified before the end.

What `verified_pieces` yields may be sent on. If it ends without an error, everything it yielded was
right. Memory is constant: one piece, and what one read gave.

The digest decides. If the answer does not name the blob's length, what the registry says of it
elsewhere is only a claim. If it names none anywhere, the blob ends where the digest says so.

It shares its answers with `span_download`, and is another machine: its bytes may go out as they
come, so it never goes back, and what comes again is compared on the way; and it may not know its
end. A span has an end that others move, and begins again where a file is compared.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from attrs import define, field

from facade.arrivals.answer_series import AnswerSeries, Asks, no_chunks, told_total
from facade.arrivals.breaks import FIRST_RESUME_DELAY_SECONDS, is_break
from facade.arrivals.given_blob import require_there
from facade.arrivals.unknown_length import Beginning, length_behind
from facade.arrivals.verified_pieces import PieceVerifier
from facade.registries.upstream import Upstream
from facade.values.piece import MistoldLengthError, WrongBytesError
from shared.oci import Digest, Kind, RepositoryName
from shared.upstream.asked_range import AskedRange
from shared.upstream.errors import RangeRefusedError, UnexpectedAnswerError, UpstreamError

Settle = Callable[[], Awaitable[None]]


async def _settled() -> None:
    """Return at once, because the verifier takes each chunk before the next one is asked for."""


@define(eq=False)
class Download:
    """One attempt to bring a blob's bytes, with as many upstream answers as it takes."""

    length: int | None  # None: the registry does not tell
    verifier: PieceVerifier
    _upstream: Upstream
    answers: AnswerSeries
    _is_told: bool = False  # whether another answer than the one with the bytes told the length
    _reached: int = 0  # what the verifier has taken, or was given and will take
    _ended_at: int | None = field(default=None, init=False)  # where a body of unknown length ended
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
                if self.answers.chunks is None:
                    await self._ask()
                async for chunk in self._new_chunks():
                    self._reached += len(chunk)
                    self.answers.breaks.note_come(self._reached)
                    if self.length is not None and self._reached > self.length:
                        raise self._wrong_length("more bytes than the announced length")
                    yield chunk
                if await self._is_at_the_end():
                    break
                self.answers.require_next_part(self._reached)
            except UpstreamError as error:
                self.answers.drop()
                if not is_break(error):
                    raise
                if await self._has_all():
                    break  # only the end of the framing is missing
                if not await self.answers.breaks.may_resume(error, self._reached):
                    raise

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

    async def begin(self) -> None:
        """Ask now; raise `UpstreamError`."""
        await self.answers.begin(self._ask, self._reached)

    @property
    def tells_length(self) -> bool:
        """Whether its first answer said how long the blob is: a span may go on with that."""
        return self.length is not None and not self._is_told

    async def close(self) -> None:
        """Let go of upstream's answer. Reading on asks again."""
        await self.answers.close()

    async def _ask(self) -> None:
        """Ask for the bytes from the one reached on, also if what came again broke before it.

        The range names its end if that is known, because some registries refuse open ranges.
        """
        first = 0 if self.answers.asks is Asks.WHOLE else self._reached
        last = self.length - 1 if first and self.length is not None else None
        try:
            answer = await self.answers.ask(AskedRange(first, last), self._reached)
        except RangeRefusedError as refused:
            if not self._is_at_the_end_by(refused):
                raise
            self.answers.take_no_more()
            return
        span = answer.content_range
        self._require_same_length(span.total if span else answer.content_length)
        self.answers.take(answer)

    def _is_at_the_end_by(self, refused: RangeRefusedError) -> bool:
        """Tell whether the registry says that there is no more. If not, it is asked for all."""
        total = told_total(refused, self._reached)
        self._require_same_length(total)
        if self.length is None and total == self._reached:
            self._ended_at = self._reached
            return True
        self.answers.go_over(Asks.WHOLE)
        return False

    def _require_same_length(self, total: int | None) -> None:
        if None in (total, self.length) or total == self.length:
            return
        message = "a resumed answer has another total length"
        raise self._wrong_length(message) if self._is_told else UnexpectedAnswerError(message)

    def _new_chunks(self) -> AsyncIterator[bytes]:
        """Return what the present answer has of what has not come; nothing if there is none."""
        chunks = self.answers.chunks
        if chunks is None:
            return no_chunks()
        is_again = self._reached and self.answers.part is None
        return self._after_same_beginning(chunks, self._reached) if is_again else chunks

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
        answers = AnswerSeries(upstream, repository, digest, Asks.REST, first_resume_delay)
        answers.begin_with(answer, stack, chunks)
        yield Download(length, PieceVerifier(digest, length), upstream, answers, is_told)


@asynccontextmanager
async def continue_download(
    upstream: Upstream, repository: RepositoryName, verifier: PieceVerifier, inherited_bytes: int
) -> AsyncIterator[Download]:
    """Ask upstream for what follows `inherited_bytes`, even if nothing does.

    The verifier has to take the beginning before the download is read. Raises `UpstreamError` if
    upstream does not begin to answer, or denies the blob.
    """
    async with download_behind(upstream, repository, verifier, inherited_bytes) as download:
        if inherited_bytes == verifier.length:
            await require_there(upstream, repository, verifier.digest)
        else:
            await download.begin()
        yield download


@asynccontextmanager
async def download_behind(
    upstream: Upstream, repository: RepositoryName, verifier: PieceVerifier, inherited_bytes: int
) -> AsyncIterator[Download]:
    """Give a download of what follows `inherited_bytes`. It asks when it is first read.

    The verifier has to take the beginning first, so that no answer stands open while it is hashed.
    A failure then is a break or an answer, as in the middle of any download.
    """
    answers = AnswerSeries(upstream, repository, verifier.digest, Asks.REST)
    try:
        yield Download(verifier.length, verifier, upstream, answers, reached=inherited_bytes)
    finally:
        await answers.close()
