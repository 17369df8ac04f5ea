"""A facade whose disk fails when a test says so, shared by each file's tests."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from deploy.dev.device_ca import IssuedCertificate
from tests.faults.disk_errors.failing_machine import FailingMachine
from tests.support.facade_process import Facade
from tests.support.facade_states import connect
from tests.support.failing_disk.disk import FailingDisk, failing_disk
from tests.support.simulators.registry import RegistrySimulator
from tests.support.statement_writer import StatementWriter


@pytest.fixture(scope="module")
def failing() -> Iterator[FailingDisk]:
    """A disk that fails when it is told to, for the module's facade: it takes its prefix."""
    with failing_disk() as disk:
        yield disk


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The module's cache folder."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def facade_prefix(failing: FailingDisk) -> tuple[str, ...]:
    """The module's facade runs on a disk that fails."""
    return failing.prefix


@pytest.fixture(scope="module")
def facade_settings(cache: Path) -> Mapping[str, str]:
    """The module's facade keeps everything."""
    return {"FACADE_CACHE_DIR": str(cache), "FACADE_CACHE_MAX_BYTES": "1GiB"}


@pytest.fixture
async def machine(
    facade: Facade,
    writer: StatementWriter,
    issued: IssuedCertificate,
    upstream: RegistrySimulator,
    cache: Path,
    failing: FailingDisk,
) -> FailingMachine:
    """The module's facade, before a registry of the test's own."""
    await connect(facade, writer, upstream)
    return FailingMachine(facade, facade.device(issued), upstream, cache, failing)
