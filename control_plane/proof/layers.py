"""A mapping that never changes, and grows cheaply: what is new lies over what was there. Pure."""

from collections.abc import Iterator, Mapping
from typing import Final, Generic, TypeVar

from attrs import field, frozen

MAX_NEW_KEYS: Final = 256  # copied at each growth; with more, both layers become one

_Value = TypeVar("_Value")


@frozen
class Layers(Generic[_Value]):
    """Two layers; the upper one holds."""

    _lower: Mapping[str, _Value] = field(factory=dict)
    _upper: Mapping[str, _Value] = field(factory=dict)

    def get(self, key: str) -> _Value | None:
        """Return the value of a key."""
        found = self._upper.get(key)
        return self._lower.get(key) if found is None else found

    def __len__(self) -> int:
        """Return how many keys there are, at most."""
        return len(self._lower) + len(self._upper)

    def items(self) -> Iterator[tuple[str, _Value]]:
        """Yield every key with its value."""
        yield from self._upper.items()
        yield from ((key, value) for key, value in self._lower.items() if key not in self._upper)

    def under(self, newer: Mapping[str, _Value]) -> "Layers[_Value]":
        """Return this mapping with newer values over its own."""
        upper = {**self._upper, **newer}
        if len(upper) <= MAX_NEW_KEYS:
            return Layers(self._lower, upper)
        return Layers({**self._lower, **upper})
