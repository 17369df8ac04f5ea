"""What the facade waits for while it drains, and what it closes.

    serving --SIGTERM--> leaving --its delay is over--> finishing --nothing is awaited--> over
                                                            '-------its time is up------^

- serving: connections are kept for the next request.
- leaving: balancers notice that it is not ready. Whoever connects is let in, whoever asks is
  answered; each answer is the last one of its connection.
- finishing: nobody is let in any more. What is asked on a connection that is open is answered.
- over: nothing is begun any more.

For a client, a pull is many requests: a manifest, a config, layers. So while the facade finishes, a
device is awaited

- while an answer to one of its pulls is sent,
- and for some time after it connected, or such an answer ended.

All connections of such a device stay open; those of others are closed.
"""

import asyncio
from collections.abc import Callable
from enum import IntEnum, auto
from typing import Final, Protocol

from attrs import define, field

# A client asks for the next part within milliseconds; a small device on a slow link takes longer.
NEXT_REQUEST_SECONDS: Final = 2.0


class DrainStage(IntEnum):
    """How far the end has come. There is no way back."""

    SERVING = auto()
    LEAVING = auto()
    FINISHING = auto()
    OVER = auto()


class PullingConnection(Protocol):
    """What is known of a device's connection and its pulls."""

    counts_as: str  # whose it is
    awaited_since: float  # the loop's time when it was opened, or its newest pull was answered

    @property
    def is_answering(self) -> bool:
        """Whether the answer to a pull is under way."""

    def finish(self) -> None:
        """Close it once everything that was asked on it is answered."""


def _loop_time() -> float:
    return asyncio.get_running_loop().time()


@define(eq=False)
class PullsUnderWay:
    """The pulls of all open connections. For one event loop."""

    _clock: Callable[[], float] = _loop_time
    stage: DrainStage = field(default=DrainStage.SERVING, init=False)  # see `advance`
    _by_device: dict[str, set[PullingConnection]] = field(factory=dict, init=False)

    def advance(self, stage: DrainStage) -> None:
        """Go on to a later stage. There is no way back."""
        self.stage = max(self.stage, stage)

    def add(self, connection: PullingConnection) -> None:
        """Know an open connection."""
        self._by_device.setdefault(connection.counts_as, set()).add(connection)

    def remove(self, connection: PullingConnection) -> None:
        """Forget one that has ended; harmless if it is not known."""
        connections = self._by_device.get(connection.counts_as, set())
        if connection in connections:
            connections.remove(connection)
            if not connections:
                del self._by_device[connection.counts_as]

    def has(self, device: str) -> bool:
        """Tell whether a device is awaited."""
        now = self._clock()
        return any(
            each.is_answering or now - each.awaited_since < NEXT_REQUEST_SECONDS
            for each in self._by_device.get(device, ())
        )

    def has_any(self) -> bool:
        """Tell whether any device is."""
        return any(map(self.has, self._by_device))

    def finish_others(self) -> None:
        """End the connections of devices that are not."""
        for device in [each for each in self._by_device if not self.has(each)]:
            for connection in [*self._by_device[device]]:
                connection.finish()
