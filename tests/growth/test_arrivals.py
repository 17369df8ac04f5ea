"""What arrivals cost whoever begins one more, or finds no room beside them."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final, cast

from attrs import field, frozen
from typing_extensions import override

from facade.store.catalogue import Catalogue
from facade.store.claim_count import ClaimCount
from facade.store.evictor import NOBODY_IN_PARTICULAR, Evictor
from facade.store.ingest_file import OwnedIngest
from facade.store.partials import Claim, Partials
from facade.store.shares import Shares
from shared.oci import RepositoryName
from tests.growth.measured import Growth, Sizes
from tests.growth.stores import FilledStore, access_key_of
from tests.support.clock import Clock

ARRIVALS: Final = Sizes(small=(64, 128, 256), full=(500, 1_000, 2_000, 8_000))
ARRIVALS_OF_FILES: Final = Sizes(small=(100, 200, 400), full=(500, 1_000, 2_000))
ASKED: Final = "arrivals of others where there is no room, times that each is looked at"
BEGUN: Final = "arrivals that begin at once, partials that are looked at for each"
ARRIVING_BYTES: Final = 1024 * 1024
APP: Final = RepositoryName.parse("team/app")
ADMISSION_SECONDS: Final = 0.0005  # about what one takes


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
        Shares(cast(Catalogue, None)).ask_to_make_way(1, "nobody's", claims, full)
        growth.point(ASKED, size=size, cost=claims.looked / size, unit="looks")
    growth.holds(ASKED, exponent=0.0, at_most=4)


@frozen
class NotedPartials(Partials):
    """Partials, and how many were looked at each time."""

    looked: list[int] = field(factory=list)

    @override
    def claims(self) -> list[Claim]:
        """Note it."""
        claims = super().claims()
        self.looked.append(len(claims))
        return claims


def test_arrivals_that_begin_at_once(growth: Growth, tmp_path: Path) -> None:
    """Whoever makes room has all others wait, on the whole machine."""
    for size in growth.sizes(ARRIVALS_OF_FILES):
        with FilledStore.of(tmp_path / str(size), blobs=0) as store, ExitStack() as arrivals:
            partials, clock = NotedPartials(store.layout.ingest), Clock()
            evictor = _evictor(store, partials, clock)
            for number in range(size):
                ingest = OwnedIngest.acquire(store.layout.ingest / access_key_of(number))
                assert ingest is not None
                arrivals.callback(ingest.discard)
                evictor.admit(
                    ARRIVING_BYTES, ARRIVING_BYTES, _announcing(ingest), NOBODY_IN_PARTICULAR
                )
                clock.advance(ADMISSION_SECONDS)
            cost = sum(partials.looked) / size
            assert sum(claim.size for claim in partials.claims()) == size * ARRIVING_BYTES
        growth.point(BEGUN, size=size, cost=cost, unit="looks")
    growth.holds(BEGUN, exponent=0.0, at_most=64)


def _announcing(ingest: OwnedIngest) -> Callable[[int], None]:
    return lambda room: ingest.announce(ARRIVING_BYTES, APP, room=room)


def _evictor(store: FilledStore, partials: Partials, clock: Clock) -> Evictor:
    return Evictor(
        store.layout,
        store.catalogue,
        partials,
        store.quarantine,
        store.uses,
        2**40,
        count=ClaimCount(partials, store.layout.granted, clock),
    )
