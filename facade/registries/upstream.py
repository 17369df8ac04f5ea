"""One connection's registry, as a pull sees it: its client, and what keeps it from being asked.

It is not asked while its circuit breaker is open or the connection's secret does not open. Nor is
it asked for what it lately said it does not have, or lately sent wrong. All that belongs to the
access key, as the upstream itself does.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    AsyncExitStack,
    asynccontextmanager,
    contextmanager,
)
from functools import partial
from typing import Final, Self, TypeVar

from attrs import evolve, field, frozen
from yarl import URL

from facade.loop.one_at_a_time import OneAtATime
from facade.metrics.upstream_metrics import HostCounts
from facade.metrics.upstream_outcomes import SegmentOutcome
from facade.registries.absences import Absence, Absences
from facade.registries.bandwidth import Bandwidth
from facade.registries.blob_lengths import BlobLengths
from facade.registries.circuit_breaker import Attempt, CircuitBreaker
from facade.registries.counted_failures import is_answer_to_probe
from facade.registries.failing_paths import CircuitOpenError, Question
from facade.registries.open_questions import OpenQuestions
from facade.registries.range_answers import RangeAnswers
from facade.registries.registry_troubles import RegistryTroubles
from facade.registries.spare_streams import SpareStreams
from facade.registries.spender import spend_bytes
from facade.registries.wrong_bytes_backoff import WrongBytesBackoff
from shared.oci import Digest, Kind, Listing, RepositoryName
from shared.upstream.answer import UpstreamAnswer
from shared.upstream.asked_range import THE_FIRST_BYTE, WHOLE, AskedRange
from shared.upstream.client import RegistryClient
from shared.upstream.errors import (
    CredentialRefusedError,
    GoneError,
    NotInRegistryError,
    NotNowError,
    RangeRefusedError,
    UnexpectedStatusError,
    UpstreamError,
    WastefulAnswerError,
)
from shared.upstream.referrers import ListAnswer, referrers_tag
from shared.upstream.transport import Method

LINKS: Final = 2  # to a store that are tried for one request: the first one may have expired
# Over 64 KiB, of one registry, in memory while they come and are read: 32 MiB. The others wait.
MAX_LONG_MANIFESTS: Final = 8
CLIENT_ERRORS: Final = range(400, 500)

_Answer = TypeVar("_Answer")
_Fetch = Callable[[], AbstractAsyncContextManager[_Answer]]


@frozen
class Upstream:
    """Fetches as `RegistryClient` does.

    In addition, it raises `CircuitOpenError` and what `require_secret` raises.
    """

    _client: RegistryClient
    _breaker: CircuitBreaker
    _troubles: RegistryTroubles | None = field(default=None, kw_only=True)  # None: nobody is told
    _require_secret: Callable[[], object] = field(default=lambda: None, kw_only=True)
    _login_is_at_rest: Callable[[], bool] = field(default=lambda: True, kw_only=True)
    _absences: Absences = field(factory=lambda: Absences(time.monotonic), kw_only=True)
    _bandwidth: Bandwidth | None = field(default=None, kw_only=True)
    large_manifests: OneAtATime = field(factory=OneAtATime, kw_only=True)  # to read them
    # Their places in memory.
    long_manifests: asyncio.Semaphore = field(
        factory=lambda: asyncio.Semaphore(MAX_LONG_MANIFESTS), kw_only=True
    )
    lengths: BlobLengths = field(factory=BlobLengths, kw_only=True)
    ranges: RangeAnswers = field(factory=RangeAnswers, kw_only=True)
    spare_streams: SpareStreams = field(factory=lambda: SpareStreams(time.monotonic), kw_only=True)
    _wrong_bytes: WrongBytesBackoff = field(
        factory=lambda: WrongBytesBackoff(time.monotonic), kw_only=True
    )
    _questions: OpenQuestions[tuple[Absence, Method, AskedRange]] = field(
        factory=OpenQuestions, kw_only=True
    )
    _counts: HostCounts = field(factory=HostCounts.of_nobody, kw_only=True)
    device: str = field(default="", kw_only=True)  # on whose behalf; empty: nobody in particular

    def asked_by(self, device: str) -> Self:
        """Return this upstream as one device asks it, because failures are counted by device."""
        return evolve(self, device=device)

    @asynccontextmanager
    async def fetch(
        self,
        kind: Kind,
        repository: RepositoryName,
        digest: Digest,
        asked: AskedRange = WHOLE,
        *,
        method: Method = "GET",
        is_resumed: bool = False,
    ) -> AsyncIterator[UpstreamAnswer]:
        """Give the registry's answer.

        What breaks after the headers does not concern the breaker, except for endless framing. If a
        store refuses the link that the registry gave, the registry is asked for one other link. A
        download that resumes (`is_resumed`) asks again by itself. If the same is being asked
        already, this waits for the outcome, and shares a failure.
        """
        absence = Absence.of(kind, repository, digest, method)
        question = Question(kind, repository, digest, method, self.device)
        self._absences.require_not(absence)
        self._require_secret()
        links = 1 if is_resumed else LINKS
        async with AsyncExitStack() as stack:
            fetch = partial(self._client.fetch, kind, repository, digest, asked, method=method)
            try:
                if not asked.is_from_the_first_byte:  # a resumed download, or a device's own range
                    answer, attempt = await self._answered(fetch, question, stack, absence, links)
                else:
                    async with self._questions.ask((absence, method, asked)):
                        answer, attempt = await self._answered(
                            fetch, question, stack, absence, links
                        )
            except RangeRefusedError:
                self.ranges.note(is_given=False, is_suffix=asked.last_bytes is not None)
                raise
            if not asked.is_whole:
                is_given = answer.content_range is not None
                self.ranges.note(is_given=is_given, is_suffix=asked.last_bytes is not None)
            is_download = (kind, method) == (Kind.BLOB, "GET") and asked != THE_FIRST_BYTE
            counted = stack.enter_context(self._counts.reading(kind, is_download=is_download))
            answer = evolve(answer, on_bytes=partial(self._note_bytes, attempt, counted))
            with self._noting_body(attempt):
                yield answer if self._bandwidth is None else self._bandwidth.paced(answer)

    @asynccontextmanager
    async def fetch_referrers(
        self, repository: RepositoryName, subject: Digest, page: URL | None = None
    ) -> AsyncIterator[ListAnswer]:
        """Give the answer with a page of what refers to a digest.

        Raises `UnknownRouteError` if the registry has no such route.
        """
        fetch = partial(self._client.fetch_referrers, repository, subject, page)
        async with self._listed(fetch, repository, subject) as (listed, noted):
            yield evolve(listed, answer=noted(listed.answer))

    @asynccontextmanager
    async def fetch_referrers_tag(
        self, repository: RepositoryName, subject: Digest
    ) -> AsyncIterator[UpstreamAnswer]:
        """Give the answer with the list of referrers that clients keep under a tag."""
        tag = referrers_tag(subject)
        fetch = partial(self._client.fetch, Kind.MANIFEST, repository, tag)
        async with self._listed(fetch, repository, subject) as (answer, noted):
            yield noted(answer)

    @asynccontextmanager
    async def _listed(
        self, fetch: _Fetch[_Answer], repository: RepositoryName, subject: Digest
    ) -> AsyncIterator[tuple[_Answer, Callable[[UpstreamAnswer], UpstreamAnswer]]]:
        """Give an answer with a list, and what notes the reading of its body."""
        self._require_secret()
        question = Question(Listing.REFERRERS, repository, subject, "GET", self.device)
        async with AsyncExitStack() as stack:
            listed, attempt = await self._answered(fetch, question, stack, None, LINKS)
            counted = stack.enter_context(
                self._counts.reading(Listing.REFERRERS, is_download=False)
            )

            def noted(answer: UpstreamAnswer) -> UpstreamAnswer:
                answer = evolve(answer, on_bytes=partial(self._note_bytes, attempt, counted))
                return answer if self._bandwidth is None else self._bandwidth.paced(answer)

            with self._noting_body(attempt):
                yield listed, noted

    def require_worth_listing(self, repository: RepositoryName, subject: Digest) -> None:
        """Raise, as `require_worth_asking` does, if referrers would not be asked for now."""
        self._require_secret()
        question = Question(Listing.REFERRERS, repository, subject, "GET", self.device)
        self._breaker.require_willing(question)

    def require_worth_asking(
        self, kind: Kind, repository: RepositoryName, digest: Digest, method: Method = "GET"
    ) -> None:
        """Raise the answer that would be given without asking the registry, if there is one.

        `NotInRegistryError`, `SecretUnusableError`, `WrongBytesLatelyError` or `CircuitOpenError`.
        """
        self._absences.require_not(Absence.of(kind, repository, digest, method))
        self._require_secret()
        self._wrong_bytes.require_over(kind, repository, digest)
        self._breaker.require_willing(Question(kind, repository, digest, method, self.device))

    def verifying(
        self, kind: Kind, repository: RepositoryName, digest: Digest
    ) -> AbstractContextManager[None]:
        """Guard the download of a digest to its end, and note whether its bytes are right.

        Raises `WrongBytesLatelyError` if they were wrong lately.
        """
        return self._wrong_bytes.attempt(kind, repository, digest)

    @property
    def is_at_rest(self) -> bool:
        """Whether nothing is remembered that protects the registry or a device.

        Everything that is remembered for a time is over, and operators have been told the end of
        every trouble of the whole registry.
        """
        return (
            not self._absences.remembers_some
            and not self._wrong_bytes.holds_some
            and not self.lengths.doubts_some
            and not self.spare_streams.are_doubted
            and self._breaker.is_at_rest
            and self._login_is_at_rest()
            and (self._troubles is None or not self._troubles.has_some)
        )

    def count_segment(self, outcome: SegmentOutcome) -> None:
        """Count a segment that was asked for beside other streams of its blob."""
        self._counts.segment(outcome)

    @property
    def is_held_back(self) -> bool:
        """Whether our own limit of bandwidth is what its downloads wait for."""
        return self._bandwidth is not None and self._bandwidth.is_binding

    async def close(self) -> None:
        """Close the client's session; bodies that are being read break."""
        await self._client.close()

    async def _answered(
        self,
        fetch: _Fetch[_Answer],
        question: Question,
        stack: AsyncExitStack,
        absence: Absence | None,  # of what is asked for; None: of a list, which is never absent
        links: int,
    ) -> tuple[_Answer, Attempt]:
        """Return the answer, open as long as the stack; note whether it is there."""
        refused: list[type[UpstreamError]] = []
        try:
            if self._breaker.needs_probe:
                await self._probe()
            with self._breaker.attempt(question) as attempt:  # for all links: one question
                answer = await _by_some_link(fetch, stack, links, refused)
                attempt.body_follows = question.method == "GET"
        except UpstreamError as error:
            self._note_failure(error, question, absence, refused)
            raise
        if absence is not None:
            self._absences.forget(absence)
        if self._troubles is not None:
            self._troubles.answered(question.repository)
        return answer, attempt

    def _note_bytes(self, attempt: Attempt, counted: Callable[[int], None], count: int) -> None:
        spend_bytes(count)
        counted(count)
        self.spare_streams.note_come(count)
        self._breaker.came(attempt, count)

    @contextmanager
    def _noting_body(self, attempt: Attempt) -> Iterator[None]:
        """Tell the breaker how a body ends. It counts as given even if it breaks or is not read."""
        try:
            yield
        except WastefulAnswerError as error:
            self._breaker.failed(attempt, error)
            raise
        finally:
            self._breaker.left(attempt)

    async def _probe(self) -> None:
        """Find out whether the registry can be reached again; raise what keeps it from that."""
        try:
            with self._breaker.probe():
                await self._client.ping()
        except UpstreamError as error:
            if isinstance(error, CircuitOpenError) or not is_answer_to_probe(error):
                raise

    def _note_failure(
        self,
        error: UpstreamError,
        question: Question,
        absence: Absence | None,
        refused: Sequence[type[UpstreamError]],
    ) -> None:
        """Note a failure. A store that does not know a link says nothing of the content.

        Some registries refuse a login for lists alone: nobody is told that it does not work.
        """
        is_absent = isinstance(error, NotInRegistryError) and (
            not error.at_store or refused == [NotInRegistryError] * LINKS
        )
        if is_absent and absence is not None:
            self._absences.remember(absence)
        refuses_list = absence is None and isinstance(error, CredentialRefusedError)
        if self._troubles is not None and not refuses_list:
            self._troubles.failed(error, question.repository)


async def _by_some_link(
    fetch: _Fetch[_Answer], stack: AsyncExitStack, links: int, refused: list[type[UpstreamError]]
) -> _Answer:
    """Return the answer to the first link that is not refused; note the errors."""
    while True:
        try:
            return await stack.enter_async_context(fetch())
        except UpstreamError as error:
            refused.append(type(error))
            if len(refused) == links or not refuses_link(error):
                raise


def refuses_link(error: UpstreamError) -> bool:
    """Tell whether a store refuses the link that the registry gave. Another link may work.

    The link may have expired, or this node of the store may not have the content yet.
    """
    if isinstance(error, UnexpectedStatusError):
        return error.at_store and error.status in CLIENT_ERRORS
    return error.at_store and isinstance(error, NotInRegistryError | GoneError | NotNowError)
