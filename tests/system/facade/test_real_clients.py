"""skopeo, podman and containerd pull by digest through the facade, over mutual TLS.

From a registry with Basic authentication, and from one over TLS with tokens; both have a port in
their name. What landed is hashed anew.
"""

import asyncio
import hashlib
import platform
import secrets
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import attrs
import orjson
import pytest
from attrs import field, frozen

from deploy.dev import debian
from deploy.dev.device import Reference
from deploy.dev.device_ca import CertificateAuthority, IssuedCertificate
from deploy.dev.image import (
    ARCHITECTURES,
    Content,
    Destination,
    Image,
    ImageIndex,
    make_image,
    make_index,
    push,
)
from deploy.dev.registry import Registry
from deploy.dev.token_server import TokenServer
from shared.oci import Digest
from shared.upstream.referrers import referrers_tag
from tests.conftest import ROBOT, ROBOT_PASSWORD
from tests.support.clients import (
    ClientFolder,
    Containerd,
    containerd,
    podman_pull,
    skopeo_copy,
)
from tests.support.facade_process import Facade
from tests.support.facade_states import connect, write_and_wait
from tests.support.referrers import SBOM
from tests.support.simulators.behaviour import Answers, NoLength, TypedAs
from tests.support.simulators.registry import RegistrySimulator
from tests.support.statement_writer import StatementWriter

OWN_ARCHITECTURE = ARCHITECTURES[platform.machine()]
OTHER_ARCHITECTURE = "s390x"


@frozen
class Source:
    """A connected registry, and how to push into it."""

    facade: Facade
    to: Destination = field(repr=False)
    host: str

    async def push(self, image: Image | ImageIndex) -> str:
        """Push; return how a client names the image at the facade."""
        digest = await push(image, self.to)
        path = Reference(self.host, self.to.repository, digest).facade_path
        return f"localhost:{self.facade.port}/{path}@{digest}"


@pytest.fixture
def destinations(
    htpasswd_registry: Registry,
    robot_login: dict[str, str],
    token_registry: Registry,
    token_server: TokenServer,
    client_tls: ssl.SSLContext,
    repository: str,
) -> dict[str, Destination]:
    """Where to push, by the registry's authentication."""
    token = {"Authorization": f"Bearer {token_server.mint(repository, 'pull', 'push')}"}
    return {
        "htpasswd": Destination(htpasswd_registry.url, repository, robot_login),
        "token": Destination(token_registry.url, repository, token, client_tls),
    }


@pytest.fixture(params=["htpasswd", "token"])
async def source(
    request: pytest.FixtureRequest,
    destinations: dict[str, Destination],
    facade: Facade,
    writer: StatementWriter,
    token_server: TokenServer,
    server_ca: CertificateAuthority,
) -> Source:
    """A connected registry."""
    kind: Literal["htpasswd", "token"] = request.param
    host = destinations[kind].registry_url.partition("://")[2]
    over_tls = {"auth_realms": (token_server.realm,), "ca_certificate": server_ca.pem.decode()}
    approved: dict[str, Any] = {"plain_http": True} if kind == "htpasswd" else over_tls
    approved["referrers"] = True
    approval = writer.approval(host, username=ROBOT, token=ROBOT_PASSWORD, **approved)
    await write_and_wait(facade, writer, approval)
    return Source(facade, destinations[kind], host)


@pytest.fixture
def folder(facade: Facade, issued: IssuedCertificate) -> Iterator[ClientFolder]:
    """A client's folder, with a device's certificate."""
    with ClientFolder.make(facade.device(issued)) as folder:
        yield folder


@pytest.fixture
def index(image: Image) -> ImageIndex:
    """An index of this machine's platform and another."""
    other = make_image({"bin/other": b"for another machine"}, architecture=OTHER_ARCHITECTURE)
    return make_index([image, other])


def names(*contents: Content) -> set[str]:
    """Return the names of files that hold these contents."""
    return {content.digest.removeprefix("sha256:") for content in contents}


def contents_of(image: Image) -> set[str]:
    """Return the names of files that hold an image."""
    return names(image.manifest, *image.blobs)


def verified_files(folder: Path) -> set[str]:
    """Return the names of a folder's files, each of which is the hash of what it holds."""
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    for name, content in files.items():
        assert hashlib.sha256(content).hexdigest() == name
    return set(files)


async def test_skopeo_copies_an_image(source: Source, folder: ClientFolder, image: Image) -> None:
    """Every byte is there."""
    name, layout = await source.push(image), folder.path / "layout"
    await asyncio.to_thread(skopeo_copy, folder, name, layout, every_platform=False)
    assert verified_files(layout / "blobs" / "sha256") == contents_of(image)


async def test_skopeo_copies_an_index_with_all_platforms(
    source: Source, folder: ClientFolder, index: ImageIndex
) -> None:
    """The index, and both images behind it."""
    name, layout = await source.push(index), folder.path / "layout"
    await asyncio.to_thread(skopeo_copy, folder, name, layout, every_platform=True)
    expected = names(index.manifest).union(*map(contents_of, index.images))
    assert verified_files(layout / "blobs" / "sha256") == expected


async def test_what_refers_to_an_image_is_found_and_copied(
    source: Source, folder: ClientFolder, image: Image, issued: IssuedCertificate
) -> None:
    """This registry has no route for it, so clients keep the list under a tag, as here."""
    name = await source.push(image)
    other = make_image({"report": secrets.token_bytes(16)})
    said = {"artifactType": SBOM, "subject": image.manifest.descriptor}
    manifest = attrs.evolve(
        other.manifest, body=orjson.dumps(orjson.loads(other.manifest.body) | said)
    )
    report = attrs.evolve(other, manifest=manifest)
    tag = referrers_tag(Digest.parse(image.digest))
    await push(make_index([report]), source.to, tag=tag)
    path = f"/v2/{name.partition('/')[2].partition('@')[0]}/referrers/{image.digest}"
    answer = await source.facade.device(issued).get(f"{path}?artifactType={SBOM}")
    assert answer.status == 200, answer.body
    (found,) = orjson.loads(answer.body)["manifests"]
    assert found == {**report.manifest.descriptor, "artifactType": SBOM}
    layout, listed = folder.path / "layout", name.replace(image.digest, found["digest"])
    await asyncio.to_thread(skopeo_copy, folder, listed, layout, every_platform=False)
    assert verified_files(layout / "blobs" / "sha256") == contents_of(report)


@pytest.mark.parametrize("pulled", ["image", "index"])
async def test_podman_pulls_and_unpacks(
    pulled: str, source: Source, folder: ClientFolder, image: Image, index: ImageIndex
) -> None:
    """An image, and of an index this machine's: the program is in the layer, byte for byte."""
    name = await source.push(image if pulled == "image" else index)
    layers = await asyncio.to_thread(podman_pull, folder, name)
    [unpacked] = layers.iterdir()
    busybox = debian.program("busybox", "busybox-static").read_bytes()
    assert (unpacked / "bin" / "busybox").read_bytes() == busybox
    assert (unpacked / "bin" / "sh").is_symlink()


async def test_containerd_pulls_an_image(
    source: Source, folder: ClientFolder, image: Image
) -> None:
    """By `ctr images pull`: a HEAD and a GET of the manifest, then its blobs."""
    name = await source.push(image)
    with containerd(folder) as daemon:
        await asyncio.to_thread(daemon.pull, name)
        assert verified_files(daemon.content) == contents_of(image)


async def test_containerd_pulls_its_own_platform_of_an_index(
    source: Source, folder: ClientFolder, index: ImageIndex
) -> None:
    """And all of them when it is told to."""
    name = await source.push(index)
    own, other = index.images
    assert (own.architecture, other.architecture) == (OWN_ARCHITECTURE, OTHER_ARCHITECTURE)
    with containerd(folder) as daemon:
        await asyncio.to_thread(daemon.pull, name)
        landed = verified_files(daemon.content)
        assert names(index.manifest) | contents_of(own) <= landed
        assert not landed & names(*other.blobs)
        await asyncio.to_thread(Containerd.pull, daemon, name, "--all-metadata")
        assert verified_files(daemon.content) > landed


@pytest.mark.parametrize("client", ["skopeo", "podman", "containerd"])
async def test_clients_pull_from_a_registry_that_tells_no_length_and_no_type(
    client: str,
    facade: Facade,
    writer: StatementWriter,
    upstream: RegistrySimulator,
    folder: ClientFolder,
    image: Image,
) -> None:
    """The layer comes chunked, too; the manifest has the type that it names itself."""
    manifest = image.manifest.body
    upstream.manifest(manifest, get=TypedAs(("text/plain",)), head=Answers(405))
    for blob in image.blobs:
        upstream.blob(blob.body, get=NoLength(head_length=False), head=Answers(405))
    await connect(facade, writer, upstream)
    path = Reference(str(upstream.host), "team/app", image.manifest.digest).facade_path
    name = f"localhost:{facade.port}/{path}@{image.manifest.digest}"
    match client:
        case "skopeo":
            layout = folder.path / "layout"
            await asyncio.to_thread(skopeo_copy, folder, name, layout, every_platform=False)
            assert verified_files(layout / "blobs" / "sha256") == contents_of(image)
        case "podman":
            [unpacked] = (await asyncio.to_thread(podman_pull, folder, name)).iterdir()
            assert (unpacked / "bin" / "busybox").exists()
        case _:
            with containerd(folder) as daemon:
                await asyncio.to_thread(daemon.pull, name)
                assert verified_files(daemon.content) == contents_of(image)
