"""How work ended that several callers wait for: with a result, or with a failure for each."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from attrs import field, frozen

from shared.failures import forget_frames, without_frames
from shared.structured_log import get_logger

_OWN_ERRORS: Final = ("facade.", "shared.")  # packages whose errors say what happened
# disks and networks fail
_FORESEEN: Final = (OSError, sqlite3.Error)

_Result = TypeVar("_Result")
_log = get_logger("facade.outcome")


def _kept(failure: Exception) -> Exception:
    return without_frames(failure)


@frozen
class Failed:
    """A failure that holds no frames."""

    _failure: Exception = field(converter=_kept)

    def own(self) -> Exception:
        """Return an instance to raise: a new one for each caller."""
        return without_frames(self._failure)

    def is_a(self, kind: type[Exception]) -> bool:
        """Tell whether it is of this class."""
        return isinstance(self._failure, kind)

    @property
    def name(self) -> str:
        """The name of its class, for the log."""
        return type(self._failure).__name__


async def outcome_of(work: Callable[[], Awaitable[_Result]]) -> _Result | Failed:
    """Return what the work returns, or how it failed. A task that raised would hold its frames.

    So would one that was cancelled: it keeps what its `CancelledError` came through. The work is
    called only here: a task that is cancelled before it has begun leaves no coroutine behind.
    """
    try:
        return await work()
    except asyncio.CancelledError as cancelled:
        forget_frames(cancelled)
        raise
    except Exception as error:  # noqa: BLE001 - told to everybody who waits
        is_foreseen = isinstance(error, _FORESEEN)
        if not is_foreseen and not type(error).__module__.startswith(_OWN_ERRORS):
            _log.error("shared work failed", error=type(error).__name__, exc_info=error)
        return Failed(error)
