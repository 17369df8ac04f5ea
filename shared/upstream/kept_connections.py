"""Connections that wait for their next request, of all registries of one process together.

Each registry's connections are closed after they have waited for a while. But if ten thousand
registries are asked in turn, as many connections would wait at once, each with a descriptor and
TLS's buffers.
"""

from collections import OrderedDict
from typing import Final, Protocol, Self

from attrs import define, field

# TLS and what aiohttp has for it take some 0.1 MiB each.
MOST_KEPT: Final = 512
# The descriptor of a running pull's upstream is counted with the device's connection. These are out
# of those that no device's connection needs.
DESCRIPTORS_PER_KEPT: Final = 32


class Waiting(Protocol):
    """A connection whose last answer is complete."""

    def give_up(self) -> None:
        """Close it, so that nobody is given it any more."""


@define(eq=False)
class KeptConnections:
    """The connections that wait now. For one event loop."""

    _most: int = MOST_KEPT
    _waiting: OrderedDict[Waiting, None] = field(factory=OrderedDict, init=False)

    @classmethod
    def of_descriptors(cls, descriptors: int) -> Self:
        """Return the bound of a process that may open so many."""
        return cls(max(1, min(MOST_KEPT, descriptors // DESCRIPTORS_PER_KEPT)))

    def add(self, connection: Waiting) -> None:
        """Note that one waits; if there are too many, give up the one that has waited longest."""
        self._waiting[connection] = None
        self._waiting.move_to_end(connection)
        while len(self._waiting) > self._most:
            oldest, _ = self._waiting.popitem(last=False)
            oldest.give_up()

    def remove(self, connection: Waiting) -> None:
        """Note that one is used again, or closed."""
        self._waiting.pop(connection, None)

    @property
    def count(self) -> int:
        """How many wait."""
        return len(self._waiting)
