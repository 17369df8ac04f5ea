"""How much of the store one connection may take from others. Whoever makes room asks this.

If a connection's blobs (stored, arriving and partial) take more than its share of the store, it
displaces no blob that another connection uses. It still displaces its own, and those that nobody
uses. So neither a device that pulls everything a registry has, nor a registry that announces any
length, takes from others what they work with.

An arrival keeps its room as long as it arrives. If that leaves no room for a connection that asks
for no more than its share, arrivals are asked to make way: slow ones, and those of connections
whose arrivals exceed their share. Their readers go on from upstream.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from attrs import define, field

from facade.store.catalogue import Catalogue, InUseByOthers
from facade.store.ingest_file import ask_to_make_way
from facade.store.partials import Claim
from shared.bounded_map import BoundedMap
from shared.structured_log import get_logger

# Two connections that want everything get half of it each. A single one gets all of it.
SHARE_OF_STORE: Final = 0.5
# A fleet starts what it runs at least once a day. What was not asked for since may be displaced.
IN_USE_SECONDS: Final = 24 * 3600.0
# A count is used for so many times as long as counting took. So counting takes a twentieth of the
# time at most. If it is quick, it is done each time.
COUNTED_SHARE: Final = 20
COUNTED_QUICKLY_SECONDS: Final = 0.005
MAX_COUNTED: Final = 4096  # connections; what the longest unused has is counted again

_log = get_logger("facade.store")


@define
class _Standing:
    """What a connection has, and what others use, as it was counted a moment ago."""

    held: float  # bytes of blobs that the connection may read
    of_others: int  # bytes that others use
    # Bytes of each partial since then, by its folder: what has ended meanwhile may be stored.
    partials: dict[Path, int] = field(factory=dict, init=False)


@define(eq=False)
class Shares:
    """The shares of one store. Everything blocks, and raises `IndexFailedError`."""

    _catalogue: Catalogue
    _clock: Callable[[], float] = time.monotonic
    _standings: BoundedMap[str, _Standing] = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Remember by the same clock."""
        self._standings = BoundedMap(MAX_COUNTED, clock=self._clock)

    def spared(
        self, access_key: str | None, length: int, claims: Iterable[Claim], capacity: int
    ) -> InUseByOthers | None:
        """Return what is not evicted so that a connection may have so many bytes more.

        None if everything may be evicted for it. `capacity`: bytes of the whole store.
        """
        if access_key is None or not self._catalogue.has_others(access_key):
            return None
        standing = self._standing(access_key)
        # An arrival that ends has no name for a moment: it may be this connection's.
        standing.partials.update(
            (each.folder, each.size) for each in claims if each.access_key in (access_key, None)
        )
        partials = sum(standing.partials.values())
        if standing.held + partials + length <= capacity * SHARE_OF_STORE:
            return None
        return _in_use_by_others(access_key)

    def note_granted(self, access_key: str | None, length: int) -> None:
        """Count what a connection was granted, so that it never counts for less than it has."""
        standing = self._standings.get(access_key) if access_key is not None else None
        if standing is not None:
            standing.held += length

    def is_within_most(
        self, access_key: str | None, wanted: int, claims: Iterable[Claim], capacity: int
    ) -> bool:
        """Tell whether a connection may have so many bytes more, as the others use the store."""
        wanted += arriving_bytes(claims)[access_key]
        if access_key is None or is_within_share(access_key, wanted, capacity):
            return True
        if not self._catalogue.has_others(access_key):
            return True
        return wanted <= capacity - self._catalogue.bytes_in_use_by_others(
            _in_use_by_others(access_key)
        )

    def of_others(self, others: InUseByOthers) -> int:
        """Return the bytes that others use."""
        return self._standing(others.access_key).of_others

    def _standing(self, access_key: str) -> _Standing:
        """Count, unless that was done just now: it may take a hundred times as long as evicting."""
        standing = self._standings.get(access_key)
        if standing is None:
            now = self._clock()
            held = self._catalogue.held_bytes(access_key)
            others = self._catalogue.bytes_in_use_by_others(_in_use_by_others(access_key))
            took = self._clock() - now
            standing = _Standing(held, others)
            self._standings.set(access_key, standing, seconds=holds_for(took))
        return standing

    def ask_to_make_way(
        self, wanted: int, asker: str | None, claims: Sequence[Claim], capacity: int
    ) -> None:
        """Ask so many arrivals to make way that `wanted` bytes get free, if there are such.

        `asker`: the access key of the connection that found no room for so many bytes. An arrival
        makes way within some seconds.
        """
        share, arriving = capacity * SHARE_OF_STORE, arriving_bytes(claims)
        keep_coming = arriving_bytes(each for each in claims if not each.is_slow)
        if keep_coming[asker] + wanted > share:
            return
        wanted -= sum(each.size for each in claims if each.makes_way)
        for each in sorted(claims, key=lambda claim: claim.size, reverse=True):
            if wanted <= 0:
                return
            is_foreign = each.access_key not in (None, asker)
            takes_too_much = is_foreign and arriving[each.access_key] > share
            if each.is_owned and not each.makes_way and (each.is_slow or takes_too_much):
                _log.warning("no room, an arrival is asked to make way", bytes=each.size)
                with suppress(OSError):  # the arrival has just ended
                    ask_to_make_way(each.folder)
                    wanted -= each.size


def holds_for(took: float) -> float:
    """Return for how many seconds a count is used that took so many. Pure."""
    return took * COUNTED_SHARE if took > COUNTED_QUICKLY_SECONDS else 0.0


def is_within_share(access_key: str | None, wanted: int, capacity: int) -> bool:
    """Tell whether so many bytes of arrivals are within the share; nobody (None) has none. Pure."""
    return access_key is None or wanted <= capacity * SHARE_OF_STORE


def arriving_bytes(claims: Iterable[Claim]) -> Counter[str | None]:
    """Return the bytes of the arrivals of each connection; nobody (None) has none. Pure."""
    arriving = Counter[str | None]()
    for each in claims:
        if each.is_owned and each.access_key is not None:
            arriving[each.access_key] += each.size
    return arriving


def _in_use_by_others(access_key: str) -> InUseByOthers:
    return InUseByOthers(access_key, time.time() - IN_USE_SECONDS)
