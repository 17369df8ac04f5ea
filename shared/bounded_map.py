"""A bounded memory of what peers name: each entry has an end, and the ends are spread.

A peer that chooses the keys of a dictionary chooses how much memory it takes. This is the one
dictionary for such keys:

- When it is full, it forgets entries whose time is over, then those not used for longest.
- One owner (a device, an address) may be held to a share. What it brings beyond its share pushes
  out its own entries, the least used first, and nobody else's.
- An entry ends after its time. The time may be jittered down to half of it, so that entries that
  were made together do not end together.
- Sizes are numbers of entries, or bytes if `size_of` says how many an entry takes.

For one event loop.
"""

import heapq
import itertools
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from typing import Final, Generic, TypeVar

from attrs import define, field, frozen

from shared.jitter import jittered

WITHOUT_END: Final = math.inf  # seconds: the entry stays until its room is needed
_MOST_ENDS: Final = 2  # times as many as entries: those of entries that are gone are dropped then

_Key = TypeVar("_Key", bound=Hashable)
_Value = TypeVar("_Value")


@frozen(eq=False)
class _Entry(Generic[_Value]):
    value: _Value
    until: float  # on the map's clock
    size: int
    owner: Hashable  # None: nobody in particular
    number: int  # which no other entry has


@define(eq=False)
class _Owned(Generic[_Key]):
    keys: OrderedDict[_Key, None] = field(factory=OrderedDict)  # the least recently used first
    size: int = 0


@define(eq=False)
class _Entries(Generic[_Key, _Value]):
    """The entries, by when they were used last, by when they end, and by owner."""

    by_key: OrderedDict[_Key, _Entry[_Value]] = field(factory=OrderedDict)  # the least used first
    size: int = 0
    numbers: Iterator[int] = field(factory=itertools.count)
    # A heap: until when, and the entry's number and key. The entry itself may be gone.
    _ends: list[tuple[float, int, _Key]] = field(factory=list)
    _owned: dict[Hashable, _Owned[_Key]] = field(factory=dict)

    def size_of(self, owner: Hashable) -> int:
        return self._owned[owner].size if owner in self._owned else 0

    def least_used(self) -> _Key:
        return next(iter(self.by_key))

    def least_used_of(self, owner: Hashable) -> _Key:
        return next(iter(self._owned[owner].keys))

    def use_of_owner(self, key: _Key, owner: Hashable) -> None:
        self._owned[owner].keys.move_to_end(key)

    def add(self, key: _Key, entry: _Entry[_Value]) -> None:
        """Take in an entry of a key that has none."""
        self.by_key[key] = entry
        self.size += entry.size
        if entry.until != WITHOUT_END:
            heapq.heappush(self._ends, (entry.until, entry.number, key))
            if len(self._ends) > _MOST_ENDS * len(self.by_key):
                self._ends = [each for each in self._ends if self._is_there(each)]
                heapq.heapify(self._ends)
        if entry.owner is not None:
            owned = self._owned.setdefault(entry.owner, _Owned())
            owned.keys[key] = None
            owned.size += entry.size

    def remove(self, key: _Key) -> _Value:
        """Forget a key that is there, and return its value."""
        entry = self.by_key.pop(key)
        self.size -= entry.size
        if entry.owner is not None:
            owned = self._owned[entry.owner]
            del owned.keys[key]
            owned.size -= entry.size
            if not owned.keys:
                del self._owned[entry.owner]
        return entry.value

    def expire(self, now: float) -> None:
        """Forget what is over."""
        while self._ends and self._ends[0][0] <= now:
            end = heapq.heappop(self._ends)
            if self._is_there(end):
                self.remove(end[-1])

    def _is_there(self, end: tuple[float, int, _Key]) -> bool:
        _, number, key = end
        entry = self.by_key.get(key)
        return entry is not None and entry.number == number


@define(eq=False)
class BoundedMap(Generic[_Key, _Value]):
    """Values by key. `max_size` and `max_share` (of one owner) are in entries, or in bytes."""

    max_size: int
    _seconds: float = field(default=WITHOUT_END, kw_only=True)  # of an entry that names no time
    _is_jittered: bool = field(default=False, kw_only=True)
    _max_share: int | None = field(default=None, kw_only=True)
    _size_of: Callable[[_Key, _Value], int] = field(default=lambda *_: 1, kw_only=True)
    _clock: Callable[[], float] = field(default=time.monotonic, kw_only=True)
    # Made for the first entry: an empty one takes 1 KB, and a connection has some 17 such maps.
    _entries: _Entries[_Key, _Value] | None = field(default=None, init=False)

    def get(self, key: _Key) -> _Value | None:
        """Return the value of a key whose time is not over; this is a use of it."""
        entries = self._entries
        entry = None if entries is None else entries.by_key.get(key)
        if entries is None or entry is None:
            return None
        if entry.until != WITHOUT_END and entry.until <= self._clock():
            return None
        entries.by_key.move_to_end(key)
        if entry.owner is not None:
            entries.use_of_owner(key, entry.owner)
        return entry.value

    def set(
        self, key: _Key, value: _Value, *, seconds: float | None = None, owner: Hashable = None
    ) -> None:
        """Remember a value, in place of the key's earlier one, and forget what it displaces.

        It ends after `seconds`, jittered if this map jitters; None: after the map's own time. A
        value that is larger than the map, or than its owner's share, is not kept.
        """
        lasting = self._seconds if seconds is None else seconds
        if self._is_jittered and lasting != WITHOUT_END:
            lasting = jittered(lasting)
        self.set_until(key, value, self._clock() + lasting, owner=owner)

    def set_until(self, key: _Key, value: _Value, until: float, *, owner: Hashable = None) -> None:
        """Remember a value as `set` does, but until a time of the map's clock."""
        if self._entries is None:
            self._entries = _Entries()
        entries, now = self._entries, self._clock()
        entries.expire(now)
        if key in entries.by_key:
            entries.remove(key)
        size = self._size_of(key, value)
        share = self.max_size if owner is None or self._max_share is None else self._max_share
        if size > min(share, self.max_size) or until <= now:
            return
        while owner is not None and entries.size_of(owner) + size > share:
            entries.remove(entries.least_used_of(owner))
        while entries.size + size > self.max_size:
            entries.remove(entries.least_used())
        entries.add(key, _Entry(value, until, size, owner, next(entries.numbers)))

    def pop(self, key: _Key) -> _Value | None:
        """Forget a key, and return what was remembered."""
        entries = self._now()
        return entries.remove(key) if entries is not None and key in entries.by_key else None

    def clear(self) -> None:
        """Forget everything."""
        self._entries = None

    @property
    def size(self) -> int:
        """The entries, or the bytes, that are remembered now."""
        entries = self._now()
        return 0 if entries is None else entries.size

    def __contains__(self, key: _Key) -> bool:
        entry = None if self._entries is None else self._entries.by_key.get(key)
        return entry is not None and entry.until > self._clock()

    def __len__(self) -> int:
        entries = self._now()
        return 0 if entries is None else len(entries.by_key)

    def __iter__(self) -> Iterator[_Key]:
        entries = self._now()
        return iter(() if entries is None else [*entries.by_key])

    def _now(self) -> _Entries[_Key, _Value] | None:
        """Return the entries without what is over, if there are any."""
        if self._entries is not None:
            self._entries.expire(self._clock())
        return self._entries
