"""How many bytes a second all downloads of this process together take from registries.

A download pays for each slice that it has read before it reads the next one. So each has one slice
in the queue at a time, and they take turns. TCP holds back what is not read yet.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Final

from attrs import define, field, fields, frozen
from typing_extensions import override

from shared.pace import Pace
from shared.upstream.answer import UpstreamAnswer

BURST_SECONDS: Final = 0.1  # of the rate, so that the link is not idle while the loop is busy
# Of a turn, because one read gives more or less, up to a quarter of a MiB.
SLICE_BYTES: Final = 64 * 1024
BINDING_SECONDS: Final = 1.0  # after a download has waited for it


@define(eq=False)
class Bandwidth:
    """A limit in bytes per second."""

    _pace: Pace
    _waited_at: float = field(default=float("-inf"), init=False)

    @property
    def is_binding(self) -> bool:
        """Whether it is what downloads wait for: more of them at once would bring no more."""
        return time.monotonic() - self._waited_at < BINDING_SECONDS

    @classmethod
    def of(cls, bytes_per_second: int) -> "Bandwidth | None":
        """Return the limit; None for 0, which means no limit."""
        if not bytes_per_second:
            return None
        burst = bytes_per_second * BURST_SECONDS
        return cls(Pace(bytes_per_second, burst, time.monotonic))

    async def spend(self, count: int) -> None:
        """Return when so many bytes may be taken."""
        if wait := self._pace.take(count):
            self._waited_at = time.monotonic()
            await asyncio.sleep(wait)

    def paced(self, answer: UpstreamAnswer) -> UpstreamAnswer:
        """Return an answer whose body comes within the limit."""
        same = {str(each.alias): getattr(answer, each.name) for each in fields(UpstreamAnswer)}
        return _PacedAnswer(**same, bandwidth=self)


@frozen
class _PacedAnswer(UpstreamAnswer):
    _bandwidth: Bandwidth = field(kw_only=True, repr=False)

    @override
    async def chunks(self) -> AsyncIterator[bytes]:
        async for chunk in super().chunks():
            for start in range(0, len(chunk), SLICE_BYTES):
                taken = chunk[start : start + SLICE_BYTES]
                await self._bandwidth.spend(len(taken))
                yield taken
