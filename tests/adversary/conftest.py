"""Attacks at full size. `make test` runs what is not marked `attack`; `make adversary` runs all."""

import pytest

from tests.adversary.extent import ALL
from tests.adversary.report import AdversaryReport, table_of
from tests.adversary.watch import Watch

ATTACK = "attack: at full size, with a victim whose waiting is measured; `make adversary` runs it"


def pytest_configure(config: pytest.Config) -> None:
    """Name the marker."""
    config.addinivalue_line("markers", ATTACK)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out attacks, and have pytest say how many."""
    left_out = [] if ALL else [item for item in items if item.get_closest_marker("attack")]
    if left_out:
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=left_out)


@pytest.fixture
def watch(request: pytest.FixtureRequest) -> Watch:
    """Watch an attack, hold its bounds, and write its row."""
    return Watch(AdversaryReport(request.node))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table, the failed attacks' rows too."""
    reports = [
        report
        for outcome in ("passed", "failed", "error")
        for report in terminalreporter.stats.get(outcome, [])
        if "tests/adversary/" in report.nodeid and report.when == "call"
    ]
    if lines := table_of(reports):
        terminalreporter.section("attacks")
        for line in lines:
            terminalreporter.line(line)
