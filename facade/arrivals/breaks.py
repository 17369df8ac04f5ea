"""What a failure in the middle of a blob means, and how soon its registry is asked again.

A break is worth another try, a few in a row as long as nothing comes. Any other failure is an
answer: the registry says no.
"""

import asyncio
from typing import Final

from attrs import define, field

from facade.registries.failing_paths import CircuitOpenError
from shared.jitter import jittered
from shared.oci import Digest, RepositoryName
from shared.structured_log import get_logger
from shared.upstream.errors import (
    BrokenBodyError,
    ConnectError,
    NotNowError,
    PolicyDeniedError,
    RangeRefusedError,
    RateLimitedError,
    ServerError,
    UpstreamError,
    UpstreamTimeoutError,
)

MAX_RESUMES_WITHOUT_PROGRESS: Final = 5
# An answer makes progress with so many bytes. With one byte of each, a download would never end.
MIN_PROGRESS_BYTES: Final = 4 * 1024
FIRST_RESUME_DELAY_SECONDS: Final = 0.1
MAX_RESUME_DELAY_SECONDS: Final = 5.0
# A registry may give less of a range than was asked for. If it gives less than this, it is asked
# for the next part only after a pause, as after a break: it could give one byte each time.
MIN_PART_BYTES: Final = 64 * 1024

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


def is_break(error: UpstreamError) -> bool:
    """Tell whether a failure is a break, worth another try. Any other is an answer."""
    return isinstance(error, _BREAKS) or says_nothing(error)


def says_nothing(error: UpstreamError) -> bool:
    """Tell whether the registry itself has not said no.

    A store behind a redirect refuses a link that has expired, and the registry gives a new one.
    """
    is_about_the_link = error.at_store and not isinstance(error, PolicyDeniedError)
    return is_about_the_link or isinstance(error, RangeRefusedError)


def asks_for_patience(error: UpstreamError) -> bool:
    """Tell whether the registry answers, and has too much to do."""
    return isinstance(error, _ASKING_FOR_PATIENCE)


@define(eq=False)
class Breaks:
    """How often the answers of one download broke in a row, without progress."""

    _repository: RepositoryName
    _digest: Digest
    _first_delay_seconds: float = FIRST_RESUME_DELAY_SECONDS
    in_a_row: int = field(default=0, init=False)
    _furthest: int = field(default=0, init=False)  # byte reached when it was asked last

    def note_asked(self, reached: int) -> None:
        """Note that the registry is asked for what follows the bytes that have come."""
        self._furthest = max(self._furthest, reached)

    def note_come(self, reached: int) -> None:
        """Count from the beginning if the present answer has made progress."""
        if reached - self._furthest >= MIN_PROGRESS_BYTES:
            self.in_a_row = 0

    async def may_resume(self, error: UpstreamError, reached: int) -> bool:
        """Count one more; tell whether to try again, after a pause as long as it was asked for."""
        self.in_a_row += 1
        if self.in_a_row > MAX_RESUMES_WITHOUT_PROGRESS:
            return False
        _log.info(
            "upstream broke, resuming",
            repository=self._repository,
            digest=self._digest,
            bytes=reached,
            attempt=self.in_a_row,
            reason=type(error).__name__,
        )
        ceiling = min(self._first_delay_seconds * 2**self.in_a_row, MAX_RESUME_DELAY_SECONDS)
        asked = error.retry_after if isinstance(error, _ASKING_FOR_PATIENCE) else None
        await asyncio.sleep(max(jittered(ceiling), asked or 0.0))
        return True
