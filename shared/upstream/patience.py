"""How long a reader waits for a body. Pure: the times are given.

Only waiting for the host counts. A reader that has to wait for a disk, for a limit of bandwidth or
for a slow device does not read meanwhile, and that is not the host's fault.
"""

from typing import Final, Protocol

from attrs import define, field

STALL_SECONDS: Final = 60.0  # some registries fetch a blob from elsewhere before they go on
TOKEN_SECONDS: Final = 30.0  # of waiting for all of a token's answer; every pull waits with it
SMALL_BODY_SECONDS: Final = 60.0  # of waiting for all of a manifest, or of a page of tags
SLOW_WINDOW_SECONDS: Final = 60.0  # of waiting for a blob
MIN_PROGRESS_BYTES: Final = 4 * 1024  # within such a window; as little as a device has to take


class Patience(Protocol):
    """What is left of the time for one body."""

    @property
    def seconds(self) -> float:
        """For how long the next bytes may be waited for."""

    def waited(self, seconds: float) -> None:
        """Note that bytes were waited for."""

    def received(self, count: int) -> None:
        """Note that so many came, and not all; raise `TimeoutError` if they were too slow."""


@define
class Deadline:
    """All of the body has to come within so many seconds of waiting."""

    _left: float
    _stall_seconds: float = STALL_SECONDS

    @property
    def seconds(self) -> float:
        """For how long the next bytes may be waited for."""
        return max(0.0, min(self._left, self._stall_seconds))

    def waited(self, seconds: float) -> None:
        """Note that bytes were waited for."""
        self._left -= seconds

    def received(self, count: int) -> None:  # noqa: ARG002 - their number changes nothing
        """Raise `TimeoutError` if the time is over."""
        if self._left < 0:
            raise TimeoutError


@define
class SpeedFloor:
    """A body of any size has to keep up a speed, and may fall behind it by a window.

    Each byte makes up for the waiting that the speed allows for it. Bytes that came faster earn no
    credit: a body that began well may not trickle for longer. So the waiting for `n` bytes is at
    most a window and `n` times the time for one byte; for a small blob it is nearly all window.
    """

    _stall_seconds: float = STALL_SECONDS
    _window_seconds: float = SLOW_WINDOW_SECONDS
    _behind: float = field(default=0.0, init=False)  # seconds, behind the speed

    @property
    def seconds(self) -> float:
        """For how long the next bytes may be waited for."""
        return self._stall_seconds

    def waited(self, seconds: float) -> None:
        """Note that bytes were waited for."""
        self._behind += seconds

    def received(self, count: int) -> None:
        """Note that so many came; raise `TimeoutError` if they are more than a window behind."""
        made_up = count * self._window_seconds / MIN_PROGRESS_BYTES
        self._behind = max(0.0, self._behind - made_up)
        if self._behind > self._window_seconds:
            raise TimeoutError
