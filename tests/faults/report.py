"""The tables of the fault suite: each fault, what a device saw of it, how it recovered.

    def test_...(fault_report: FaultReport) -> None:
        fault_report.row("upstream breaks at every byte", "a whole answer", "resumed")
        fault_report.distribution("approve to served, 10,000 connections", seconds)

A test that fails has its row too. Rows travel in the tests' reports, so that they are printed
whichever process ran them.
"""

import statistics
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import pytest
from attrs import astuple, frozen

from tests.support.text_table import lines_of

MILLISECONDS: Final = 1000

_ROW: Final = "fault"
_DISTRIBUTION: Final = "distribution"
_ROW_TITLES: Final = ("fault", "what the device saw", "how it recovered", "held")
_DISTRIBUTION_TITLES: Final = ("milliseconds", "n", "median", "p90", "p99", "max")


@frozen
class Distribution:
    """How durations were spread, in milliseconds."""

    name: str
    count: int
    median: float
    p90: float
    p99: float
    maximum: float

    @classmethod
    def of(cls, name: str, seconds: Sequence[float]) -> "Distribution":
        """Return that of at least two durations."""
        cuts = statistics.quantiles(seconds, n=100, method="inclusive")
        found = (cuts[49], cuts[89], cuts[98], max(seconds))
        return cls(name, len(seconds), *(round(each * MILLISECONDS, 1) for each in found))


@frozen
class FaultReport:
    """Takes the rows of one test."""

    _node: pytest.Item

    def row(self, fault: str, device_saw: str, recovered: str) -> None:
        """Say what was produced, what was seen, and how it came back to normal."""
        self._node.user_properties.append((_ROW, (fault, device_saw, recovered)))

    def distribution(self, name: str, seconds: Sequence[float]) -> Distribution:
        """Say how at least two durations were spread; return it, to assert on."""
        distribution = Distribution.of(name, seconds)
        self._node.user_properties.append((_DISTRIBUTION, astuple(distribution)))
        return distribution


def tables_of(reports: Iterable[pytest.TestReport]) -> list[str]:
    """Return the tables' lines, of what passed and what failed; none where nothing was said."""
    reports = list(reports)
    return [
        *lines_of(_ROW_TITLES, _rows_of(reports)),
        *lines_of(_DISTRIBUTION_TITLES, _said(reports, _DISTRIBUTION)),
    ]


def _rows_of(reports: Iterable[pytest.TestReport]) -> Iterator[tuple[str, ...]]:
    for report in reports:
        rows = list(_said([report], _ROW))
        if report.failed and not rows:
            rows = [(report.nodeid.rpartition("::")[2], "", "")]
        yield from ((*row, "FAILED" if report.failed else "yes") for row in rows)


def _said(reports: Iterable[pytest.TestReport], wanted: str) -> Iterator[tuple[str, ...]]:
    for report in reports:
        for name, value in report.user_properties:
            if name == wanted and isinstance(value, tuple | list):
                yield tuple(map(str, value))
