"""What arrivals cost whoever begins one more, or finds no room beside them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final, cast

from facade.store.index import Index
from facade.store.partials import Claim
from facade.store.shares import Shares
from tests.growth.measured import Growth, Sizes
from tests.growth.stores import access_key_of

ARRIVALS: Final = Sizes(small=(64, 128, 256), full=(500, 1_000, 2_000, 8_000))
ASKED: Final = "arrivals of others where there is no room, times that each is looked at"
ARRIVING_BYTES: Final = 1024 * 1024


class Looks(list[Claim]):
    """Claims, and how often one of them was looked at."""

    looked = 0

    def __iter__(self) -> Iterator[Claim]:
        """Count each."""
        for each in super().__iter__():
            self.looked += 1
            yield each


def test_arrivals_that_are_asked_to_make_way(growth: Growth, tmp_path: Path) -> None:
    """Each is of a connection of its own, and none takes too much: all are looked at in vain."""
    for size in growth.sizes(ARRIVALS):
        claims = Looks(
            Claim(tmp_path, ARRIVING_BYTES, is_owned=True, access_key=access_key_of(number))
            for number in range(size)
        )
        full = size * ARRIVING_BYTES
        Shares(cast(Index, None)).ask_to_make_way(1, "nobody's", claims, full)
        growth.point(ASKED, size=size, cost=claims.looked / size, unit="looks")
    growth.holds(ASKED, exponent=0.0, at_most=4)
