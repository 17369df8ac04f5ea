"""A real Docker pulls through a facade, as `facade device-config` sets it up.

Docker shows no certificate to 127.0.0.0/8, so the facade has another address on the loopback of the
tests' own network. It takes root, and Debian's docker.io.
"""

import asyncio
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import pytest
from attrs import frozen

from deploy.dev.device_ca import CertificateAuthority, IssuedCertificate
from deploy.dev.image import Image
from deploy.dev.processes import free_port
from deploy.dev.registry import Registry
from tests.support.clients import ClientError, ClientFolder
from tests.support.docker_daemon import DockerDaemon
from tests.support.facade_command import facade_command
from tests.support.facade_process import Facade
from tests.support.facade_states import push_behind
from tests.support.statement_writer import StatementWriter
from tests.system.facade.conftest import (  # noqa: F401 - the same facade
    facade,
    facade_database,
    facade_prefix,
    issued,
    writer,
)

ADDRESS: Final = "192.0.2.1"  # RFC 5737: nobody's


@frozen
class Door:
    """Where the facade listens for Docker, and who vouches for that."""

    authority: CertificateAuthority
    address: str


@pytest.fixture(scope="module")
def door() -> Iterator[Door]:
    """Give the loopback of the tests' network an address that is not 127/8."""
    on_loopback = (f"{ADDRESS}/32", "dev", "lo")
    subprocess.run(["ip", "address", "add", *on_loopback], check=True)
    yield Door(CertificateAuthority.create("another server CA"), f"{ADDRESS}:{free_port()}")
    subprocess.run(["ip", "address", "del", *on_loopback], check=True)


@pytest.fixture(scope="module")
def facade_settings(door: Door, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """Have the facade listen there, with a certificate for it."""
    files = door.authority.issue_server(ips=(ADDRESS,)).write(tmp_path_factory.mktemp("tls"), "own")
    return {
        "FACADE_LISTEN": door.address,
        "FACADE_TLS_CERT_FILE": str(files.certificate),
        "FACADE_TLS_KEY_FILE": str(files.key),
    }


@pytest.fixture
def client(facade: Facade, door: Door, issued: IssuedCertificate) -> Iterator[ClientFolder]:  # noqa: F811
    """A device's certificate, and the CA of the other address."""
    with ClientFolder.make(facade.device(issued)) as folder:
        (folder.certificates / "ca.crt").write_bytes(door.authority.pem)
        yield folder


async def test_docker_as_the_command_sets_it_up(
    facade: Facade,  # noqa: F811 the fixture
    writer: StatementWriter,  # noqa: F811 the fixture
    door: Door,
    client: ClientFolder,
    htpasswd_registry: Registry,
    robot_login: dict[str, str],
    repository: str,
    image: Image,
) -> None:
    """By the facade's name; without what the command wrote it is let in no more."""
    host = htpasswd_registry.host
    digest = await push_behind(facade, writer, htpasswd_registry, robot_login, repository, image)
    name = f"{door.address}/{host.replace(':', '_')}/{repository}@{digest}"
    device = client.path / "device"
    set_up = ("device-config", "--client", "docker", "--root", str(device))
    own = client.certificates
    written = await facade_command(
        {},
        *(*set_up, "--facade", door.address, "--ca", f"{own}/ca.crt"),
        *("--certificate", f"{own}/client.cert", "--key", f"{own}/client.key", host),
    )
    assert written.status == 0, written.words
    with (
        tempfile.TemporaryDirectory(prefix="d-", dir="/tmp") as short,
        DockerDaemon.run(Path(short), device / "etc") as docker,
    ):
        await asyncio.to_thread(docker.pull, name)
        assert await asyncio.to_thread(docker.image_id, name) == image.config.digest
        docker.ask("image", "rm", "--force", name)
        assert (await facade_command({}, *set_up, "--remove")).status == 0
        assert [path for path in device.rglob("*") if path.is_symlink() or path.is_file()] == []
        with pytest.raises(ClientError, match="certificate"):
            await asyncio.to_thread(docker.pull, name)
