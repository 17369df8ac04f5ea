"""The table of the fault suite: each fault, what a device saw of it, how it recovered.

    def test_...(fault_report: FaultReport) -> None:
        fault_report.row("upstream breaks at every byte", "a whole answer", "resumed")

A row stands in the table if its test passed. Rows travel in the tests' reports, so that they are
printed whichever process ran them.
"""

from collections.abc import Iterable, Iterator
from typing import Final

import pytest
from attrs import astuple, frozen

_PROPERTY: Final = "fault"
_TITLES: Final = ("fault", "what the device saw", "how it recovered")


@frozen
class FaultReport:
    """Takes the rows of one test."""

    _node: pytest.Item

    def row(self, fault: str, device_saw: str, recovered: str) -> None:
        """Say what was produced, what was seen, and how it came back to normal."""
        self._node.user_properties.append((_PROPERTY, astuple(_Row(fault, device_saw, recovered))))


@frozen
class _Row:
    fault: str
    device_saw: str
    recovered: str


def table_of(passed: Iterable[pytest.TestReport]) -> list[str]:
    """Return the table's lines; none where no test wrote a row."""
    rows = [_TITLES, *_rows_of(passed)]
    if len(rows) == 1:
        return []
    widths = [max(len(row[column]) for row in rows) for column in range(len(_TITLES))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    return [lines[0], "  ".join("-" * width for width in widths), *lines[1:]]


def _rows_of(passed: Iterable[pytest.TestReport]) -> Iterator[tuple[str, ...]]:
    for report in passed:
        for name, value in report.user_properties:
            if name == _PROPERTY and isinstance(value, tuple | list):
                yield tuple(map(str, value))
