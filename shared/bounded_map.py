"""A bounded memory of what peers name: each entry has an end, and the ends are spread.

A peer that chooses the keys of a dictionary chooses how much memory it takes. This is the one
dictionary for such keys:

- When it is full, it forgets entries whose time is over, then those not used for longest.
- One owner (a device, an address) may be held to a share. What it brings beyond its share pushes
  out its own entries, the least used first, and nobody else's.
- An entry ends after its time. The time may be jittered down to half of it, so that entries that
  were made together do not end together.
- Sizes are numbers of entries, or bytes if `size_of` says how many an entry takes.

A `TLRUCache` of cachetools holds the entries. For one event loop.
"""

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from typing import Final, Generic, Self, TypeVar

from attrs import define, field, frozen
from cachetools import TLRUCache
from typing_extensions import override

from shared.jitter import jittered

WITHOUT_END: Final = math.inf  # seconds: the entry stays until its room is needed

_Key = TypeVar("_Key", bound=Hashable)
_Value = TypeVar("_Value")


@frozen(eq=False)
class _Entry(Generic[_Value]):
    value: _Value
    until: float  # on the map's clock
    size: int
    owner: Hashable  # None: nobody in particular


@define(eq=False)
class _Owned(Generic[_Key]):
    keys: OrderedDict[_Key, None] = field(factory=OrderedDict)  # the least recently used first
    size: int = 0


@define(eq=False)
class _Owners(Generic[_Key]):
    """What each owner has."""

    _owned: dict[Hashable, _Owned[_Key]] = field(factory=dict)

    def size_of(self, owner: Hashable) -> int:
        return self._owned[owner].size if owner in self._owned else 0

    def least_used_of(self, owner: Hashable) -> _Key:
        return next(iter(self._owned[owner].keys))

    def touch(self, key: _Key, entry: _Entry[_Value]) -> None:
        if entry.owner is not None:
            self._owned[entry.owner].keys.move_to_end(key)

    def add(self, key: _Key, entry: _Entry[_Value]) -> None:
        if entry.owner is None:
            return
        owned = self._owned.setdefault(entry.owner, _Owned())
        owned.keys[key] = None
        owned.size += entry.size

    def remove(self, key: _Key, entry: _Entry[_Value]) -> None:
        if entry.owner is None:
            return
        owned = self._owned[entry.owner]
        del owned.keys[key]
        owned.size -= entry.size
        if not owned.keys:
            del self._owned[entry.owner]


@define
class _Time:
    """One time for all that one call does. A class of its own, or the cache would hold the map."""

    now: float = -math.inf

    def __call__(self) -> float:
        return self.now


class _Entries(TLRUCache[_Key, _Entry[_Value], float]):
    """The cache. It tells the owners which entries it drops because their time is over."""

    def __init__(self, max_size: int) -> None:
        self.time = _Time()
        self.owners = _Owners[_Key]()
        super().__init__(max_size, lambda _key, entry, _now: entry.until, self.time, _size)

    @override
    def expire(self, time: float | None = None) -> list[tuple[_Key, _Entry[_Value]]]:
        expired = super().expire(time)
        for key, entry in expired:
            self.owners.remove(key, entry)
        return expired

    def remove(self, key: _Key) -> _Value:
        """Forget a key that is there, and return its value."""
        entry = self.pop(key)
        self.owners.remove(key, entry)
        return entry.value

    def at(self, now: float) -> Self:
        """Return this cache, as it is at a time."""
        self.time.now = now
        return self


def _size(entry: _Entry[_Value]) -> int:
    return entry.size


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
        if self._entries is None:
            return None
        entries = self._entries.at(self._clock())
        entry = entries.get(key)
        if entry is None:
            return None
        entries.owners.touch(key, entry)
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
            self._entries = _Entries(self.max_size)
        self.pop(key)
        entries, owners = self._entries, self._entries.owners
        entry = _Entry(value, until, self._size_of(key, value), owner)
        share = self.max_size if owner is None or self._max_share is None else self._max_share
        if entry.size > min(share, self.max_size) or until <= entries.time.now:
            return
        while owner is not None and owners.size_of(owner) + entry.size > share:
            entries.remove(owners.least_used_of(owner))
        while entries.currsize + entry.size > self.max_size:
            owners.remove(*entries.popitem())
        entries[key] = entry
        owners.add(key, entry)

    def pop(self, key: _Key) -> _Value | None:
        """Forget a key, and return what was remembered."""
        entries = self._now()
        return entries.remove(key) if entries is not None and key in entries else None

    def clear(self) -> None:
        """Forget everything."""
        self._entries = None

    @property
    def size(self) -> int:
        """The entries, or the bytes, that are remembered now."""
        entries = self._now()
        return 0 if entries is None else int(entries.currsize)

    def __contains__(self, key: _Key) -> bool:
        return self._entries is not None and key in self._entries.at(self._clock())

    def __len__(self) -> int:
        entries = self._now()
        return 0 if entries is None else len(entries)

    def __iter__(self) -> Iterator[_Key]:
        return iter(list(self._now() or ()))

    def _now(self) -> _Entries[_Key, _Value] | None:
        """Return the cache without what is over, if there is one."""
        if self._entries is not None:
            self._entries.at(self._clock()).expire()
        return self._entries
