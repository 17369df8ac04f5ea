"""A device pulls from registries as customers run them: the real one that Debian ships.

Plain HTTP and open, with a password file, and over TLS with a CA and a token server of its own:
each flag is in the connection that was approved.
"""

import ssl
from collections.abc import Mapping
from typing import Any

import aiohttp
import pytest
from attrs import frozen

from deploy.dev.device_ca import CertificateAuthority, IssuedCertificate
from deploy.dev.image import Destination, Image, push
from deploy.dev.registry import Registry
from deploy.dev.token_server import TokenServer
from shared.registry_host import RegistryHost
from tests.conftest import ROBOT, ROBOT_PASSWORD
from tests.support.facade_process import Device, Facade
from tests.support.facade_states import until_accepted
from tests.support.raw_http import raw_connection, request_bytes
from tests.support.statement_writer import StatementWriter
from tests.system.facade.pulls import WITHOUT_LIMITS

WARM_PULLS = 1000


@pytest.fixture(scope="module")
def facade_settings() -> Mapping[str, str]:
    """Without a store each pull asks the registry, more often than one device may."""
    return WITHOUT_LIMITS


@frozen
class OnPremises:
    """A registry with an image in it, connected."""

    device: Device
    registry: Registry
    repository: str
    image: Image

    def path(self, digest: str, kind: str) -> str:
        """Return the path that a device asks the facade for."""
        host = RegistryHost.parse(self.registry.host).path_form
        return f"/v2/{host}/{self.repository}/{kind}/{digest}"

    async def pull_image(self) -> None:
        """Pull the manifest and every blob, and see that they are what was pushed."""
        manifest = await self.device.get(self.path(self.image.digest, "manifests"))
        assert (manifest.status, manifest.body) == (200, self.image.manifest.body)
        for blob in self.image.blobs:
            answer = await self.device.get(self.path(blob.digest, "blobs"))
            assert (answer.status, answer.body) == (200, blob.body)

    async def pull_again(self) -> None:
        """Pull the manifest a thousand times on one connection."""
        request = request_bytes(self.path(self.image.digest, "manifests").encode())
        async with raw_connection(self.device) as connection:
            for _ in range(WARM_PULLS):
                await connection.send(request)
                assert (await connection.answer()).status == 200


def tell(title: str, minted: int) -> None:
    """Print the line of the closing note's table: `pytest -rP` shows it."""
    print(f"| {title} | real server | {minted} + 0 |")  # noqa: T201 - what it is for


class Connecting:
    """Approves registries of one facade."""

    def __init__(self, facade: Facade, writer: StatementWriter, device: Device) -> None:
        self._facade = facade
        self._writer = writer
        self._device = device

    async def __call__(
        self, registry: Registry, repository: str, image: Image, **fields: Any
    ) -> OnPremises:
        """Approve a registry; return once the facade knows."""
        await until_accepted(self._facade, await self._writer.approve(registry.host, **fields))
        return OnPremises(self._device, registry, repository, image)


@pytest.fixture
def connecting(facade: Facade, writer: StatementWriter, issued: IssuedCertificate) -> Connecting:
    """Connections of the module's facade."""
    return Connecting(facade, writer, facade.device(issued))


async def test_an_open_registry_on_plain_http(
    connecting: Connecting, registry: Registry, repository: str, image: Image
) -> None:
    """Nobody logs in, and nothing is encrypted: the connection says both."""
    await push(image, Destination(registry.url, repository))
    connected = await connecting(registry, repository, image, plain_http=True)
    await connected.pull_image()


async def test_a_registry_with_a_password_file(
    connecting: Connecting,
    htpasswd_registry: Registry,
    repository: str,
    image: Image,
    robot_login: dict[str, str],
) -> None:
    """Basic: the credential itself is what every request carries."""
    await push(image, Destination(htpasswd_registry.url, repository, robot_login))
    connected = await connecting(
        htpasswd_registry,
        repository,
        image,
        plain_http=True,
        username=ROBOT,
        token=ROBOT_PASSWORD,
    )
    await connected.pull_image()
    await connected.pull_again()
    tell("distribution 2.8, htpasswd", 0)


async def test_a_registry_with_a_ca_and_a_token_server_of_its_own(
    connecting: Connecting,
    token_registry: Registry,
    token_server: TokenServer,
    server_ca: CertificateAuthority,
    client_tls: ssl.SSLContext,
    repository: str,
    image: Image,
) -> None:
    """The realm is on another port: it is in `auth_realms`, which the approver saw."""
    pusher = {"Authorization": f"Bearer {token_server.mint(repository, 'pull', 'push')}"}
    await push(image, Destination(token_registry.url, repository, pusher, client_tls))
    connected = await connecting(
        token_registry,
        repository,
        image,
        username=ROBOT,
        token=ROBOT_PASSWORD,
        ca_certificate=server_ca.pem.decode(),
        auth_realms=(token_server.realm,),
    )
    await connected.pull_image()
    await connected.pull_again()
    [request] = token_server.requests
    assert request.scopes == (f"repository:{repository}:pull",)
    assert request.authorization == aiohttp.encode_basic_auth(ROBOT, ROBOT_PASSWORD)
    tell("distribution 2.8, token server", len(token_server.requests))
