"""The log lines of strangers: for a while each request has its own, then many share one.

A stranger is whoever was not let in as an operator, including the probe that asks `/readyz`. A
bucket for each address, and one for all, decide how many requests have lines of their own. The
others are counted, and once a minute a line for each address says how many there were.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Final, Self

from attrs import define, field

from control_plane.operators.rate_limit import StrangersRate
from shared.bounded_map import BoundedMap
from shared.site import site_of
from shared.structured_log import get_logger

REQUESTS_TOLD: Final = 200  # at once, from one address; a request has two lines at most
REQUESTS_TOLD_PER_SECOND: Final = 1.0  # a probe each second
REQUESTS_TOLD_IN_ALL: Final = 1000
REQUESTS_TOLD_PER_SECOND_IN_ALL: Final = 10.0  # 20 MB an hour
TELL_SECONDS: Final = 60.0
MAX_COUNTED_SITES: Final = 4096  # 200 bytes each
MAX_TOLD_SITES: Final = 10  # those with most requests; one more line is for all others

_log = get_logger("control_plane.stranger_lines")


@define(eq=False)
class StrangerLines:
    """Which requests have lines of their own, and how many had none."""

    _rate: StrangersRate
    _counts: BoundedMap[str, int] = field(init=False)
    _total: int = field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        """Count nobody yet."""
        self._counts = BoundedMap(MAX_COUNTED_SITES)

    @classmethod
    def of(cls, monotonic: Callable[[], float] = time.monotonic, *, behind_proxy: bool) -> Self:
        """Return the lines with the bounds of this module."""
        of_site = REQUESTS_TOLD, REQUESTS_TOLD_PER_SECOND
        in_all = REQUESTS_TOLD_IN_ALL, REQUESTS_TOLD_PER_SECOND_IN_ALL
        return cls(StrangersRate.of(of_site, in_all, monotonic, behind_proxy=behind_proxy))

    def may_tell(self, peer: str | None) -> bool:
        """Tell whether a request has lines of its own; one that has none is counted."""
        if self._rate.may_take(peer):
            return True
        site = site_of(peer or "")
        self._counts.set(site, (self._counts.get(site) or 0) + 1)
        self._total += 1
        return False

    async def run(self) -> None:
        """Log the counts of requests without lines, until cancelled."""
        while True:
            await asyncio.sleep(TELL_SECONDS)
            self.tell()

    def tell(self) -> None:
        """Write a line for each address with most requests, and one for all others together."""
        counts = {site: self._counts.get(site) or 0 for site in self._counts}
        most = sorted(counts, key=counts.__getitem__, reverse=True)[:MAX_TOLD_SITES]
        rest = self._total - sum(counts[site] for site in most)
        for site in most:
            _log.warning("more requests of strangers", peer=site, count=counts[site])
        if rest:
            _log.warning("more requests of strangers", count=rest)
        self._counts.clear()
        self._total = 0
