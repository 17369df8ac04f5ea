"""What each device may cost upstream: misses per minute, downloads at once, and what those spend.

Pure. What is stored, is arriving already, or is remembered as missing costs nothing and is not
counted. A device that asked for nothing for a while is forgotten, and has its whole allowance
again.
"""

import math
from collections.abc import Callable
from typing import Final

from attrs import define, field, frozen

from facade.errors import PullError
from facade.registries.upstream_spending import (
    SECONDS_OF_A_MINUTE,
    SpendingLimits,
    UpstreamSpending,
)
from shared.bounded_map import BoundedMap
from shared.pace import Pace

MAX_WAIT_SECONDS: Final = 5.0  # clients wait longer for headers; a longer wait is refused
# Remembered, some 500 bytes each, and 1,140 for what one spent at one registry; the longest silent
# one is forgotten.
MAX_DEVICES: Final = 65_536
# What a device spent at a registry is remembered for so long after it last asked. An hour's bytes
# are earned again by then; if it owes more, that is forgiven.
SPENDING_SECONDS: Final = 2 * 3600.0
DOWNLOAD_RETRY_SECONDS: Final = 5.0  # nobody knows when one ends; not in a tight loop


@frozen
class CostLimits:
    """What one device may cost; 0 is no limit."""

    misses_per_minute: int
    downloads: int


class TooCostlyError(PullError):
    """The device costs more than it may, and waiting a little does not help."""

    def __init__(self, message: str, retry_after: float) -> None:
        """Say what it had too much of, and in how many seconds there will be more."""
        super().__init__(message)
        self.retry_after = math.ceil(retry_after)


class TooManyMissesError(TooCostlyError):
    """The device asked upstream for too much in too short a time."""

    def __init__(self, retry_after: float) -> None:
        """Say in how many seconds it may ask again."""
        super().__init__("the device's misses per minute are used up", retry_after)


class TooManyDownloadsError(TooCostlyError):
    """The device started too many downloads that still run."""

    def __init__(self) -> None:
        """Say in how many seconds one may have ended."""
        super().__init__("the device started too many downloads that run", DOWNLOAD_RETRY_SECONDS)


class TooManyUpstreamRequestsError(TooCostlyError):
    """The device's pulls took too many requests to the registry."""


class TooManyTokensError(TooCostlyError):
    """The device's pulls took too many tokens of the registry."""


class TooManyBytesError(TooCostlyError):
    """The device's pulls took too many bytes of the registry."""


_TOO_MANY: Final = {
    "requests": TooManyUpstreamRequestsError,
    "tokens": TooManyTokensError,
    "bytes": TooManyBytesError,
}


@define(eq=False)
class DeviceAllowances:
    """What the devices of one facade process cost now, by device id."""

    limits: CostLimits
    _clock: Callable[[], float]
    _max_devices: int = MAX_DEVICES
    _spending_limits: SpendingLimits = field(factory=SpendingLimits, kw_only=True)
    _misses: BoundedMap[str, Pace] = field(init=False)  # until the whole allowance is there again
    _downloads: dict[str, int] = field(factory=dict, init=False)  # of those that have any
    _spending: BoundedMap[tuple[str, str], UpstreamSpending] = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Remember by the same clock."""
        self._misses = BoundedMap(self._max_devices, clock=self._clock)
        self._spending = BoundedMap(self._max_devices, seconds=SPENDING_SECONDS, clock=self._clock)

    def spending(self, device: str, access_key: str) -> UpstreamSpending:
        """Return the device's account at the registry of a connection."""
        account = self._spending.get((device, access_key))
        if account is None:
            account = UpstreamSpending.within(self._spending_limits, self._clock)
        if self._limits_spending:
            self._spending.set((device, access_key), account)
        return account

    @property
    def _limits_spending(self) -> bool:
        return self._spending_limits != SpendingLimits()

    def take_miss(self, device: str, access_key: str = "") -> float:
        """Count a question to upstream; return in how many seconds it may be asked.

        Raises `TooCostlyError`, and counts nothing, if that is longer than `MAX_WAIT_SECONDS`.
        """
        return max(self._until_earned(device, access_key), self._take_miss(device))

    def _until_earned(self, device: str, access_key: str) -> float:
        """Return after how many seconds the device may spend again at a registry."""
        if not self._limits_spending:
            return 0.0
        owed = self.spending(device, access_key).owed()
        if owed.seconds > MAX_WAIT_SECONDS:
            raise _TOO_MANY[owed.what](
                f"the device's {owed.what} at the registry are used up", owed.seconds
            )
        return owed.seconds

    def _take_miss(self, device: str) -> float:
        if not self.limits.misses_per_minute:
            return 0.0
        pace = self._misses.get(device) or self._full_pace()
        wait = pace.wait_for(1)
        if wait > MAX_WAIT_SECONDS:
            raise TooManyMissesError(wait)
        pace.take(1)
        self._misses.set(device, pace, seconds=pace.wait_for(pace.burst))
        return wait

    def give_back_miss(self, device: str) -> None:
        """Undo `take_miss`: upstream was not asked after all."""
        if pace := self._misses.get(device):
            pace.give_back(1)

    def begin_download(self, device: str, *, is_refused: bool = True) -> bool:
        """Count a download that the device starts; False, and not counted, at the limit.

        `is_refused` False: it is counted even beyond the limit, because an answer needs it to go
        on.
        """
        running = self._downloads.get(device, 0)
        if is_refused and self.limits.downloads and running >= self.limits.downloads:
            return False
        self._downloads[device] = running + 1
        return True

    def end_download(self, device: str) -> None:
        """Note that a download has ended."""
        self._downloads[device] -= 1
        if not self._downloads[device]:
            del self._downloads[device]

    @property
    def count(self) -> int:
        """How many devices are remembered."""
        return len({*self._misses, *self._downloads})

    def _full_pace(self) -> Pace:
        a_minute = self.limits.misses_per_minute
        return Pace(a_minute / SECONDS_OF_A_MINUTE, a_minute, self._clock)
