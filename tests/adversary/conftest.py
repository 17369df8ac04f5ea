"""Attacks at full size. `make test` runs what is not marked `attack`; `make adversary` runs all."""

import pytest

from tests.adversary.guards import BOUNDS, CHECK, NOTHING
from tests.adversary.report import AdversaryReport, table_of
from tests.adversary.watch import Watch
from tests.support.suite import Suite

ADVERSARY = Suite("adversary", marker="attack")
ATTACK = "attack: at full size, with a victim whose waiting is measured; `make adversary` runs it"

ROWS = pytest.StashKey[list[pytest.Item]]()


def pytest_configure(config: pytest.Config) -> None:
    """Name the markers."""
    for marker in (ATTACK, BOUNDS, CHECK, NOTHING):
        config.addinivalue_line("markers", marker)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out attacks; a test of the suite itself looks at them."""
    config.stash[ROWS] = [item for item in items if item.get_closest_marker(ADVERSARY.marker)]
    ADVERSARY.leave_out(config, items)


@pytest.fixture
def rows(request: pytest.FixtureRequest) -> list[pytest.Item]:
    """All attacks that were collected, also where they are left out."""
    return request.config.stash[ROWS]


@pytest.fixture
def watch(request: pytest.FixtureRequest) -> Watch:
    """Watch an attack, hold its bounds, and write its row."""
    return Watch(AdversaryReport(request.node))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table."""
    ADVERSARY.print_table(terminalreporter, "attacks", table_of)
