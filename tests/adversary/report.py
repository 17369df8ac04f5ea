"""The table of `make adversary`: a row for each attack."""

from collections.abc import Iterable, Iterator
from typing import Any, Final

import pytest
from attrs import asdict, frozen

from tests.support.text_table import lines_of

_PROPERTY: Final = "attack"
_TITLES: Final = (
    "attack", "by", "quiet ms", "p50 ms", "p99 ms", "work p99", "longest", "failed", "peak MiB",
    "kept MiB", "cores", "held",
)  # fmt: skip
_MIB: Final = 1024 * 1024


@frozen
class Row:
    """What one attack cost."""

    attack: str
    party: str
    quiet_p50: float  # seconds that the victim waited before the attack
    p50: float
    p99: float
    worked_p99: float  # of a processor that the attacked loop had before it answered the victim
    worked_longest: float
    failed: int  # of the victim's questions
    asked: int
    growth_bytes: int
    kept_bytes: int
    cores: float


@frozen
class AdversaryReport:
    """Takes the rows of one test."""

    _node: pytest.Item

    def add(self, row: Row) -> None:
        """Keep a row for the table; it travels in the test's report."""
        self._node.user_properties.append((_PROPERTY, asdict(row)))


def table_of(reports: Iterable[pytest.TestReport]) -> list[str]:
    """Return the table's lines, of what passed and what failed; none if nothing ran."""
    return lines_of(_TITLES, _cells(reports))


def _cells(reports: Iterable[pytest.TestReport]) -> Iterator[tuple[str, ...]]:
    for report in reports:
        held = "FAILED" if report.failed else "yes"
        found = [value for name, value in report.user_properties if name == _PROPERTY]
        for row in found:
            yield (*_shown(row), held)
        if report.failed and not found:
            yield (report.nodeid.rpartition("::")[2], *[""] * (len(_TITLES) - 2), held)


def _shown(row: Any) -> tuple[str, ...]:
    return (
        row["attack"],
        row["party"],
        *(
            f"{row[name] * 1000:.1f}"
            for name in ("quiet_p50", "p50", "p99", "worked_p99", "worked_longest")
        ),
        f"{row['failed']} of {row['asked']}",
        *(f"{row[name] / _MIB:.0f}" for name in ("growth_bytes", "kept_bytes")),
        f"{row['cores']:.2f}",
    )
