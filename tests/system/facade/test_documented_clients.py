"""Clients that are set up as the facade's README says pull an image, by the registry's own name.

The text is taken from there, with this test's names in the places of the examples.
"""

import asyncio
import contextlib
import hashlib
import tomllib
from collections.abc import Iterator

import aiohttp
import orjson
import pytest
from attrs import frozen

from deploy.dev import debian
from deploy.dev.device_ca import IssuedCertificate
from deploy.dev.image import Destination, Image, push
from deploy.dev.processes import Child, free_port, port_answers
from deploy.dev.registry import Registry
from tests.conftest import ROBOT, ROBOT_PASSWORD
from tests.support.clients import ClientFolder, containerd, podman_pull, skopeo_copy
from tests.support.documented import blocks, documented
from tests.support.facade_process import Facade
from tests.support.facade_states import write_and_wait
from tests.support.statement_writer import StatementWriter
from tests.system.facade.test_real_clients import contents_of, verified_files

NGINX = """\
daemon off;
pid "{folder}/nginx.pid";
error_log stderr;
events {{ }}
http {{
  access_log off;
  client_body_temp_path "{folder}/body";
  proxy_temp_path "{folder}/proxy";
  fastcgi_temp_path "{folder}/fastcgi";
  scgi_temp_path "{folder}/scgi";
  uwsgi_temp_path "{folder}/uwsgi";
  {documented}
}}
"""


@frozen
class Example:
    """An image in a connected registry, and the names of it all."""

    facade: Facade
    registry: str
    repository: str
    digest: str

    @property
    def values(self) -> dict[str, str]:
        """What stands in the places of the README's examples."""
        return {
            "facade.example:8443": f"localhost:{self.facade.port}",
            "registry.local_5000": self.path_form,
        }

    @property
    def path_form(self) -> str:
        """The registry's host, as it stands in a path."""
        return self.registry.replace(":", "_")

    @property
    def name(self) -> str:
        """The image by the registry's own name."""
        return f"{self.registry}/{self.repository}@{self.digest}"


@pytest.fixture
async def example(
    facade: Facade,
    writer: StatementWriter,
    htpasswd_registry: Registry,
    robot_login: dict[str, str],
    repository: str,
    image: Image,
) -> Example:
    """A pushed image; the registry itself wants a password that no client has."""
    host = htpasswd_registry.host
    approval = writer.approval(host, username=ROBOT, token=ROBOT_PASSWORD, plain_http=True)
    await write_and_wait(facade, writer, approval)
    digest = await push(image, Destination(htpasswd_registry.url, repository, robot_login))
    return Example(facade, host, repository, digest)


@pytest.fixture
def folder(facade: Facade, issued: IssuedCertificate) -> Iterator[ClientFolder]:
    """A client's folder, with a device's certificate."""
    with ClientFolder.make(facade.device(issued)) as folder:
        yield folder


async def test_containerd_as_documented(
    example: Example, folder: ClientFolder, image: Image
) -> None:
    """The registry's name stays; nothing is asked of the registry itself."""
    path = "/etc/containerd/certs.d/registry.local:5000/hosts.toml"
    values = {**example.values, "/etc/device": str(folder.certificates)}
    hosts_toml = documented(path, "toml", values)
    with containerd(folder) as daemon:
        await asyncio.to_thread(daemon.pull, example.name, hosts_toml=hosts_toml)
        assert verified_files(daemon.content) == contents_of(image)


@pytest.mark.parametrize("client", ["skopeo", "podman"])
async def test_podman_and_skopeo_as_documented(
    example: Example, folder: ClientFolder, image: Image, client: str
) -> None:
    """Certificates by the facade's name, images by the registry's."""
    path = "/etc/containers/registries.conf.d/facade.conf"
    values = {**example.values, "registry.local:5000": example.registry}
    folder.set_up(example.values["facade.example:8443"], documented(path, "toml", values))
    if client == "skopeo":
        layout = folder.path / "layout"
        await asyncio.to_thread(skopeo_copy, folder, example.name, layout, is_set_up=True)
        assert verified_files(layout / "blobs" / "sha256") == contents_of(image)
    else:
        layers = await asyncio.to_thread(podman_pull, folder, example.name, is_set_up=True)
        [unpacked] = layers.iterdir()
        assert (unpacked / "bin" / "busybox").exists()


async def test_nginx_shows_the_certificate_for_clients_that_cannot(
    example: Example, folder: ClientFolder, image: Image
) -> None:
    """A manifest and every blob, by plain HTTP on loopback."""
    with nginx(folder, example) as url:
        async with aiohttp.ClientSession() as session:
            for kind, content in [
                ("manifests", image.manifest),
                *(("blobs", blob) for blob in image.blobs),
            ]:
                path = f"{url}/v2/{example.path_form}/{example.repository}/{kind}/{content.digest}"
                async with session.get(path) as answer:
                    assert answer.status == 200
                    received = hashlib.sha256(await answer.read()).hexdigest()
                assert f"sha256:{received}" == content.digest


@contextlib.contextmanager
def nginx(folder: ClientFolder, example: Example) -> Iterator[str]:
    """Run nginx with the documented server; give its URL."""
    port = free_port()
    server = documented(
        "/etc/nginx/conf.d/facade.conf",
        "nginx",
        {
            "facade.example:8443": f"localhost:{example.facade.port}",
            "/etc/device": str(folder.certificates),
            "127.0.0.1:5000": f"127.0.0.1:{port}",
        },
    )
    configuration = folder.path / "nginx.conf"
    configuration.write_text(NGINX.format(folder=folder.path, documented=server))
    child = Child.start(
        [debian.program("nginx", "nginx"), "-p", folder.path, "-c", configuration, "-e", "stderr"],
        log=folder.path / "nginx.log",
        environment=folder.environment,
    )
    try:
        child.wait_until(lambda: port_answers(port))
        yield f"http://127.0.0.1:{port}"
    finally:
        child.stop()


def test_what_is_documented_can_be_read() -> None:
    """Also what no test here can run."""
    assert len([tomllib.loads(text) for text in blocks("toml")]) == 4
    [regctl] = [orjson.loads(text) for text in blocks("json") if "hosts" in text]
    assert regctl["hosts"].keys() == {"facade.example:8443"}
