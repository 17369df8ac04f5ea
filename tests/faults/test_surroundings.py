"""What a facade stands on fails: its state folder, the name service, the clock."""

import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from deploy.dev import debian
from tests.faults.report import FaultReport
from tests.support.eventually import eventually
from tests.support.facade_database import FacadeDatabase
from tests.support.facade_process import Facade, FacadeFiles
from tests.support.facade_states import connect, pull_path, write_and_wait
from tests.support.mounts import small_disk
from tests.support.retrying_device import RetryingDevice
from tests.support.simulators.registry import RegistrySimulator
from tests.support.statement_writer import StatementWriter
from tests.support.tcp_proxy import TcpProxy
from tests.system.facade.conftest import StartFacade

CONTENT: Final = random.Random(10).randbytes(500_000)  # noqa: S311 - any bytes will do
NOWHERE: Final = "postgresql://nobody:nothing@127.0.0.1:1/none"
DISK_BYTES: Final = 1024 * 1024
NAME: Final = "registry.test"
QUICK_POLL: Final = {"FACADE_POLL_INTERVAL": "500ms"}


@pytest.fixture
def small_state(tmp_path: Path) -> Iterator[Path]:
    """A state folder on a small file system of its own."""
    with small_disk(tmp_path / "state", DISK_BYTES) as folder:
        yield folder


def says(facade: Facade, words: str) -> bool:
    """Tell whether `/readyz` says these words."""
    return words in facade.operations("/readyz")[1]


def fill_up(file: Path) -> None:
    """Write a file until there is no room for another byte."""
    with pytest.raises(OSError, match="No space left"):
        _write_for_ever(file)


def _write_for_ever(file: Path) -> None:
    with file.open("wb", buffering=0) as full:
        while full.write(bytes(4096)):
            pass


@pytest.mark.long
async def test_a_full_state_folder(
    own_database: FacadeDatabase,
    own_writer: StatementWriter,
    start_facade: StartFacade,
    upstream: RegistrySimulator,
    small_state: Path,
    fault_report: FaultReport,
) -> None:
    """Served from memory; a revocation that could not be written is, once there is room.

    Else a restart without Postgres would serve what was revoked.
    """
    settings = {**QUICK_POLL, "FACADE_STATE_DIR": str(small_state)}
    facade = start_facade(own_writer, own_database.facade_url, settings)
    approval = await connect(facade, own_writer, upstream)
    kept = pull_path(upstream, upstream.blob(CONTENT))
    revoked = own_writer.approval("revoked.example")
    await write_and_wait(facade, own_writer, revoked)
    filling = small_state / "filling"
    fill_up(filling)
    for _ in range(300):  # what is allocated to the log of the database is used up
        await own_writer.write(own_writer.revocation(revoked.connection_id))
        if says(facade, "the state folder cannot be written"):
            break
    await eventually(lambda: says(facade, "the state folder cannot be written"))
    assert facade.operations("/readyz")[0] == 200
    assert 'facade_problem{part="state_folder"} 1.0' in facade.operations("/metrics")[1]
    await own_writer.revoke(approval.connection_id)
    device = facade.device()

    async def is_refused() -> bool:
        return (await device.get(kept)).status == 404

    await eventually(is_refused)
    filling.unlink()
    began = time.monotonic()
    await eventually(lambda: not says(facade, "the state folder"))
    seconds = time.monotonic() - began
    facade.child.kill()
    facade.environment["FACADE_DATABASE_URL"] = NOWHERE
    facade.restart()
    assert await is_refused()
    fault_report.row(
        "state folder full while a connection is revoked",
        "revoked at once, also after a restart without Postgres",
        f"written {seconds:.1f} s behind it",
    )


@pytest.mark.long
async def test_a_name_that_does_not_resolve(
    own_database: FacadeDatabase,
    own_writer: StatementWriter,
    upstream: RegistrySimulator,
    fault_report: FaultReport,
    tmp_path: Path,
) -> None:
    """The system's resolver, in a mount namespace with a hosts file of the test's own."""
    hosts, no_servers = tmp_path / "hosts", tmp_path / "resolv.conf"
    hosts.write_text(f"127.0.0.1 localhost {NAME}\n")
    no_servers.write_text("nameserver 127.0.0.1\n")  # where nobody answers
    mounts = f"mount --bind {hosts} /etc/hosts && mount --bind {no_servers} /etc/resolv.conf"
    files = FacadeFiles.write(
        tmp_path / "facade",
        statement_public_pem=own_writer.statement_public_pem,
        sealing_private_pem=own_writer.sealing_private_pem,
    )
    prefix = ("unshare", "--mount", "/bin/sh", "-c", f'{mounts} && exec "$@"', "sh")
    facade = Facade.start(files, own_database.facade_url, prefix=prefix)
    try:
        with TcpProxy(upstream.port) as link:
            host = f"{NAME}:{link.port}"
            approval = own_writer.approval(
                host, username="robot", token="canary-7d1f0b9e-never-anywhere", plain_http=True
            )
            await write_and_wait(facade, own_writer, approval)
            first, second = upstream.blob(CONTENT), upstream.blob(CONTENT[1:])
            device = facade.device()
            base = f"/v2/{NAME}_{link.port}/team/app/blobs"
            assert (await device.get(f"{base}/{first}")).body == CONTENT
            hosts.write_text("127.0.0.1 localhost\n")
            link.reset()
            answer = await device.get(f"{base}/{second}")
            assert (answer.status, answer.error_code) == (503, "UNAVAILABLE")
            assert facade.operations("/readyz")[0] == 200
            hosts.write_text(f"127.0.0.1 localhost {NAME}\n")
            began = time.monotonic()
            pull = await RetryingDevice(device).pull(f"{base}/{second}", second)
            assert pull.content == CONTENT[1:]
    finally:
        facade.child.kill()
    fault_report.row(
        "the registry's name does not resolve",
        f"503; then {pull}",
        f"served {time.monotonic() - began:.1f} s behind it",
    )


def libfaketime() -> Path:
    """Return the library that shows a process another time."""
    found = list(debian.UNPACKED.glob("libfaketime/usr/lib/*/faketime/libfaketimeMT.so.1"))
    if not found:
        debian.unpack(["libfaketime"])
        found = list(debian.UNPACKED.glob("libfaketime/usr/lib/*/faketime/libfaketimeMT.so.1"))
    return found[0]


class Clock:
    """The wall clock of one facade, set at will; its monotonic clock goes on as it does."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "faketime"
        self.set("+0")

    def set(self, offset: str) -> None:
        """Move it, as `+25h` or `-1h` of the real time."""
        unfinished = self._file.with_suffix(".new")
        unfinished.write_text(f"{offset}\n")
        unfinished.rename(self._file)

    @property
    def environment(self) -> dict[str, str]:
        """What shows it to a process."""
        return {
            "LD_PRELOAD": str(libfaketime()),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }


@pytest.mark.long
async def test_a_clock_that_jumps(
    own_database: FacadeDatabase,
    own_writer: StatementWriter,
    start_facade: StartFacade,
    upstream: RegistrySimulator,
    fault_report: FaultReport,
    tmp_path: Path,
) -> None:
    """While it runs nothing depends on it; over a restart, what cannot be told fails closed."""
    clock = Clock(tmp_path)
    facade = start_facade(own_writer, own_database.facade_url, clock.environment)
    await connect(facade, own_writer, upstream)
    device = facade.device()
    seen = []
    for offset in ("+3h", "-3m", "+0"):
        clock.set(offset)
        digest = upstream.blob(CONTENT + offset.encode())
        pull = await RetryingDevice(device).pull(pull_path(upstream, digest), digest)
        seen.append(f"{offset}: {pull}")
        assert facade.operations("/readyz")[0] == 200
    path = pull_path(upstream, upstream.blob(CONTENT))
    facade.environment["FACADE_DATABASE_URL"] = NOWHERE
    for offset, status in (("+25h", 503), ("-1h", 503), ("+1h", 200)):
        facade.child.kill()
        clock.set(offset)
        facade.restart(wait=False)
        await eventually(facade.listens, seconds=30)
        assert facade.operations("/readyz")[0] == status
        if status == 200:
            assert (await device.get(path)).body == CONTENT
        seen.append(f"restart at {offset} without Postgres: {status}")
    facade.child.kill()
    clock.set("-4m")
    facade.environment["FACADE_DATABASE_URL"] = own_database.facade_url
    facade.restart()
    assert (await device.get(path)).body == CONTENT
    fault_report.row("the clock jumps", "; ".join(seen), "with Postgres, or with the clock")
