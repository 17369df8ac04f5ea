"""Clients that are set up as the facade's README says pull an image, by the registry's own name.

The text is taken from there, with this test's names in the places of the examples.
"""

import asyncio
import contextlib
import hashlib
import shutil
import tomllib
from collections.abc import Iterator
from functools import partial

import aiohttp
import orjson
import pytest
from attrs import frozen

from deploy.dev import debian
from deploy.dev.device_ca import IssuedCertificate
from deploy.dev.image import Image
from deploy.dev.processes import Child, free_port, port_answers
from deploy.dev.registry import Registry
from tests.support.clients import (
    ClientFolder,
    buildah_pull,
    containerd,
    podman_pull,
    skopeo_copy,
)
from tests.support.documented import blocks, documented
from tests.support.facade_command import facade_command
from tests.support.facade_process import Facade
from tests.support.facade_states import push_behind
from tests.support.statement_writer import StatementWriter
from tests.support.warm.program import Finished
from tests.system.facade.test_real_clients import contents_of, verified_files

DEVICE_ROOT = "device"  # what a device has as /
CONFIGURED = "registries.conf"  # what podman's environment names
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
    digest = await push_behind(facade, writer, htpasswd_registry, robot_login, repository, image)
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


async def set_up_by_command(example: Example, folder: ClientFolder, client: str) -> Finished:
    """Run `facade device-config` for the device's folder as a root."""
    certificates = folder.certificates
    return await facade_command(
        {},
        *("device-config", "--client", client, "--root", str(folder.path / DEVICE_ROOT)),
        *("--facade", example.values["facade.example:8443"], "--ca", f"{certificates}/ca.crt"),
        *("--certificate", f"{certificates}/client.cert", "--key", f"{certificates}/client.key"),
        example.registry,
    )


async def removed_by_command(folder: ClientFolder, client: str) -> Finished:
    """Take it away again."""
    root = ("--root", str(folder.path / DEVICE_ROOT))
    return await facade_command({}, "device-config", "--client", client, *root, "--remove")


def left(folder: ClientFolder) -> list[str]:
    """Return the files below the root."""
    root = folder.path / DEVICE_ROOT
    return [str(each) for each in root.rglob("*") if not each.is_dir() or each.is_symlink()]


@pytest.mark.parametrize("client", ["skopeo", "podman", "buildah"])
async def test_podman_skopeo_and_buildah_as_the_command_sets_them_up(
    example: Example, folder: ClientFolder, image: Image, client: str
) -> None:
    """They find everything by themselves, and afterwards nothing is left."""
    named = "podman" if client == "buildah" else client  # whose files buildah reads
    finished = await set_up_by_command(example, folder, named)
    assert finished.status == 0, finished.words
    written = folder.path / DEVICE_ROOT / "etc" / "containers"
    home = folder.path / ".config" / "containers"
    (home / "certs.d").symlink_to(written / "certs.d")
    # A folder of its own: links to folders are not walked through. podman is told of a file alone.
    shutil.copytree(written / "registries.conf.d", home / "registries.conf.d")
    shutil.copy(written / "registries.conf.d" / "registry-facade.conf", folder.path / CONFIGURED)
    if client == "skopeo":
        layout = folder.path / "layout"
        await asyncio.to_thread(skopeo_copy, folder, example.name, layout, is_set_up=True)
        assert verified_files(layout / "blobs" / "sha256") == contents_of(image)
    else:
        pull = buildah_pull if client == "buildah" else partial(podman_pull, is_set_up=True)
        layers = await asyncio.to_thread(pull, folder, example.name)
        assert len(list(layers.iterdir())) == 1
    assert (await removed_by_command(folder, named)).status == 0
    assert left(folder) == []


async def test_containerd_as_the_command_sets_it_up(
    example: Example, folder: ClientFolder, image: Image
) -> None:
    """By the registry's own name, and by the facade's."""
    finished = await set_up_by_command(example, folder, "containerd")
    assert finished.status == 0, finished.words
    hosts = folder.path / DEVICE_ROOT / "etc" / "containerd" / "certs.d"
    facade = example.values["facade.example:8443"]
    with containerd(folder) as daemon:
        for host, name in (
            (example.registry, example.name),
            (facade, f"{facade}/{example.path_form}/{example.repository}@{example.digest}"),
        ):
            text = (hosts / host / "hosts.toml").read_text()
            await asyncio.to_thread(daemon.pull, name, hosts_toml=text)
        assert verified_files(daemon.content) == contents_of(image)
    assert (await removed_by_command(folder, "containerd")).status == 0
    assert left(folder) == []


async def test_a_set_up_that_is_not_ours_is_left_as_it_is(
    example: Example, folder: ClientFolder
) -> None:
    """Nothing is written then; what was edited since stays, and is told. A foreign record, too."""
    theirs = folder.path / DEVICE_ROOT / "etc" / "containers" / "registries.conf.d"
    theirs.mkdir(parents=True)
    (theirs / "registry-facade.conf").write_text("# theirs\n")
    refused = await set_up_by_command(example, folder, "podman")
    assert (refused.status, "nothing is written" in refused.words) == (1, True)
    assert left(folder) == [str(theirs / "registry-facade.conf")]
    (theirs / "registry-facade.conf").unlink()
    assert (await set_up_by_command(example, folder, "podman")).status == 0
    (theirs / "registry-facade.conf").write_text("# edited\n")
    kept = await removed_by_command(folder, "podman")
    assert (kept.status, "kept: it is not as it was written" in kept.output) == (1, True)
    assert (theirs / "registry-facade.conf").read_text() == "# edited\n"
    (record,) = (folder.path / DEVICE_ROOT / "var").rglob("*.json")
    record.write_bytes(b"\xff not ours")
    foreign = await removed_by_command(folder, "podman")
    assert (foreign.status, "no record of this command" in foreign.words) == (1, True)


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
    assert len([tomllib.loads(text) for text in blocks("toml")]) == 5
    [regctl] = [orjson.loads(text) for text in blocks("json") if "hosts" in text]
    assert regctl["hosts"].keys() == {"facade.example:8443"}
