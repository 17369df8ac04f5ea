"""A disk that fails for a facade which reads along with another one's download."""

import asyncio
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import pytest
from attrs import evolve, frozen

from deploy.dev.device_ca import IssuedCertificate
from tests.faults.disk_errors.failing_machine import (
    ARRIVING,
    AT_ONCE,
    CHECKSUMS,
    DEVICES,
    IN_CHECKSUMS,
    LENGTH,
    MAY_BE_CUT,
    FailingMachine,
    Failure,
)
from tests.faults.report import FaultReport
from tests.faults.store_machine import Machine
from tests.faults.stored_files import partials, sizes
from tests.support.eventually import eventually
from tests.support.facade_database import FacadeDatabase
from tests.support.facade_process import Facade
from tests.support.facade_states import connect, until_accepted
from tests.support.failing_disk.calls import Call
from tests.support.failing_disk.disk import FailingDisk
from tests.support.simulators.behaviour import Holds
from tests.support.simulators.registry import RegistrySimulator
from tests.support.statement_writer import StatementWriter

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def facade_prefix() -> tuple[str, ...]:
    """The one that downloads has a good disk."""
    return ()


@pytest.fixture(scope="module")
def follower(
    facade: Facade,
    facade_database: FacadeDatabase,
    facade_settings: Mapping[str, str],
    failing: FailingDisk,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Facade]:
    """Another facade on the same cache folder: the disk fails for this one."""
    folder = tmp_path_factory.mktemp("follower") / "facade"
    shutil.copytree(facade.files.folder, folder, ignore=shutil.ignore_patterns("state", "*.log"))
    files = evolve(facade.files, folder=folder)
    running = Facade.start(
        files, facade_database.facade_url, facade_settings, prefix=failing.prefix
    )
    yield running
    running.child.kill()


@frozen
class Following:
    """Whose download it is, and who reads along."""

    owner: Machine
    follower: FailingMachine


@pytest.fixture
async def following(
    facade: Facade,
    follower: Facade,
    writer: StatementWriter,
    issued: IssuedCertificate,
    upstream: RegistrySimulator,
    cache: Path,
    failing: FailingDisk,
) -> Following:
    """Both, before a registry of the test's own."""
    await until_accepted(follower, await connect(facade, writer, upstream))
    return Following(
        Machine(facade, facade.device(issued), upstream, cache),
        FailingMachine(follower, follower.device(issued), upstream, cache, failing),
    )


FOLLOWED: Final = {
    "read": Failure(Call.READ, ARRIVING),
    "read, once": Failure(Call.READ, ARRIVING, options={"times": 1}),
    "read, in the middle": Failure(
        Call.READ, ARRIVING, MAY_BE_CUT, options={"from_byte": LENGTH // 4}
    ),
    "open": Failure(Call.OPEN, ARRIVING),
    "read of its checksums": Failure(Call.READ, CHECKSUMS),
    "read of its checksums, in the middle": Failure(
        Call.READ, CHECKSUMS, MAY_BE_CUT, options={"from_byte": IN_CHECKSUMS // 2}
    ),
    "open of its checksums": Failure(Call.OPEN, CHECKSUMS),
    "open of what was said of it": Failure(Call.OPEN, "*/announcement"),
    "open of its proof": Failure(Call.OPEN, "*/proof", MAY_BE_CUT),
    "look at where it goes": Failure(Call.LOOK, "*/blobs/*"),
}


@pytest.mark.parametrize("what", FOLLOWED)
async def test_who_reads_along_outlives_it(
    following: Following, fault_report: FaultReport, what: str
) -> None:
    """The owner's devices notice nothing at all."""
    failure, content = FOLLOWED[what], os.urandom(LENGTH)
    holds = Holds(LENGTH // 2)
    digest = following.owner.upstream.blob(content, get=holds)
    owned = asyncio.create_task(following.owner.pull(digest))
    await eventually(lambda: sizes(partials(following.owner.cache)) >= LENGTH // 2)
    following.owner.upstream.blob(content, get=AT_ONCE)
    async with failure.on(following.follower.disk, digest) as faults:
        read_along = asyncio.create_task(following.follower.outcomes(digest, DEVICES))
        await eventually(lambda: bool(faults[0].struck))
        holds.gate.set()
        outcomes = await read_along
    await owned
    failure.judge(outcomes, digest)
    await following.follower.is_well(digest)
    await following.owner.pull(digest)
    fault_report.row(
        f"EIO for who reads another process's download: {what}",
        f"{failure.cut(outcomes)} of {DEVICES} answers reset, the others whole and right",
        "by itself",
    )
