"""Faults produced for real: `make test` runs the fast part, `make faults` all, with a table."""

import pytest

from tests.faults.extent import ALL
from tests.faults.report import FaultReport, tables_of
from tests.system.facade.conftest import (  # noqa: F401 - the same facades
    bystander,
    facade,
    facade_database,
    facade_prefix,
    facade_settings,
    issued,
    new_database,
    own_database,
    own_writer,
    start_facade,
    upstream,
    writer,
)

LONG = "long: takes longer than `make test` may; `make faults` runs it"


def pytest_configure(config: pytest.Config) -> None:
    """Name the marker."""
    config.addinivalue_line("markers", LONG)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is long, and have pytest say how many."""
    left_out = [] if ALL else [item for item in items if item.get_closest_marker("long")]
    if left_out:
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=left_out)


@pytest.fixture
def fault_report(request: pytest.FixtureRequest) -> FaultReport:
    """Takes the test's rows of the table."""
    return FaultReport(request.node)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the tables, the failed tests' rows too."""
    reports = [
        report
        for outcome in ("passed", "failed", "error")
        for report in terminalreporter.stats.get(outcome, [])
        if "tests/faults/" in report.nodeid
    ]
    if lines := tables_of(reports):
        terminalreporter.section("faults")
        for line in lines:
            terminalreporter.line(line)
