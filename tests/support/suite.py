"""A suite: `make test` runs a part of it, and a target of its own runs all and prints a table.

The target sets the variable that bears the suite's name (`FAULTS=all`). A suite whose `marker` is
not empty leaves the tests that bear it out of `make test`; `extent` gives an amount for each run.

Tests that are left out must still be able to be set up: a missing fixture fails `make test` too.
"""

import os
from collections.abc import Callable, Iterable
from typing import TypeVar

import pytest
from attrs import field, frozen

Amount = TypeVar("Amount")
Table = Callable[[Iterable[pytest.TestReport]], list[str]]


@frozen
class Suite:
    """One folder of `tests/`."""

    name: str  # of the folder, of the target, and in capitals of the variable
    marker: str = ""  # of the tests that only the target runs
    runs_all: bool = field(init=False)

    @runs_all.default
    def _read_variable(self) -> bool:
        return os.environ.get(self.name.upper()) == "all"

    def extent(self, fast: Amount, everything: Amount) -> Amount:
        """Return how much of something this run takes."""
        return everything if self.runs_all else fast

    def leave_out(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Leave out what bears the marker unless all is run, and have pytest say how many."""
        if self.runs_all:
            return
        left_out = [item for item in items if item.get_closest_marker(self.marker)]
        if unmade := sorted(set().union(*map(_fixtures_that_nobody_makes, left_out))):
            raise pytest.UsageError(
                f"tests of `make {self.name}` take fixtures that nobody makes: {unmade}"
            )
        if left_out:
            items[:] = [item for item in items if item not in left_out]
            config.hook.pytest_deselected(items=left_out)

    def print_table(self, terminal: pytest.TerminalReporter, title: str, table: Table) -> None:
        """Print what `table` makes of the suite's reports, those of failed tests too."""
        reports = [
            report
            for outcome in ("passed", "failed", "error")
            for report in terminal.stats.get(outcome, [])
            if report.nodeid.startswith(f"tests/{self.name}/")
        ]
        if lines := table(reports):
            terminal.section(title)
            for line in lines:
                terminal.line(line)


def _fixtures_that_nobody_makes(item: pytest.Item) -> set[str]:
    """Return the names that a test and its fixtures ask for in vain, as its setup would find."""
    found = getattr(item, "_fixtureinfo", None)  # pytest's own; it has no other word for it
    assert found is not None, item
    names: set[str] = set(found.names_closure)
    missing: set[str] = names - found.name2fixturedefs.keys() - {"request"}
    return missing
