"""A length that only ranges have told. If nothing comes, it is held against that of the whole.

Some registries tell another total for a range than the whole has. Then the last bytes of it never
come, or those that come are not all. Such an arrival is ended soon, and the next one asks for the
whole first. Silence is the sign: a stream would wait for a minute for bytes that there are not.
"""

import asyncio
import time
from contextlib import suppress
from typing import Final

from attrs import define, field

from facade.loop.outcome import Failed, outcome_of
from facade.loop.thread_work import until_done
from facade.registries.upstream import Upstream
from facade.values.piece import WrongBytesError
from shared.oci import Digest, Kind, RepositoryName
from shared.upstream.errors import UnexpectedAnswerError, UpstreamError

QUIET_SECONDS: Final = 2.0  # without a byte; then it is asked once


@define(eq=False)
class DoubtedLength:
    """The length of one arriving blob. For one event loop."""

    _upstream: Upstream
    _repository: RepositoryName
    _digest: Digest
    _length: int
    _asking: asyncio.Task[Failed | None] | None = field(default=None, init=False)
    _come: int = field(default=0, init=False)
    _come_at: float = field(factory=time.monotonic, init=False)

    def look(self, come: int, *, is_waited_for: bool) -> None:
        """Ask if nothing has come for long. Raises `UnexpectedAnswerError` if it is another one.

        `come`: bytes of the blob, up to now.
        """
        now = time.monotonic()
        if come != self._come or not is_waited_for:
            self._come, self._come_at = come, now
        if self._asking is None and now - self._come_at >= QUIET_SECONDS:
            self._asking = asyncio.create_task(outcome_of(self._ask))
        outcome = self._asking.result() if self._asking and self._asking.done() else None
        if outcome is not None:
            raise outcome.own()

    async def end(self) -> None:
        """Ask no more."""
        if self._asking is not None:
            self._asking.cancel()
            await until_done(self._asking)

    async def _ask(self) -> None:
        """Ask for the whole, and read nothing of it.

        A registry that does not answer, or tells no length, says nothing.
        """
        told = None
        with suppress(UpstreamError):
            async with self._upstream.fetch(
                Kind.BLOB, self._repository, self._digest, is_resumed=True
            ) as answer:
                told = answer.content_length if answer.is_plain else None
        if told not in (None, self._length):
            raise UnexpectedAnswerError("the registry tells another length for a range")

    def note(self, failure: Exception) -> None:
        """Remember that it was wrong, if an arrival failed that would have been right otherwise."""
        if isinstance(failure, UnexpectedAnswerError | WrongBytesError):
            self._upstream.lengths.distrust(self._digest, 0)
