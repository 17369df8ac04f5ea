"""What goes on for peers of whom only the network address is known, counted by address."""

from collections.abc import Hashable
from typing import Generic, TypeVar

from attrs import define, field

_Item = TypeVar("_Item", bound=Hashable)


@define(eq=False)
class BySite(Generic[_Item]):
    """Things under way, the oldest of each site first."""

    _by_site: dict[str, dict[_Item, None]] = field(factory=dict, init=False)
    count: int = field(default=0, init=False)

    @property
    def site_with_most(self) -> str:
        """The site that has most of them, if there are any."""
        return max(self._by_site, key=lambda site: len(self._by_site[site]))

    def oldest_of(self, site: str) -> _Item:
        """Return the oldest of a site that has some."""
        return next(iter(self._by_site[site]))

    def of_sites_with_most(self) -> list[_Item]:
        """Return those of each site that has as many as any other, the oldest of each first."""
        most = max(map(len, self._by_site.values()), default=0)
        return [
            each for of_site in self._by_site.values() if len(of_site) == most for each in of_site
        ]

    def all(self) -> list[_Item]:
        """Return every one."""
        return [each for of_site in self._by_site.values() for each in of_site]

    def add(self, item: _Item, site: str) -> None:
        """Take in a new one."""
        self._by_site.setdefault(site, {})[item] = None
        self.count += 1

    def remove(self, item: _Item, site: str) -> None:
        """Forget one; harmless if it is forgotten already."""
        of_site = self._by_site.get(site, {})
        if item in of_site:
            del of_site[item]
            self.count -= 1
            if not of_site:
                del self._by_site[site]
