"""The tables of `make growth`: each cost with what it was at each size, and what each test used."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import pytest

from tests.growth.measured import BOUND, POINT, PROCESSOR, Bound, Point, exponent_of
from tests.support.text_table import lines_of

_TITLES: Final = ("cost", "unit", "size: cost", "exponent", "bound", "held")


def table_of(reports: Iterable[pytest.TestReport]) -> list[str]:
    """Return the table's lines, of what passed and what failed; none if nothing was measured."""
    return lines_of(_TITLES, (row for report in reports for row in _rows(report)))


def processor_of(reports: Iterable[pytest.TestReport]) -> list[str]:
    """Return a table of the seconds of processor of each test, most first, and of all together."""
    used = sorted(
        ((seconds, report.nodeid) for report in reports for seconds in _said(report, PROCESSOR)),
        reverse=True,
    )
    rows = [(each.rpartition("/")[2], f"{seconds:,.1f}") for seconds, each in used]
    together = ("all", f"{sum(seconds for seconds, _ in used):,.1f}")
    return lines_of(("test", "seconds"), [*rows, together] if rows else [])


def _rows(report: pytest.TestReport) -> Iterator[tuple[str, ...]]:
    points = [Point(**each) for each in _said(report, POINT)]
    bounds = {each["what"]: Bound(**each) for each in _said(report, BOUND)}
    for what in dict.fromkeys(point.what for point in points):
        yield _row([point for point in points if point.what == what], bounds.get(what), report)
    if report.failed and not points:
        yield (report.nodeid.rpartition("::")[2], "", "", "", "", "FAILED")


def _said(report: pytest.TestReport, wanted: str) -> list[Any]:
    return [value for name, value in report.user_properties if name == wanted]


def _row(
    points: Sequence[Point], bound: Bound | None, report: pytest.TestReport
) -> tuple[str, ...]:
    return (
        points[0].what,
        points[0].unit,
        ", ".join(f"{point.size:,}: {_shown(point.cost)}" for point in points),
        f"{exponent_of(points):.2f}" if len({point.size for point in points}) > 1 else "",
        _words(bound),
        "FAILED" if report.failed else "yes" if bound else "shown",
    )


def _words(bound: Bound | None) -> str:
    if bound is None:
        return ""
    most = "" if bound.at_most is None else f", at most {_shown(bound.at_most)}"
    return f"{bound.exponent:g}{most}"


def _shown(cost: float) -> str:
    return f"{cost:,.0f}" if cost == int(cost) or cost >= 100 else f"{cost:,.1f}"
