"""Everything that a measure stands on: one registry, the servers before it, devices, generators."""

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


@frozen
class Scene:
    """What runs, while it runs."""

    upstream: Upstream
    contenders: tuple[Contender, ...]  # the facade first
    facades: Facades
    devices: Devices
    generators: Generators
    server_ca: Path
    say: Callable[[str], None]

    def target(self, contender: Contender) -> Target:
        """Return where devices find a server."""
        return Target(contender.port, str(self.server_ca))


@contextmanager
def running(say: Callable[[str], None]) -> Iterator[Scene]:
    """Start everything in a new folder under .dev/bench; stop and remove it at the end."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="run-", dir=FOLDER))
    try:
        with ExitStack() as stack:
            yield _start(folder, stack, say)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


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
    for contender in contenders:
        say(f"{contender.name}: process {contender.pids[0]}, port {contender.port}")
    return Scene(
        upstream,
        contenders,
        facades,
        Devices(files.device_ca, folder / "devices"),
        Generators(folder),
        files.folder / "server-ca.pem",
        say,
    )
