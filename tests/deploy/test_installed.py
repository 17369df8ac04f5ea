"""The Debian packages on a clean Debian under real systemd, without a network.

The tests follow one another on one machine: what the first has set up, the others find.
"""

import asyncio
import hashlib
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from attrs import frozen

from deploy.dev.device import Reference, pull
from deploy.dev.device_ca import CertificateAuthority, CertificateFiles
from deploy.dev.image import Destination, Image, push, push_big_artifact
from deploy.dev.loopback import ask
from deploy.dev.operator import Operator
from deploy.dev.podman import Podman
from deploy.dev.postgres import Postgres
from deploy.dev.registry import Registry
from tests.deploy.installed_machine import (
    CANARY,
    CONTROL_PLANE_PORT,
    FACADE_PORT,
    OPERATIONS_PORT,
    UNITS,
    InstalledMachine,
)
from tests.deploy.release_files import Release
from tests.support.eventually import eventually

FACADE = f"https://localhost:{FACADE_PORT}"
BIG_BYTES = 96 * 1024 * 1024  # more than sockets on the way hold, so that a slow device is slow
MAX_EXPOSURE = "20"  # tenths
DATA = ("/var/lib/registry-backends/facade/", "/var/cache/registry-backends/facade/")
SECRETS = ("facade/sealing.private.pem", "control-plane/statement.private.pem")


@pytest.fixture(scope="module")
def machine(
    podman: Podman,
    release: Release,
    postgres: Postgres,
    server_ca: CertificateAuthority,
    device_ca: CertificateAuthority,
) -> Iterator[InstalledMachine]:
    """Installed and set up, with both units started: `enable --now` returns when they are."""
    with InstalledMachine.booted(podman, release, server_ca, device_ca) as machine:
        machine.install()
        assert not any(machine.tells(f"systemctl is-active {unit}") for unit in UNITS)
        machine.set_up(postgres)
        yield machine


@frozen
class Site:
    """A device of the machine's facade, and what was approved for it."""

    certificate: CertificateFiles
    server_ca: CertificateAuthority
    image: Reference
    big: Reference
    layer: str  # of the big one

    def tls(self) -> ssl.SSLContext:
        """How the device speaks TLS."""
        context = ssl.create_default_context(cadata=self.server_ca.pem.decode())
        context.load_cert_chain(self.certificate.certificate, self.certificate.key)
        return context

    async def pull(self) -> None:
        """Pull the small image, every byte of it verified."""
        await pull(FACADE, self.image, self.tls())

    async def served_certificate(self) -> bytes:
        """Return what a new connection is shown."""
        reader, writer = await asyncio.open_connection("localhost", FACADE_PORT, ssl=self.tls())
        shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.transport.abort()
        assert reader is not None
        return bytes(shown)

    @asynccontextmanager
    async def pulling_slowly(self) -> AsyncIterator[aiohttp.ClientResponse]:
        """Begin to pull the big blob; most of it is still to come."""
        url = f"{FACADE}/v2/{self.big.facade_path}/blobs/{self.layer}"
        async with (
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=self.tls())) as session,
            session.get(url) as answer,
        ):
            assert answer.status == 200
            yield answer


@pytest.fixture(scope="module")
def certificate(
    device_ca: CertificateAuthority, tmp_path_factory: pytest.TempPathFactory
) -> CertificateFiles:
    """Of a device."""
    return device_ca.issue_device().write(tmp_path_factory.mktemp("device"), "device")


@pytest.fixture(scope="module")
def approved(machine: InstalledMachine, registry: Registry) -> str:
    """The registry, connected and approved through the machine's control plane."""
    operator = Operator(f"http://127.0.0.1:{CONTROL_PLANE_PORT}", machine.token)
    connection = {"host": registry.host, "provider": "static", "plain_http": True}
    view = asyncio.run(operator.connect_and_approve(connection))
    return str(view["host"])


@pytest.fixture(scope="module")
def site(
    approved: str,
    registry: Registry,
    image: Image,
    certificate: CertificateFiles,
    server_ca: CertificateAuthority,
) -> Site:
    """One device, with a small image and a big blob in an approved registry."""
    digest = asyncio.run(push(image, Destination(registry.url, "team/small")))
    big = asyncio.run(push_big_artifact(Destination(registry.url, "team/big"), BIG_BYTES))
    layer = big.manifest.body.decode().split('"digest":"')[-1].split('"')[0]
    return Site(
        certificate,
        server_ca,
        Reference(approved, "team/small", digest),
        Reference(approved, "team/big", big.digest),
        layer,
    )


def show_all(machine: InstalledMachine, unit: str) -> str:
    """Return all that systemd says of a unit, and what the unit has logged."""
    return machine.run(f"systemctl show {unit}; journalctl --unit={unit} --no-pager")


def is_ready(machine: InstalledMachine, unit: str) -> bool:
    """Whether it runs, and has said that it is ready."""
    told = machine.show(unit, "StatusText")
    return machine.show(unit, "ActiveState") == "active" and told.startswith("ready")


async def becomes_ready(machine: InstalledMachine, unit: str, *, after: str = "0") -> None:
    """Wait for a process of the unit, another one than `after`, that is ready."""
    await eventually(lambda: machine.show(unit, "MainPID") not in {after, "0"})
    await eventually(lambda: is_ready(machine, unit))


async def test_a_device_pulls(machine: InstalledMachine, site: Site) -> None:
    """From the release's files alone; and systemd knows what `/readyz` says."""
    await site.pull()
    for unit in UNITS:
        await becomes_ready(machine, unit)
        assert machine.show(unit, "SubState") == "running"


def test_what_is_wrong_with_a_registry_can_be_asked(
    machine: InstalledMachine, approved: str
) -> None:
    """On the machine of a facade, by the lines of the page."""
    assert machine.type("export FACADE_DATABASE_URL_FILE", host=approved).strip() == "passed"


@pytest.mark.parametrize("unit", [*UNITS, "facade@8082"])
def test_a_unit_may_do_little(machine: InstalledMachine, unit: str) -> None:
    """`systemd-analyze security` is at most 2.0, and the unit has nothing that systemd ignores."""
    path = f"/lib/systemd/system/{unit.partition('@')[0]}{'@' * ('@' in unit)}.service"
    machine.run(f"systemd-analyze security --offline=true --threshold={MAX_EXPOSURE} {path}")
    said = machine.run(f"systemd-analyze verify --recursive-errors=no {unit}.service 2>&1")
    assert said == ""


def test_a_service_is_what_its_unit_says(machine: InstalledMachine) -> None:
    """Its own user, no capability, and no way to gain one."""
    for unit in UNITS:
        process = machine.show(unit, "MainPID")
        lines = machine.run(f"cat /proc/{process}/status").splitlines()
        status = {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
        user = machine.run(f"id --user registry-{unit}")
        assert set(status["Uid"].split()) == {user}
        assert {status[name] for name in ("CapEff", "CapPrm", "CapBnd", "CapAmb")} == {"0" * 16}
        assert status["NoNewPrivs"] == "1"
        assert status["Seccomp"] == "2"


def test_the_sandbox_hides_no_metric(machine: InstalledMachine) -> None:
    """Those of the process itself are read from /proc; alerts on restarts stand on them."""
    url = f"http://127.0.0.1:{OPERATIONS_PORT}/metrics"
    with ask(url) as answer:
        metrics = answer.read().decode()
    assert machine.show("facade", "MainPID") != "0"
    assert "\nprocess_start_time_seconds " in metrics
    assert "\nprocess_open_fds " in metrics


async def test_no_secret_is_told(machine: InstalledMachine, podman: Podman, site: Site) -> None:
    """Not by systemd, not in the log, not in the environment, and keys are root's alone."""
    await site.pull()
    for unit in UNITS:
        said = show_all(machine, unit)
        environment = machine.run(f"cat /proc/{machine.show(unit, 'MainPID')}/environ")
        assert "CREDENTIALS_DIRECTORY" in environment
        for told in (said, environment, podman.run("inspect", machine.container.name)):
            assert CANARY not in told
            assert "PRIVATE KEY" not in told
    for secret in SECRETS:
        told = machine.run(f"stat --format='%a %U' /etc/registry-backends/{secret}")
        assert told == "600 root"


async def test_a_reload_shows_another_certificate(machine: InstalledMachine, site: Site) -> None:
    """`systemctl reload`: the process stays, and systemd knows when the files were read."""
    before, process = await site.served_certificate(), machine.show("facade", "MainPID")
    machine.show_certificate()
    machine.systemctl("reload", *UNITS)
    assert machine.show("facade", "MainPID") == process

    async def is_another() -> bool:
        return await site.served_certificate() != before

    await eventually(is_another)
    for unit in UNITS:
        await becomes_ready(machine, unit)


async def test_a_killed_service_comes_back(machine: InstalledMachine, site: Site) -> None:
    """By itself, and with what it knew."""
    for unit in UNITS:
        process = machine.show(unit, "MainPID")
        machine.run(f"kill -KILL {process}")
        await becomes_ready(machine, unit, after=process)
        assert machine.show(unit, "NRestarts") == "1"
    await site.pull()


async def test_a_restart_waits_for_a_pull(machine: InstalledMachine, site: Site) -> None:
    """A device that is slow has its whole blob, from the process that was told to stop."""
    process = machine.show("facade", "MainPID")
    sha256 = hashlib.sha256()
    async with site.pulling_slowly() as answer:
        sha256.update(await answer.content.readexactly(1024 * 1024))
        restart = asyncio.create_task(asyncio.to_thread(machine.systemctl, "restart", "facade"))
        await eventually(lambda: machine.show("facade", "ActiveState") == "deactivating")
        sha256.update(await answer.content.readexactly(1024 * 1024))
        assert machine.show("facade", "MainPID") == process
        async for piece in answer.content.iter_chunked(1024 * 1024):
            sha256.update(piece)
    await restart
    assert f"sha256:{sha256.hexdigest()}" == site.layer
    assert machine.show("facade", "MainPID") != process
    await site.pull()


@pytest.mark.long
async def test_a_process_that_hangs_is_replaced(machine: InstalledMachine, site: Site) -> None:
    """No ping comes from an event loop that does not run."""
    folder = "/run/systemd/system/facade.service.d"
    machine.run(f"mkdir -p {folder}")
    dropped = b"[Service]\nWatchdogSec=3s\nTimeoutAbortSec=1s\n"
    machine.container.write(f"{folder}/soon.conf", dropped)
    machine.run("systemctl daemon-reload")
    machine.systemctl("restart", "facade")
    process = machine.show("facade", "MainPID")
    machine.run(f"kill -STOP {process}")
    await becomes_ready(machine, "facade", after=process)
    assert "watchdog" in machine.run("journalctl --unit=facade --no-pager").lower()
    machine.run(f"rm -r {folder} && systemctl daemon-reload")
    machine.systemctl("restart", "facade")
    await site.pull()


async def test_several_processes_share_address_and_cache(
    machine: InstalledMachine, site: Site
) -> None:
    """One of them is stopped while a device pulls; whoever comes is served by the other."""
    machine.systemctl("stop", "facade")
    machine.systemctl("start", "facade@8082", "facade@8083")
    try:
        await site.pull()
        states = machine.run("ls /var/lib/registry-backends")
        assert {"facade@8082", "facade@8083"} <= set(states.split())
        async with site.pulling_slowly() as answer:
            sha256 = hashlib.sha256(await answer.content.readexactly(1024 * 1024))
            stop = asyncio.create_task(asyncio.to_thread(machine.systemctl, "stop", "facade@8082"))
            async for piece in answer.content.iter_chunked(1024 * 1024):
                sha256.update(piece)
        await stop
        assert f"sha256:{sha256.hexdigest()}" == site.layer
        await site.pull()
        assert machine.tells("systemctl is-active facade@8083")
    finally:
        machine.systemctl("stop", "facade@8082", "facade@8083")
        machine.systemctl("start", "facade")


async def test_an_upgrade_keeps_configuration_and_state(
    machine: InstalledMachine, site: Site
) -> None:
    """And the processes run on what is installed then: those that ran are other ones."""
    settings = "cat /etc/registry-backends/facade.env"
    before, processes = machine.run(settings), [machine.show(unit, "MainPID") for unit in UNITS]
    machine.install()
    assert machine.run(settings) == before
    for unit, process in zip(UNITS, processes, strict=True):
        assert machine.show(unit, "MainPID") not in {process, "0"}
    await site.pull()


def test_a_removal_keeps_data(machine: InstalledMachine) -> None:
    """Even with a purge, which takes the default files alone."""
    packages = "registry-backends-facade registry-backends-control-plane registry-backends-common"
    machine.run(f"dpkg --remove {packages}")
    assert not any(machine.tells(f"systemctl is-active {unit}") for unit in UNITS)
    assert machine.tells("test -f /etc/registry-backends/facade.env")
    machine.run(f"dpkg --purge {packages}")
    assert not machine.tells("test -e /etc/registry-backends/facade.env")
    for secret in SECRETS:
        assert machine.tells(f"test -s /etc/registry-backends/{secret}")
    for folder in DATA:
        assert machine.run(f"ls {folder}") != ""
    assert not machine.tells("test -e /usr/lib/registry-backends/bin/facade")
