"""Both images serve: a device pulls through containers that may write their volumes alone."""

import os
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from attrs import frozen

from deploy.dev.device import Reference, pull
from deploy.dev.device_ca import CertificateAuthority
from deploy.dev.image import Destination, Image, push
from deploy.dev.operator import Operator
from deploy.dev.podman import Container, Podman, options_of
from deploy.dev.postgres import Postgres
from deploy.dev.processes import free_port
from deploy.dev.product import is_ready
from deploy.dev.registry import Registry
from deploy.dev.stack import make_role
from tests.deploy.test_images import RESTRICTED, USER
from tests.support.eventually import eventually

DATABASE = "images"
CANARY = "images-canary-password"
VOLUMES = {
    "control-plane": {"images-plane-state": "/var/lib/registry-backends/control-plane"},
    "facade": {
        "images-facade-state": "/var/lib/registry-backends/facade",
        "images-facade-cache": "/var/cache/registry-backends/facade",
    },
}


@frozen
class Images:
    """How the images are run here: with files, and with no right."""

    podman: Podman
    references: Mapping[str, str]
    files: Path  # the user's of the images; /files in a container

    def options(self, name: str, settings: Mapping[str, str]) -> list[str]:
        """Return what a container of it is run with. Passwords are in files."""
        volumes = [f"--volume={volume}:{path}" for volume, path in VOLUMES[name].items()]
        files = f"--volume={self.files}:/files"
        return ["--network=host", *RESTRICTED, *volumes, files, *options_of(settings)]

    def run(self, name: str, *command: str, **settings: str) -> str:
        """Run a command of it; its standard output."""
        options = self.options(name, settings)
        return self.podman.run("run", "--rm", *options, self.references[name], *command)

    def serve(self, name: str, settings: Mapping[str, str]) -> Container:
        """Start it as it starts by itself."""
        options = self.options(name, settings)
        return self.podman.start(self.references[name], options=options)

    def write(self, name: str, content: bytes) -> str:
        """Write a file that nobody else reads; its path in a container."""
        path = self.files / name
        path.write_bytes(content)
        path.chmod(0o600)
        os.chown(path, USER, USER)
        return f"/files/{name}"


@pytest.fixture
def running(podman: Podman, images: Mapping[str, str], tmp_path: Path) -> Iterator[Images]:
    """With no volume left of a run before, nor after."""
    files = tmp_path / "files"
    files.mkdir(mode=0o700)
    os.chown(files, USER, USER)
    volumes = [volume for each in VOLUMES.values() for volume in each]
    podman.ask("volume", "rm", "--force", *volumes)
    yield Images(podman, images, files)
    podman.run("volume", "rm", "--force", *volumes)


def database_urls(images: Images, postgres: Postgres) -> dict[str, str]:
    """Make the database with an image, and one login for each process; return where its URL is."""
    make_role(postgres, "images_owner", CANARY, "CREATEROLE")
    postgres.create_database(DATABASE, "images_owner")
    owner = images.write("owner-url", postgres.url("images_owner", CANARY, DATABASE).encode())
    images.run("control-plane", "migrate", CONTROL_PLANE_MIGRATION_DATABASE_URL_FILE=owner)
    urls = {}
    for name in images.references:
        login = f"images_{name.replace('-', '_')}"
        make_role(postgres, login, CANARY, "CONNECTION LIMIT 20")
        postgres.sql(f"GRANT registry_{name.replace('-', '_')} TO {login}")
        url = postgres.url(login, CANARY, DATABASE)
        urls[name] = images.write(f"{name}-url", url.encode())
    return urls


async def test_a_device_pulls_through_both_images(
    running: Images,
    postgres: Postgres,
    registry: Registry,
    image: Image,
    server_ca: CertificateAuthority,
    device_ca: CertificateAuthority,
    tmp_path: Path,
) -> None:
    """From new keys to a verified pull, by commands of the images alone; both end in order."""
    running.run("control-plane", "keys", "--out", "/files/keys")
    urls = database_urls(running, postgres)
    issued, keys = server_ca.issue_server(), "/files/keys"
    admin, device_port, operations = (f"127.0.0.1:{free_port()}" for _ in range(3))
    of_operators = {
        "CONTROL_PLANE_DATABASE_URL_FILE": urls["control-plane"],
        "CONTROL_PLANE_STATEMENT_PRIVATE_KEY_FILE": f"{keys}/statement.private.pem",
    }
    plane = running.serve(
        "control-plane",
        {
            **of_operators,
            "CONTROL_PLANE_SEALING_PUBLIC_KEY_FILE": f"{keys}/sealing.public.pem",
            "CONTROL_PLANE_STATE_DIR": "/var/lib/registry-backends/control-plane",
            "CONTROL_PLANE_LISTEN": admin,
        },
    )
    facade = running.serve(
        "facade",
        {
            "FACADE_DATABASE_URL_FILE": urls["facade"],
            "FACADE_SEALING_PRIVATE_KEY_FILE": f"{keys}/sealing.private.pem",
            "FACADE_STATEMENT_PUBLIC_KEY_FILE": f"{keys}/statement.public.pem",
            "FACADE_TLS_CERT_FILE": running.write("tls.pem", issued.chain_pem),
            "FACADE_TLS_KEY_FILE": running.write("tls.key", issued.key_pem),
            "FACADE_DEVICE_CA_FILE": running.write("device-ca.pem", device_ca.pem),
            "FACADE_STATE_DIR": "/var/lib/registry-backends/facade",
            "FACADE_CACHE_DIR": "/var/cache/registry-backends/facade",
            "FACADE_CACHE_MAX_BYTES": "1GiB",
            "FACADE_ALLOW_LOOPBACK": "true",
            "FACADE_LISTEN": device_port,
            "FACADE_OPERATIONS_LISTEN": operations,
        },
    )
    with plane, facade:
        await eventually(lambda: is_ready(admin) and is_ready(operations))
        token = running.run(
            "control-plane", "operators", "add", "alice", "--role", "admin", **of_operators
        )
        connection = {"host": registry.host, "provider": "static", "plain_http": True}
        operator = Operator(f"http://{admin}", token.strip())
        view = await operator.connect_and_approve(connection)
        digest = await push(image, Destination(registry.url, "team/images"))
        device = device_ca.issue_device().write(tmp_path, "device")
        tls = ssl.create_default_context(cadata=server_ca.pem.decode())
        tls.load_cert_chain(device.certificate, device.key)
        url = f"https://localhost:{device_port.rpartition(':')[2]}"
        pulled = await pull(url, Reference(view["host"], "team/images", digest), tls)
        assert pulled.blobs == 2
        for container in (plane, facade):
            said = running.podman.run("inspect", container.name)
            assert CANARY not in said + container.log
            running.podman.run("stop", "--time=30", container.name)
            status = running.podman.run("inspect", "--format={{.State.ExitCode}}", container.name)
            assert status == "0"
