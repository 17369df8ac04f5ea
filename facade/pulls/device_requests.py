"""How many requests of one device are answered: a burst after a rest, then so many a second.

Further requests are answered 429 after a pause, in which the connection gets no other answer. So a
device that asks as fast as it can costs one cheap answer a second for each of its connections.
"""

import asyncio
import math
import time
from collections.abc import Callable
from typing import Final

from attrs import define, field

from facade.devices.device_connection import DeviceConnection
from facade.errors import PullError
from shared.bounded_map import BoundedMap
from shared.pace import Pace

# A site that comes back after a power cut asks for everything at once: 500 containers are some
# 10,000 requests, and each range of a chunked pull is one more.
BURST_SECONDS: Final = 60.0  # of requests at the pace, all at once
PAUSE_SECONDS: Final = 1.0  # before a refusal: the least that `Retry-After` can say
# So many parts of an answer cost about as much as a request. The most that are served in one,
# 1,024, fit into a burst of the lowest pace.
RANGES_A_REQUEST: Final = 32
MAX_DEVICES: Final = 65_536  # remembered, some 700 bytes each; the longest silent one is forgotten


class DeviceTooFastError(PullError):
    """The device asks faster than it may."""

    def __init__(self, retry_after: float) -> None:
        """Say in how many seconds it may ask again."""
        super().__init__("the device sends too many requests")
        self.retry_after = max(1, math.ceil(retry_after))


@define(eq=False)
class DeviceRequests:
    """The paces of all devices; 0 a second is no limit. For one event loop."""

    _per_second: int
    _clock: Callable[[], float] = time.monotonic
    _paces: BoundedMap[str, Pace] = field(factory=lambda: BoundedMap(MAX_DEVICES), init=False)

    async def require_pace(
        self, connection: DeviceConnection, device: str, requests: int = 1
    ) -> None:
        """Count requests; if they are too much, count nothing and raise `DeviceTooFastError`.

        That is raised after a pause of `PAUSE_SECONDS`.
        """
        if not self.may_ask(connection, device, requests) and connection.request_pace is not None:
            wait = connection.request_pace.wait_for(requests)
            await asyncio.sleep(PAUSE_SECONDS)
            raise DeviceTooFastError(wait)

    async def require_pace_of_ranges(
        self, connection: DeviceConnection, device: str, ranges: int
    ) -> None:
        """Count what many ranges in one request cost beyond it, as `require_pace` does."""
        if further := (ranges - 1) // RANGES_A_REQUEST:
            await self.require_pace(connection, device, further)

    def may_ask(self, connection: DeviceConnection, device: str, requests: int = 1) -> bool:
        """Count requests; return False, and count nothing, if they are too much."""
        if not self._per_second:
            return True
        pace = connection.request_pace
        if pace is None:
            pace = connection.request_pace = self._pace_of(device)
        return pace.take_now(requests)

    def _pace_of(self, device: str) -> Pace:
        """Return what all connections of a device share."""
        pace = self._paces.get(device)
        if pace is None:
            pace = Pace(self._per_second, self._per_second * BURST_SECONDS, self._clock)
            self._paces.set(device, pace)
        return pace
