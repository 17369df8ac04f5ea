"""How fast strangers are answered: at once for a while, then each after a pause.

A stranger is whoever was not let in as an operator, including the probe that asks `/readyz`. A
bucket for each address, and one for all, decide how many are answered at once. Every other answer
waits, so that its connection cannot ask faster. Until then the connection gives way to others, as
one does on which nothing is being answered.
"""

import time
from collections.abc import Callable
from typing import Final, Self

from aiohttp import web
from attrs import field, frozen

from control_plane.http.http_connection import HttpConnection
from control_plane.operators.rate_limit import StrangersRate
from shared.jitter import jittered

ANSWERS_AT_ONCE: Final = 200  # to one address; each takes some 0.3 ms
ANSWERS_AT_ONCE_PER_SECOND: Final = 20.0  # probes and load balancers ask once a second, or less
ANSWERS_AT_ONCE_IN_ALL: Final = 1000
ANSWERS_AT_ONCE_PER_SECOND_IN_ALL: Final = 100.0  # 3 percent of a processor
# Before every other answer, jittered down to half, so that those who came together do not go on
# together. Usual probes wait for 1 s at least.
PAUSE_SECONDS: Final = 0.8


@frozen
class StrangerPace:
    """Decides which answers wait."""

    _rate: StrangersRate
    _pause_seconds: float = field(default=PAUSE_SECONDS, kw_only=True)

    @classmethod
    def of(cls, monotonic: Callable[[], float] = time.monotonic, *, behind_proxy: bool) -> Self:
        """Return the pace with the bounds of this module."""
        of_site = ANSWERS_AT_ONCE, ANSWERS_AT_ONCE_PER_SECOND
        in_all = ANSWERS_AT_ONCE_IN_ALL, ANSWERS_AT_ONCE_PER_SECOND_IN_ALL
        return cls(StrangersRate.of(of_site, in_all, monotonic, behind_proxy=behind_proxy))

    async def keep(self, request: web.Request) -> None:
        """Return when a stranger's request may be answered."""
        if isinstance(request.protocol, HttpConnection) and not self._rate.may_take(request.remote):
            await request.protocol.pause(jittered(self._pause_seconds))
