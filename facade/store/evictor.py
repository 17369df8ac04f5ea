"""Keeps the store within its quota: claims what is free, and has blobs evicted if more is needed.

Only one caller on the machine runs this at a time (`room_queue`), so nothing here takes long. Room
is made a slice at a time: at most one batch of blobs is evicted (`eviction`), and what that frees
is claimed at once, before others have their turn. If a store exceeds its quota because somebody
lowered it, it grants no more than it evicts; the excess is evicted in the background.

These count toward the quota: complete blobs (if there are very many, their files, too), arrivals
with the room that was made for them so far, what dead owners left, what rotted, and an index that
has grown beyond what a quota is rounded to. `shares` says what a connection may not displace.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from attrs import define, field, frozen

from facade.errors import StoreFailedError
from facade.metrics.store_metrics import StoreMetrics, StoreState, WhyEvicted
from facade.store.catalogue import Catalogue, InUseByOthers
from facade.store.claim_count import ClaimCount
from facade.store.eviction import Eviction
from facade.store.index_file import size_of
from facade.store.layout import Layout
from facade.store.partials import RESUMED_WITHIN_SECONDS, Claim, Partials
from facade.store.quarantine import Quarantine
from facade.store.shares import Shares, is_within_share
from facade.store.uses import Uses

FREE_INDEX_BYTES: Final = 64 * 1024 * 1024  # of some 200,000 rights; beyond it counts
# Once somebody had to wait for an eviction, it goes on until so much is free, so that the next
# arrival does not wait. A store that would spare less than `MIN_SPARE_BYTES` makes room only when
# asked.
SPARE_SHARE: Final = 1 / 64
MIN_SPARE_BYTES: Final = 4 * 1024 * 1024
MAX_SPARE_BYTES: Final = 256 * 1024 * 1024


class NoRoomError(StoreFailedError):
    """So many bytes are not kept, because no room for them may be freed within the quota."""


@frozen
class Asker:
    """For whom room is made."""

    access_key: str | None = None  # of a connection; None: no share is looked at


NOBODY_IN_PARTICULAR: Final = Asker()


@frozen
class Wanted:
    """Room that somebody still needs."""

    least: int  # bytes that are written next; their writer waits for them
    most: int  # including what will come soon; as much of it as is free

    def less(self, granted: int) -> "Wanted":
        """Return what is still wanted."""
        return Wanted(max(0, self.least - granted), max(0, self.most - granted))


@frozen
class Slice:
    """The outcome of one slice of making room."""

    granted: int  # bytes that were claimed
    was_short: bool  # not everything that was wanted was free before


@define(eq=False)
class Evictor:
    """Keeps the store within its quota. Everything blocks, and runs once at a time."""

    _layout: Layout
    _catalogue: Catalogue
    _partials: Partials
    _quarantine: Quarantine
    _uses: Uses
    _max_bytes: int
    _metrics: StoreMetrics = field(factory=StoreMetrics.of_nobody)
    _count: ClaimCount = field()
    _shares: Shares = field(init=False)
    _eviction: Eviction = field(init=False)

    @_count.default
    def _count_of_partials(self) -> ClaimCount:
        return ClaimCount(self._partials, self._layout.granted)

    @_shares.default
    def _shares_of_catalogue(self) -> Shares:
        return Shares(self._catalogue)

    @_eviction.default
    def _eviction_of_stored_blobs(self) -> Eviction:
        return Eviction(self._layout, self._catalogue, self._metrics)

    def may_hold(self, length: int) -> bool:
        """Tell whether so many bytes fit into an empty store."""
        return length <= self._max_bytes

    def admit(self, whole: int, first: int, claim: Callable[[int], None], asker: Asker) -> None:
        """Claim room for what begins to arrive. Nothing is evicted yet.

        `claim` is told how much of `first` is free. Raises `NoRoomError` if `whole` bytes cannot
        fit whatever is evicted, and `OSError`.
        """
        self._uses.write()
        if self._surely_has_room(max(whole, first), first, asker):
            self._grant(first, claim)
            return
        claims = self._count.exactly()
        self._partials.drop_too_many(claims)
        stored, fixed = self._catalogue.stored_bytes(), self._fixed_bytes(claims)
        with self._told_to_make_way(whole, asker, claims):
            self._require_possible(whole, asker, claims, fixed)
        free = self._max_bytes - fixed - stored
        self._grant(max(0, min(first, free)), claim)

    def make_room(self, wanted: Wanted, claim: Callable[[int], None], asker: Asker) -> Slice:
        """Claim what is free; if that is less than `wanted.least`, evict a batch first.

        `claim` is told how many bytes are granted now. If none are, and nothing could be evicted,
        it raises `NoRoomError`. Raises `OSError`, too.
        """
        if self._surely_has_room(0, wanted.most, NOBODY_IN_PARTICULAR):
            self._grant(wanted.most, claim)
            self._shares.note_granted(asker.access_key, wanted.most)
            return Slice(wanted.most, was_short=False)
        claims, stored = self._count.exactly(), self._catalogue.stored_bytes()
        free = self._max_bytes - self._fixed_bytes(claims) - stored
        was_short, freed = free < wanted.most, 0
        if was_short:
            freed = self._partials.drop_left(wanted.most - free, older_than=RESUMED_WITHIN_SECONDS)
        if free + freed < wanted.least:
            with self._told_to_make_way(wanted.least, asker, claims):
                freed += self._free_for(asker, wanted, max(0, free + freed), claims, stored)
        granted = min(wanted.most, freed + max(0, free))
        if granted:
            self._grant(granted, claim)
            self._shares.note_granted(asker.access_key, granted)
        return Slice(granted, was_short)

    def relieve(self, length: int, asker: Asker) -> int:
        """Free so many bytes, but a batch at most, because the disk is fuller than the quota knows.

        Return how many were freed; 0: there is nothing to free. Raises `OSError`.
        """
        freed = self._quarantine.clear()
        claims, stored = self._count.exactly(), self._catalogue.stored_bytes()
        self._uses.write()
        capacity = stored + self._fixed_bytes(claims)  # the disk has no more
        spared = self._shares.spared(asker.access_key, 0, claims, capacity)
        if freed < length:
            blobs, evicted = self._eviction.evict(length - freed, spared, WhyEvicted.DISK)
            freed += evicted
            if not blobs:
                freed += self._partials.drop_left(length - freed, older_than=0.0)
        return freed

    def evict_ahead(self, short: Asker | None) -> bool:
        """Evict a batch until enough is free for what comes next; False if nothing was left to do.

        `short`: who found too little the last time; None: nobody did, and only what is above the
        quota goes. Raises `OSError`.
        """
        asker = short or NOBODY_IN_PARTICULAR
        claims = self._count.exactly()
        wanted_free = spare_bytes(self._max_bytes) if short else 0
        used = self._catalogue.stored_bytes() + self._fixed_bytes(claims)
        excess = used + wanted_free - self._max_bytes
        if excess > 0:
            excess -= self._partials.drop_left(excess, older_than=RESUMED_WITHIN_SECONDS)
        if excess <= 0:
            return False
        self._uses.write()
        ahead = max(excess, wanted_free)  # with what is free already
        spared = self._shares.spared(asker.access_key, ahead, claims, self._max_bytes)
        blobs, _ = self._eviction.evict(excess, spared, WhyEvicted.AHEAD)
        return blobs > 0

    def _surely_has_room(self, whole: int, first: int, asker: Asker) -> bool:
        """Tell whether so much fits and is free, if partials take what they take at most.

        False also if it is not known: then they have to be looked at.
        """
        taken = self._count.at_most(asker.access_key)
        if taken is None:
            return False
        stored = self._catalogue.stored_bytes()
        left = self._max_bytes - taken.by_all - self._quarantine.stored_bytes()
        left -= self._index_bytes()
        return (
            whole <= left
            and first <= left - stored
            and is_within_share(asker.access_key, taken.by_connection + whole, self._max_bytes)
        )

    def _grant(self, length: int, claim: Callable[[int], None]) -> None:
        self._count.note_granted(length)
        claim(length)

    def _require_possible(
        self, whole: int, asker: Asker, claims: Sequence[Claim], fixed: int
    ) -> None:
        left = sum(each.size for each in claims if not each.is_owned)  # would go
        if fixed - left + whole > self._max_bytes or not self._shares.is_within_most(
            asker.access_key, whole, claims, self._max_bytes
        ):
            raise NoRoomError

    @contextmanager
    def _told_to_make_way(
        self, length: int, asker: Asker, claims: Sequence[Claim]
    ) -> Iterator[None]:
        """If there is no room, ask those arrivals to make way that may be asked."""
        try:
            yield
        except NoRoomError:
            self._shares.ask_to_make_way(length, asker.access_key, claims, self._max_bytes)
            raise

    def _free_for(
        self, asker: Asker, wanted: Wanted, free: int, claims: Sequence[Claim], stored: int
    ) -> int:
        """Free some of what is missing, and more ahead if possible; return how many bytes."""
        self._uses.write()
        missing = wanted.less(free)
        if missing.most > missing.least:
            spared, evictable = self._evictable(asker, wanted.most, claims, stored)
            if missing.most <= evictable:
                blobs, freed = self._eviction.evict(missing.most, spared, WhyEvicted.ROOM)
                if blobs:
                    return freed
        spared, evictable = self._evictable(asker, wanted.least, claims, stored)
        dropped = 0
        if missing.least > evictable:
            dropped = self._partials.drop_left(missing.least - evictable, older_than=0.0)
        if missing.least > evictable + dropped:
            raise NoRoomError  # before anything is evicted in vain
        blobs, freed = self._eviction.evict(missing.least - dropped, spared, WhyEvicted.ROOM)
        if not blobs:
            freed = self._partials.drop_left(missing.least - dropped, older_than=0.0)
        if not blobs and not freed + dropped:
            raise NoRoomError
        return freed + dropped

    def _evictable(
        self, asker: Asker, length: int, claims: Sequence[Claim], stored: int
    ) -> tuple[InUseByOthers | None, int]:
        """Return what is spared, and the bytes that may be evicted, for so many bytes more.

        `length`: with those of them that are free already.
        """
        spared = self._shares.spared(asker.access_key, length, claims, self._max_bytes)
        return spared, stored - (self._shares.of_others(spared) if spared else 0)

    def measure(self) -> None:
        """Show what takes the quota, by state. It runs beside other work, and nobody waits for it.

        Raises `OSError`.
        """
        claims, shown = self._partials.claims(), self._metrics.bytes
        shown.labels(StoreState.STORED).set(self._catalogue.stored_bytes())
        shown.labels(StoreState.ARRIVING).set(sum(each.size for each in claims if each.is_owned))
        shown.labels(StoreState.LEFT).set(sum(each.size for each in claims if not each.is_owned))
        shown.labels(StoreState.QUARANTINED).set(self._quarantine.stored_bytes())
        shown.labels(StoreState.INDEX).set(self._index_bytes())
        self._metrics.oldest_use.set(self._catalogue.oldest_use())

    def _fixed_bytes(self, claims: Sequence[Claim]) -> int:
        """Return the bytes that count in addition to complete blobs.

        Ask for those first: what goes into quarantine meanwhile then counts twice, and not never.
        """
        partials = sum(each.size for each in claims)
        return partials + self._quarantine.stored_bytes() + self._index_bytes()

    def _index_bytes(self) -> int:
        """Return what the index takes beyond what a quota is rounded to."""
        return max(0, size_of(self._layout.index) - FREE_INDEX_BYTES)


def spare_bytes(max_bytes: int) -> int:
    """Return how much of a quota is kept free once it was short of room. Pure."""
    spare = min(int(max_bytes * SPARE_SHARE), MAX_SPARE_BYTES)
    return spare if spare >= MIN_SPARE_BYTES else 0
