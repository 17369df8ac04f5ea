"""The harness fails what grows too fast, lets pass what does not, and prints both."""

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.growth.measured import (
    GROWTH,
    PROCESSOR,
    Growth,
    Point,
    Sizes,
    exponent_of,
    sizes_of_ones_own,
)
from tests.growth.report import processor_of, table_of

SIZES = (100, 1_000, 10_000)


class _Node:
    """What `Growth` uses of a test."""

    def __init__(self) -> None:
        self.user_properties: list[tuple[str, object]] = []


def _measured(cost_of: Callable[[int], float], node: object | None = None) -> Growth:
    growth = Growth(node or _Node())  # type: ignore[arg-type]  # an item takes a session to make
    for size in SIZES:
        growth.point("rows read", size=size, cost=cost_of(size), unit="rows")
    return growth


def _points(*costs: float) -> list[Point]:
    return [Point("rows", size, cost, "rows") for size, cost in zip(SIZES, costs, strict=True)]


@given(st.floats(0, 3), st.integers(1, 1_000_000))
def test_the_exponent_of_a_power_is_found(exponent: float, factor: int) -> None:
    """Whatever one size costs by itself."""
    points = _points(*(factor * size**exponent for size in SIZES))

    assert exponent_of(points) == pytest.approx(exponent, abs=1e-6)


@pytest.mark.parametrize("cost", [0, 1, 17, 4_096.5])
def test_a_cost_that_stays_the_same_has_exponent_0(cost: float) -> None:
    """Nothing grows where nothing changes, and nothing is divided by."""
    _measured(lambda _: cost).holds("rows read", exponent=0)


def test_a_cost_that_begins_at_0_grows() -> None:
    """It has no logarithm, and is no excuse."""
    assert exponent_of(_points(0, 100, 1_000)) == pytest.approx(1.5)


def test_a_cost_that_falls_holds_any_bound() -> None:
    """What gets cheaper is welcome."""
    _measured(lambda size: 1_000_000 // size).holds("rows read", exponent=0)


@pytest.mark.parametrize(
    "cost_of",
    [lambda size: size, lambda size: 500 + size, lambda size: size * math.log(size)],
    ids=["linear", "linear beside a constant", "n log n"],
)
def test_a_cost_that_grows_too_fast_fails(cost_of: Callable[[int], float]) -> None:
    """It is what the suite is for."""
    growth = _measured(cost_of)

    with pytest.raises(AssertionError, match=r"rows read grows as size\*\*"):
        growth.holds("rows read", exponent=0.1)


def test_a_linear_cost_holds_a_linear_bound() -> None:
    """Not everything has to be flat."""
    _measured(lambda size: 3 * size + 50).holds("rows read", exponent=1)


def test_a_cost_above_its_bound_fails_at_any_exponent() -> None:
    """What is flat may be dear."""
    growth = _measured(lambda _: 81)

    growth.holds("rows read", exponent=0, at_most=81)
    with pytest.raises(AssertionError, match="rows read"):
        growth.holds("rows read", exponent=0, at_most=80)


@pytest.mark.parametrize("cost", [-1, 0.5, math.nan, math.inf])
def test_what_is_no_count_is_refused(cost: float) -> None:
    """Half a unit and its hundredth would look alike."""
    with pytest.raises(ValueError, match="no count"):
        _measured(lambda _: cost)


def test_one_size_shows_no_growth() -> None:
    """A test that measured once has measured nothing of it."""
    with pytest.raises(ValueError, match="two sizes"):
        exponent_of(_points(1, 2, 3)[:1] * 2)


def test_what_was_never_measured_does_not_hold() -> None:
    """A name that is written two ways is found."""
    with pytest.raises(KeyError):
        _measured(lambda _: 1).holds("rows wrote", exponent=1)


def test_sizes_of_ones_own_are_for_the_whole_suite(
    growth: Growth, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`make test` is not changed by a variable that is left in somebody's shell."""
    monkeypatch.setenv("SIZES", "1_000,10000")

    assert growth.sizes(Sizes((1, 2), (3, 4))) == ((1_000, 10_000) if GROWTH.runs_all else (1, 2))


@pytest.mark.parametrize(
    "given, words",
    [
        ("200,400", "the bounds of this test are for 8,000 and more"),
        ("8000", "two sizes at least"),
        ("8000, 8_000", "two sizes at least"),
        ("8000,many", "whole numbers"),
        ("8000,", "whole numbers"),
        ("-8000,9000", "whole numbers"),
    ],
)
def test_sizes_of_ones_own_that_show_nothing_are_refused_in_words(given: str, words: str) -> None:
    """An index of 400 rights has no room to give back: it looked as if it grew."""
    with pytest.raises(ValueError, match=words):
        sizes_of_ones_own(given, least=8_000)


def test_sizes_of_ones_own_may_be_the_least() -> None:
    """And may be written as Python writes numbers."""
    assert sizes_of_ones_own("8_000, 20000", least=8_000) == (8_000, 20_000)


@pytest.mark.parametrize("outcome", ["passed", "failed"])
def test_the_table_shows_what_held_and_what_did_not(outcome: str) -> None:
    """The row of a failed test is what one looks for."""
    node = _Node()
    _measured(lambda size: 2 * size, node).holds("rows read", exponent=1, at_most=50_000)

    titles, _, row, *_ = table_of([_report(outcome, node.user_properties)])

    assert titles.split() == ["cost", "unit", "size:", "cost", "exponent", "bound", "held"]
    assert "100: 200, 1,000: 2,000, 10,000: 20,000" in row
    assert "1.00" in row
    assert "1, at most 50,000" in row
    assert row.endswith("yes" if outcome == "passed" else "FAILED")


def test_a_test_that_failed_before_it_measured_has_a_row() -> None:
    """It would be missed otherwise."""
    assert table_of([_report("failed", [])])[2].split() == ["test_grows", "FAILED"]
    assert table_of([_report("passed", [])]) == []


def test_what_tests_used_is_shown_most_first() -> None:
    """Who makes `make growth` shorter begins at the top."""
    reports = [_report("passed", [(PROCESSOR, seconds)]) for seconds in (2.0, 30.25)]

    lines = processor_of([*reports, _report("failed", [])])

    assert [line.split()[-1] for line in lines[2:5]] == ["30.2", "2.0", "32.2"]
    assert processor_of([]) == []


def _report(outcome: str, properties: list[tuple[str, object]]) -> pytest.TestReport:
    return pytest.TestReport(
        "tests/growth/test_it.py::test_grows",
        ("tests/growth/test_it.py", 0, "test_grows"),
        {},
        "failed" if outcome == "failed" else "passed",
        None,
        "call",
        user_properties=properties,
    )
