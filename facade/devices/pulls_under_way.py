"""Which devices have a pull under way. While the facade drains, only they are served.

For a client, a pull is many requests: a manifest, a config, layers, and pieces of layers, on
several connections. So it is under way

- while an answer to one of them is sent,
- for some time after that, if the connection is still open or was closed while the facade drains,
- for some time after the device broke off an answer. containerd's chunked pull does that again and
  again: it asks for an open range, takes a piece of it, and connects again for the next one.
"""

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

from attrs import define, field

# A client asks for the next part within milliseconds; a small device on a slow link takes longer.
NEXT_REQUEST_SECONDS: Final = 2.0


class PullingConnection(Protocol):
    """What is known of a device's connection and its pulls."""

    counts_as: str  # whose it is
    is_pulling: bool  # the answer to a pull is under way
    pulled_at: float | None  # the loop's time when the newest of its pulls was answered

    def finish(self) -> None:
        """Close it once everything that was asked on it is answered."""


def _loop_time() -> float:
    return asyncio.get_running_loop().time()


@define(eq=False)
class PullsUnderWay:
    """The pulls of all open connections. For one event loop."""

    _clock: Callable[[], float] = _loop_time
    is_draining: bool = False  # once true, for good
    _by_device: dict[str, set[PullingConnection]] = field(factory=dict, init=False)
    _left: dict[str, float] = field(factory=dict, init=False)  # by device; the oldest first
    _late: set[PullingConnection] = field(factory=set, init=False)  # opened while draining

    def add(self, connection: PullingConnection) -> None:
        """Know an open connection."""
        if self.is_draining:
            self._late.add(connection)
        self._by_device.setdefault(connection.counts_as, set()).add(connection)

    def remove(self, connection: PullingConnection) -> None:
        """Forget one that has ended; harmless if it is not known."""
        connections = self._by_device.get(connection.counts_as, set())
        if connection not in connections:
            return
        connections.remove(connection)
        self._late.discard(connection)
        if not connections:
            del self._by_device[connection.counts_as]
        now = self._clock()
        if connection.is_pulling or (self.is_draining and _is_under_way(connection, now)):
            self._note_left(connection.counts_as, now)

    def has(self, device: str) -> bool:
        """Tell whether a device has a pull under way."""
        now = self._clock()
        connections = self._by_device.get(device, ())
        return _is_recent(self._left.get(device), now) or any(
            _is_under_way(each, now) for each in connections
        )

    def has_any(self) -> bool:
        """Tell whether any device has a pull under way."""
        return any(map(self.has, self._by_device.keys() | self._left.keys()))

    def finish_others(self) -> None:
        """End the connections of devices that have no pull under way.

        A device that connects while the facade drains is told so when it first asks for something.
        """
        for device in [each for each in self._by_device if not self.has(each)]:
            for connection in [*self._by_device[device]]:
                if connection not in self._late or connection.pulled_at is not None:
                    connection.finish()

    def _note_left(self, device: str, now: float) -> None:
        self._left.pop(device, None)
        self._left[device] = now
        while not _is_recent(self._left[oldest := next(iter(self._left))], now):
            del self._left[oldest]


def _is_under_way(connection: PullingConnection, now: float) -> bool:
    return connection.is_pulling or _is_recent(connection.pulled_at, now)


def _is_recent(moment: float | None, now: float) -> bool:
    return moment is not None and now - moment < NEXT_REQUEST_SECONDS
