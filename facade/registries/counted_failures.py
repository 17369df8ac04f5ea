"""Which failures say that a registry is away or unwell: the one list, for the circuit breaker.

4xx, wrong bytes and broken bodies do not count, because they are answers. Of what can go wrong in a
body, only `WastefulAnswerError` counts.
"""

from enum import Enum, auto
from typing import Final

from shared.upstream.errors import (
    ClosedUnansweredError,
    ConnectError,
    ResolveError,
    ServerError,
    Step,
    TlsError,
    UpstreamError,
    UpstreamTimeoutError,
    WastefulAnswerError,
)


class Failure(Enum):
    """What a failure says of the registry."""

    UNREACHED = auto()  # there was no connection to the registry itself, whatever was asked for
    # Silence, 5xx or endless framing, also of its store or token endpoint. Perhaps of one path
    # only.
    UNWELL = auto()


_NO_CONNECTION: Final = (ConnectError, ResolveError, TlsError)
# They may concern one path: the registry was there, or somebody else was asked.
_UNWELL: Final = (ClosedUnansweredError, ServerError, UpstreamTimeoutError, WastefulAnswerError)
COUNTED: Final = (*_NO_CONNECTION, *_UNWELL)
_SILENT: Final = (*_NO_CONNECTION, UpstreamTimeoutError)


def failure_of(error: BaseException | None) -> Failure | None:
    """Return what an error says of the registry; None if it does not count."""
    match error:
        case UpstreamTimeoutError(step=Step.RESOLVE | Step.CONNECT, at_registry=True):
            return Failure.UNREACHED
        case ClosedUnansweredError():
            return Failure.UNWELL
        case UpstreamError(at_registry=True) if isinstance(error, _NO_CONNECTION):
            return Failure.UNREACHED
        case _ if isinstance(error, COUNTED):
            return Failure.UNWELL
        case _:
            return None


def is_answer(error: BaseException | None) -> bool:
    """Tell whether the registry itself answered in HTTP: None is an answer of success."""
    match error:
        case None:
            return True
        case UpstreamError(at_registry=True):
            return not isinstance(error, _SILENT)
        case _:  # answered by its store or token endpoint, or from memory
            return False


def is_answer_to_probe(error: BaseException | None) -> bool:
    """Tell whether a `GET /v2/` was answered in HTTP, however.

    No token endpoint is asked for it, so any other failure is about what the registry answered.
    """
    if isinstance(error, UpstreamError) and not error.at_registry:
        return True
    return is_answer(error)
