"""What a connection has is counted a part of the time, however large the catalogue is."""

from pathlib import Path
from typing import cast

import pytest
from attrs import define, field

from facade.store.catalogue import Catalogue
from facade.store.partials import Claim
from facade.store.shares import COUNTED_QUICKLY_SECONDS, SHARE_OF_STORE, Shares
from tests.support.clock import Clock

KEY = "a" * 64
CAPACITY = 1000
HALF = int(CAPACITY * SHARE_OF_STORE)


@define
class CountedCatalogue:
    """A catalogue that takes so long to count, and says how often it did."""

    seconds: float
    held: int = 0
    others: int = CAPACITY
    counted: int = 0
    clock: Clock = field(factory=Clock)

    def has_others(self, _: str) -> bool:
        """There are."""
        return True

    def held_bytes(self, _: str) -> int:
        """Take a while."""
        self.counted += 1
        self.clock.advance(self.seconds)
        return self.held

    def bytes_in_use_by_others(self, _: object) -> int:
        """Take no time."""
        return self.others


def shares(catalogue: CountedCatalogue) -> Shares:
    """Return the shares that stand on it."""
    return Shares(cast(Catalogue, catalogue), catalogue.clock)


def test_what_takes_long_is_not_counted_for_each_claim() -> None:
    """Whoever makes room has everybody else wait. What is claimed meanwhile counts."""
    catalogue = CountedCatalogue(seconds=20 * COUNTED_QUICKLY_SECONDS)  # holds for two seconds
    asked = shares(catalogue)
    spared = []
    for _ in range(HALF // 50 + 1):
        spared.append(asked.spared(KEY, 50, [], CAPACITY) is not None)
        asked.note_granted(KEY, 50)
    assert spared == [False] * (HALF // 50) + [True]
    assert catalogue.counted == 1


def test_what_has_arrived_since_it_was_counted_counts() -> None:
    """It is no partial any more, and was none of the blobs that were counted."""
    catalogue = CountedCatalogue(seconds=20 * COUNTED_QUICKLY_SECONDS)
    asked, arriving = shares(catalogue), Claim(Path("f"), HALF, is_owned=True, access_key=KEY)
    assert asked.spared(KEY, 0, [arriving], CAPACITY) is None
    catalogue.held = HALF
    assert asked.spared(KEY, 1, [], CAPACITY) is not None
    assert catalogue.counted == 1


def test_what_is_quick_is_counted_each_time() -> None:
    """It is exact."""
    catalogue = CountedCatalogue(seconds=0)
    asked = shares(catalogue)
    assert asked.spared(KEY, HALF, [], CAPACITY) is None
    catalogue.held = 1
    assert asked.spared(KEY, HALF, [], CAPACITY) is not None


@pytest.mark.parametrize("access_key", [KEY, None, "b" * 64])
def test_what_arrives_counts_and_so_does_what_nobody_is_named_for(access_key: str | None) -> None:
    """An arrival that is given up has lost its announcement before its bytes are gone."""
    claim = Claim(Path("folder"), HALF, is_owned=True, access_key=access_key)
    asked = shares(CountedCatalogue(seconds=0))
    is_spared = asked.spared(KEY, 1, [claim], CAPACITY) is not None
    assert is_spared == (access_key in (KEY, None))


@pytest.mark.parametrize(
    "wanted,others,is_within",
    [(HALF, CAPACITY, True), (HALF + 1, CAPACITY, False), (CAPACITY - 1, 1, True)],
)
def test_a_blob_within_the_share_is_admitted_without_counting(
    wanted: int,
    others: int,
    is_within: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """A longer one if others leave so much."""
    catalogue = CountedCatalogue(seconds=0, others=others)
    assert shares(catalogue).is_within_most(KEY, wanted, [], CAPACITY) == is_within
    assert catalogue.counted == 0
