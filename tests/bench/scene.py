"""Everything that a measure stands on: one registry, the servers before it, devices, generators."""

import fcntl
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from attrs import frozen

from deploy.dev.debian import DEV
from deploy.dev.device_ca import CertificateFiles
from deploy.dev.postgres import Postgres
from deploy.dev.registry import Htpasswd, Registry
from tests.bench import mutual_tls
from tests.bench.contenders.contender import Contender
from tests.bench.contenders.distribution import distribution
from tests.bench.contenders.facade import Facades, facade
from tests.bench.contenders.nginx import nginx
from tests.bench.devices import Devices
from tests.bench.generators import Generators
from tests.bench.load.jobs import Target
from tests.bench.upstream import AUTHORIZATION, PASSWORD, USERNAME, Upstream
from tests.support.facade_database import DatabaseTemplate
from tests.support.facade_process import FacadeFiles
from tests.support.statement_writer import StatementWriter

FOLDER = DEV / "bench"
RUN_PREFIX = "run-"


@frozen
class Scene:
    """What runs, while it runs."""

    folder: Path
    upstream: Upstream
    contenders: tuple[Contender, ...]  # the facade first
    facades: Facades
    devices: Devices
    generators: Generators
    server: CertificateFiles
    server_ca: Path
    device_ca: Path
    say: Callable[[str], None]

    def target(self, contender: Contender) -> Target:
        """Return where devices find a server."""
        return Target(contender.port, str(self.server_ca))


@contextmanager
def running(say: Callable[[str], None]) -> Iterator[Scene]:
    """Start everything in a new folder under .dev/bench; stop and remove it at the end."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    _remove_what_was_left()
    folder = Path(tempfile.mkdtemp(prefix=RUN_PREFIX, dir=FOLDER))
    try:
        with _locked(folder) as is_ours, ExitStack() as stack:
            assert is_ours
            yield _start(folder, stack, say)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _remove_what_was_left() -> None:
    """Remove the folders, of many GiB, of runs that were killed."""
    for folder in FOLDER.glob(f"{RUN_PREFIX}*"):
        with _locked(folder) as is_ours:
            if is_ours:
                shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _locked(folder: Path) -> Iterator[bool]:
    """Tell whether the folder is locked for us now; the kernel lets go of it when we die."""
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def _start(folder: Path, stack: ExitStack, say: Callable[[str], None]) -> Scene:
    authentication = Htpasswd({USERNAME: PASSWORD})
    registry = Registry(folder / "registry", authentication=authentication)
    upstream = Upstream(stack.enter_context(registry))
    postgres = stack.enter_context(Postgres(folder / "postgres"))
    database = DatabaseTemplate.make(postgres).copy()
    writer = StatementWriter(database.owner_url)
    files = FacadeFiles.write(
        folder / "facade",
        statement_public_pem=writer.statement_public_pem,
        sealing_private_pem=writer.sealing_private_pem,
    )
    server = CertificateFiles(files.folder / "server.pem", files.folder / "server.key")
    device_ca = files.folder / "device-ca.pem"
    facades = Facades.start(files, database, writer, upstream.host)
    contenders = (
        stack.enter_context(facade(facades, upstream.host)),
        stack.enter_context(
            nginx(
                folder / "nginx",
                upstream=upstream.host,
                authorization=AUTHORIZATION,
                server=server,
                device_ca=device_ca,
            )
        ),
        stack.enter_context(
            distribution(
                folder / "distribution",
                upstream_url=upstream.url_with_login,
                server=server,
                device_ca=device_ca,
            )
        ),
    )
    server_ca = files.folder / "server-ca.pem"
    for contender in contenders:
        mutual_tls.require(contender, server_ca)
        say(f"{contender.name}: process {contender.pids[0]}, port {contender.port}")
    return Scene(
        folder,
        upstream,
        contenders,
        facades,
        Devices(files.device_ca, folder / "devices"),
        Generators(folder),
        server,
        server_ca,
        device_ca,
        say,
    )
