"""A registry that is away is not asked by every device: one circuit breaker per connection.

Pure, with the clock given. Five failures in a row open it; then one request at a time tries again,
after 1 s and, while it fails, after twice as long, up to 30 s. Counted are failures to connect, of
TLS, to answer in time, and 5xx; never 4xx, wrong bytes or broken bodies: those are answers.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from attrs import define, field

from shared.jitter import jittered
from shared.upstream.errors import (
    ConnectError,
    ResolveError,
    ServerError,
    TlsError,
    UpstreamError,
    UpstreamTimeoutError,
)

FAILURES_TO_OPEN: Final = 5
FIRST_WAIT_SECONDS: Final = 1.0
MAX_WAIT_SECONDS: Final = 30.0  # a registry that is back is used again within half a minute

_COUNTED: Final = (ConnectError, ResolveError, ServerError, TlsError, UpstreamTimeoutError)


class CircuitOpenError(UpstreamError):
    """The registry failed several times in a row and is not asked now."""

    def __init__(self, retry_after: float) -> None:
        """Say in how many seconds it may be asked again."""
        super().__init__("the registry failed repeatedly and is not asked at the moment")
        self.retry_after = retry_after


@define(eq=False)
class CircuitBreaker:
    """The state of one connection's registry."""

    _clock: Callable[[], float]
    _tell: Callable[[bool], None] = lambda _: None  # whether it is open: when it fails or closes
    _failures: int = field(default=0, init=False)
    _wait: float = field(default=FIRST_WAIT_SECONDS, init=False)
    _open_until: float | None = field(default=None, init=False)
    _trying: bool = field(default=False, init=False)

    @property
    def is_open(self) -> bool:
        """Whether requests are refused, or one is trying."""
        return self._open_until is not None

    def require_willing(self) -> None:
        """Raise `CircuitOpenError` where no request may start now."""
        if self._open_until is None:
            return
        left = self._open_until - self._clock()
        if left > 0 or self._trying:
            raise CircuitOpenError(max(left, FIRST_WAIT_SECONDS))

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """Guard the start of one request.

        Raises `CircuitOpenError` where it may not start. An `UpstreamError` that counts is
        noted on its way out; leaving without one closes the circuit.
        """
        is_trial = self._admit()
        try:
            yield
        except _COUNTED:
            self._note_failure()
            raise
        except Exception:
            self._note_answer()
            raise
        else:
            self._note_answer()
        finally:
            if is_trial:
                self._trying = False

    def _admit(self) -> bool:
        """Let a request start; tell whether it is the one that tries."""
        self.require_willing()
        if self._open_until is None:
            return False
        self._trying = True
        return True

    def _note_answer(self) -> None:
        was_open = self.is_open
        self._failures, self._wait, self._open_until = 0, FIRST_WAIT_SECONDS, None
        if was_open:
            self._tell(False)  # noqa: FBT003 - the one thing that is told

    def _note_failure(self) -> None:
        self._failures += 1
        if self._failures < FAILURES_TO_OPEN:
            return
        if self._trying:
            self._wait = min(self._wait * 2, MAX_WAIT_SECONDS)
        self._open_until = self._clock() + jittered(self._wait)
        self._tell(True)  # noqa: FBT003 - the one thing that is told
