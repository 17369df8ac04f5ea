"""How cost grows. `make test` measures at small sizes, `make growth` at full size."""

import pytest

from tests.growth.measured import GROWTH, Growth
from tests.growth.report import table_of
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


@pytest.fixture
def growth(request: pytest.FixtureRequest) -> Growth:
    """Takes the test's points, and holds their growth to bounds."""
    return Growth(request.node)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table."""
    GROWTH.print_table(terminalreporter, "growth", table_of)
