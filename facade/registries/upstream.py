"""One connection's registry, as a pull sees it: its client, and what keeps it from being asked.

It is not asked while its circuit breaker is open or the connection's secret does not open, for what
it lately said it does not have, and for what it lately sent wrong. All that belongs to the access
key, as the upstream itself does.
"""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    AsyncExitStack,
    asynccontextmanager,
)
from typing import Self

from attrs import evolve, field, frozen

from facade.registries.absences import Absence, Absences
from facade.registries.bandwidth import Bandwidth
from facade.registries.blob_lengths import BlobLengths
from facade.registries.circuit_breaker import CircuitBreaker
from facade.registries.counted_failures import is_answer_to_probe
from facade.registries.failing_paths import CircuitOpenError, Question
from facade.registries.open_questions import OpenQuestions
from facade.registries.registry_troubles import RegistryTroubles
from facade.registries.wrong_bytes_backoff import WrongBytesBackoff
from shared.oci import Digest, Kind, RepositoryName
from shared.upstream.answer import UpstreamAnswer
from shared.upstream.client import Method, RegistryClient
from shared.upstream.errors import NotFoundError, UpstreamError


@frozen
class Upstream:
    """Fetches as `RegistryClient` does.

    Raises `CircuitOpenError` besides, and what `require_secret` raises.
    """

    _client: RegistryClient
    _breaker: CircuitBreaker
    _troubles: RegistryTroubles | None = field(default=None, kw_only=True)  # None: nobody is told
    _require_secret: Callable[[], object] = field(default=lambda: None, kw_only=True)
    _absences: Absences = field(factory=lambda: Absences(time.monotonic), kw_only=True)
    _bandwidth: Bandwidth | None = field(default=None, kw_only=True)
    lengths: BlobLengths = field(factory=BlobLengths, init=False)
    _wrong_bytes: WrongBytesBackoff = field(
        factory=lambda: WrongBytesBackoff(time.monotonic), kw_only=True
    )
    _questions: OpenQuestions[tuple[Absence, Method, int | None]] = field(
        factory=OpenQuestions, kw_only=True
    )
    device: str = field(default="", kw_only=True)  # on whose behalf; empty: nobody in particular

    def asked_by(self, device: str) -> Self:
        """Return the same upstream, as one device asks it: what fails is told apart by device."""
        return evolve(self, device=device)

    @asynccontextmanager
    async def fetch(
        self,
        kind: Kind,
        repository: RepositoryName,
        digest: Digest,
        *,
        method: Method = "GET",
        first_byte: int = 0,
        last_byte: int | None = None,
    ) -> AsyncIterator[UpstreamAnswer]:
        """Give the registry's answer; what breaks after its headers is not the breaker's matter.

        Who asks for the same as another who has no answer yet waits for that, and shares a failure.
        """
        absence = Absence.of(kind, repository, digest, method)
        question = Question(kind, repository, digest, method, self.device)
        self._absences.require_not(absence)
        self._require_secret()
        async with AsyncExitStack() as stack:
            fetched = self._client.fetch(
                kind,
                repository,
                digest,
                method=method,
                first_byte=first_byte,
                last_byte=last_byte,
            )
            if first_byte:  # a resumed download, or a span of a device's own
                answer = await self._answered(fetched, question, stack, is_resumed=True)
            else:
                async with self._questions.ask((absence, method, last_byte)):
                    answer = await self._answered(fetched, question, stack)
            yield answer if self._bandwidth is None else self._bandwidth.paced(answer)

    def require_worth_asking(
        self, kind: Kind, repository: RepositoryName, digest: Digest, method: Method = "GET"
    ) -> None:
        """Raise what would be answered without asking, where it would be.

        `NotFoundError`, `SecretUnusableError`, `WrongBytesLatelyError` or `CircuitOpenError`.
        """
        self._absences.require_not(Absence.of(kind, repository, digest, method))
        self._require_secret()
        self._wrong_bytes.require_over(kind, digest)
        self._breaker.require_willing(Question(kind, repository, digest, method, self.device))

    def verifying(self, kind: Kind, digest: Digest) -> AbstractContextManager[None]:
        """Guard bringing the bytes of a digest to their end: whether they are right is noted.

        Raises `WrongBytesLatelyError` where they lately were not.
        """
        return self._wrong_bytes.attempt(kind, digest)

    async def close(self) -> None:
        """Close the client's session; bodies that are being read break."""
        await self._client.close()

    async def _answered(
        self,
        fetched: AbstractAsyncContextManager[UpstreamAnswer],
        question: Question,
        stack: AsyncExitStack,
        *,
        is_resumed: bool = False,
    ) -> UpstreamAnswer:
        """Return the answer, open as long as the stack; note whether it is there.

        What was there is not gone because a store does not know the link to it any more.
        """
        absence = Absence.of(question.kind, question.repository, question.digest, question.method)
        try:
            if self._breaker.needs_probe:
                await self._probe()
            with self._breaker.attempt(question):
                answer = await stack.enter_async_context(fetched)
        except UpstreamError as error:
            if isinstance(error, NotFoundError) and not (is_resumed and error.at_store):
                self._absences.remember(absence)
            if self._troubles is not None:
                self._troubles.failed(error, absence.repository)
            raise
        self._absences.forget(absence)
        if self._troubles is not None:
            self._troubles.answered(absence.repository)
        return answer

    async def _probe(self) -> None:
        """Find out whether the registry can be reached again; raise what keeps it from that."""
        try:
            with self._breaker.probe():
                await self._client.ping()
        except UpstreamError as error:
            if isinstance(error, CircuitOpenError) or not is_answer_to_probe(error):
                raise
