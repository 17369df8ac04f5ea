"""Faults produced for real: `make test` runs the fast part, `make faults` all, with a table."""

import pytest

from tests.faults.extent import FAULTS
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
    """Leave out what is long."""
    FAULTS.leave_out(config, items)


@pytest.fixture
def fault_report(request: pytest.FixtureRequest) -> FaultReport:
    """Takes the test's rows of the table."""
    return FaultReport(request.node)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the tables."""
    FAULTS.print_table(terminalreporter, "faults", tables_of)
