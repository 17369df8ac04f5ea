"""What is measured at several sizes, and how fast it grows.

    SIZES = Sizes(small=(200, 400, 800), full=(8_000, 80_000, 300_000))

    def test_...(growth: Growth) -> None:
        for size in growth.sizes(SIZES):
            growth.point("G6 cold pull, rows read", size=size, cost=counted, unit="rows")
        growth.holds("G6 cold pull, rows read", exponent=0.1)

A cost that is held is a count: operations, bytes, queries, never time. It is 0 or at least 1 of its
unit, so that no unit is so large that a growing cost looks like none. A time is shown, not held.
"""

import math
import os
import statistics
from collections.abc import Sequence
from typing import Final

import pytest
from attrs import asdict, field, frozen, validators

from tests.support.suite import Suite

GROWTH: Final = Suite("growth")
POINT: Final = "growth point"  # of a report's properties
BOUND: Final = "growth bound"
PROCESSOR: Final = "growth processor"  # seconds
# An exponent that is computed from equal costs is 0 but for the last digits.
_ROUNDING: Final = 1e-9


@frozen
class Point:
    """What one size cost."""

    what: str
    size: int = field(validator=validators.ge(1))
    cost: float = field()
    unit: str

    @cost.validator
    def _is_count(self, _attribute: object, cost: float) -> None:
        if not (cost == 0 or 1 <= cost < math.inf):
            raise ValueError(
                f"{self.what}: {cost} {self.unit} is no count, which is 0 or 1 or more"
            )


@frozen
class Bound:
    """How fast a cost may grow, and how much it may be at any size."""

    what: str
    exponent: float
    at_most: float | None


@frozen
class Sizes:
    """At which sizes `make test` measures, and at which `make growth`."""

    small: tuple[int, ...]
    full: tuple[int, ...]


def exponent_of(points: Sequence[Point]) -> float:
    """Return `e` of the `size**e` that fits best: least squares of the logarithms.

    A cost that stays the same has 0, also one that stays 0. A 0 among others is taken as 1, which
    is the smallest count. Raise `ValueError` where there are not two sizes to compare.
    """
    if len({point.size for point in points}) < 2:
        raise ValueError("growth takes two sizes at least")
    logarithms = [math.log(max(point.cost, 1)) for point in points]
    return statistics.linear_regression(
        [math.log(point.size) for point in points], logarithms
    ).slope


def sizes_of_ones_own(given: str, *, least: int) -> tuple[int, ...]:
    """Read sizes such as `10000,100_000`; raise `ValueError`, in words, for what shows nothing.

    What is made once, and room that a small store never fills, look like growth at sizes below
    those of the suite: a bound is one for `least` and more.
    """
    words = [each.strip().replace("_", "") for each in given.split(",")]
    if not all(each.isascii() and each.isdigit() for each in words):
        raise ValueError("sizes are whole numbers, with a comma between two")
    sizes = tuple(map(int, words))
    if len(set(sizes)) < 2:
        raise ValueError("growth takes two sizes at least")
    if min(sizes) < least:
        raise ValueError(f"the bounds of this test are for {least:,} and more")
    return sizes


@frozen
class Growth:
    """Takes the points of one test, and holds them to their bounds."""

    _node: pytest.Item
    _points: dict[str, list[Point]] = field(factory=dict, init=False)

    def sizes(self, sizes: Sizes) -> tuple[int, ...]:
        """Return those of this run: in `make growth` those of `SIZES="10000,100000"`, if given."""
        given = os.environ.get("SIZES") if GROWTH.runs_all else None
        if not given:
            return GROWTH.extent(sizes.small, sizes.full)
        try:
            return sizes_of_ones_own(given, least=min(sizes.full))
        except ValueError as refusal:
            pytest.fail(f"SIZES={given}: {refusal}", pytrace=False)

    def point(self, what: str, *, size: int, cost: float, unit: str) -> None:
        """Say what it cost at this size; the row is printed even if the test fails later."""
        point = Point(what, size, cost, unit)
        self._points.setdefault(what, []).append(point)
        self._node.user_properties.append((POINT, asdict(point)))

    def holds(self, what: str, *, exponent: float, at_most: float | None = None) -> None:
        """Fail if it grows faster than `size**exponent`, or costs more than `at_most` anywhere."""
        points = self._points[what]
        self._node.user_properties.append((BOUND, asdict(Bound(what, exponent, at_most))))
        found = exponent_of(points)
        costs = [(point.size, point.cost) for point in points]
        assert found <= exponent + _ROUNDING, f"{what} grows as size**{found:.2f}: {costs}"
        if at_most is not None:
            assert max(point.cost for point in points) <= at_most, f"{what}: {costs}"
