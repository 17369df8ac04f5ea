"""How cost grows. `make test` measures at small sizes, `make growth` at full size."""

import os
from collections.abc import Generator
from typing import Final

import pytest

from tests.bench.process_cost import cpu_seconds
from tests.growth.measured import GROWTH, PROCESSOR, Growth
from tests.growth.report import processor_of, table_of
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

_BEGAN: Final = pytest.StashKey[float]()


@pytest.fixture
def growth(request: pytest.FixtureRequest) -> Growth:
    """Takes the test's points, and holds their growth to bounds."""
    return Growth(request.node)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Note what had been used before the test."""
    item.stash[_BEGAN] = _processor_seconds()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note what a test has used, with its fixtures and every process that it has started."""
    report = yield
    if call.when == "call":
        used = _processor_seconds() - item.stash[_BEGAN]
        report.user_properties.append((PROCESSOR, used))
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the tables; that of processors is of `make growth` alone."""
    GROWTH.print_table(terminalreporter, "growth", table_of)
    if GROWTH.runs_all:
        GROWTH.print_table(terminalreporter, "seconds of processor", processor_of)


def _processor_seconds() -> float:
    while True:
        try:
            return cpu_seconds([os.getpid()])
        except (FileNotFoundError, ProcessLookupError):  # one has just ended: look again
            continue
