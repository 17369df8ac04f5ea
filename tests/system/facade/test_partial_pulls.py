"""podman updates a `zstd:chunked` image: it asks for the files that it has not, and for no others.

skopeo makes the images, as a build pipeline does. The facade counts what a device was given.
"""

import asyncio
import io
import random
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import orjson
import pytest

from deploy.dev.device import Reference
from deploy.dev.image import image_of_tar
from deploy.dev.oci_archive import oci_archive
from shared.oci import OCI_MANIFEST
from tests.support.clients import ClientFolder, podman_pull, skopeo_compress
from tests.support.documented import documented
from tests.support.facade_process import Facade
from tests.support.facade_states import connect, pull_path
from tests.support.simulators.registry import RegistrySimulator
from tests.support.statement_writer import StatementWriter
from tests.system.facade.stores import store_settings
from tests.system.facade.test_several_ranges import MULTIPART, SENT, counted

FILES = 60
FILE_BYTES = 200_000
CHANGED = (3, 13, 14, 27, 40, 59)
# More than the ranges: the config, the layer's table of contents, and what zstd adds to each file.
MOST_BYTES = 1.1 * len(CHANGED) * FILE_BYTES


@pytest.fixture(scope="module")
def facade_settings(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """A facade that keeps what it fetches."""
    return store_settings(tmp_path_factory.mktemp("cache"))


@pytest.fixture
def folder(facade: Facade) -> Iterator[ClientFolder]:
    """A client's folder, with a device's certificate, and podman's storage as documented."""
    with ClientFolder.make(facade.device()) as folder:
        places = {
            "/run/containers/storage": f"{folder.path}/run",
            "/var/lib/containers/storage": f"{folder.path}/podman",
        }
        folder.storage.write_text(documented("/etc/containers/storage.conf", "toml", places))
        yield folder


def files(kind: str, changed: tuple[int, ...] = ()) -> dict[str, bytes]:
    """Return sixty files that do not compress, some of which are others than before."""
    return {
        f"model/{each:02}": random.Random(f"{kind} {each} {each in changed}").randbytes(FILE_BYTES)  # noqa: S311 - any bytes will do
        for each in range(FILES)
    }


def tar_of(content: Mapping[str, bytes]) -> bytes:
    """Return a layer with its folders before what is in them, as build tools write it.

    podman 4.3 copies what it has with 32 threads. If a folder has no entry, each of them makes it;
    whoever finds it made fails, and podman reads the whole layer instead.
    """
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for folder in sorted({str(Path(name).parent) for name in content}):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(entry)
        for name, body in content.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(body)
            archive.addfile(entry, io.BytesIO(body))
    return buffer.getvalue()


def push_chunked(
    folder: ClientFolder, name: str, content: Mapping[str, bytes], upstream: RegistrySimulator
) -> tuple[str, str]:
    """Let the registry have an image; return the digests of its manifest and its layer."""
    place = folder.path / name
    place.mkdir()
    layout = place / "layout"
    skopeo_compress(folder, oci_archive(image_of_tar(tar_of(content)), name, place), layout)

    def blob(descriptor: Mapping[str, str]) -> bytes:
        return (layout / "blobs" / descriptor["digest"].replace(":", "/")).read_bytes()

    (described,) = orjson.loads((layout / "index.json").read_bytes())["manifests"]
    manifest = blob(described)
    config, layer = (orjson.loads(manifest)[each] for each in ("config", "layers"))
    for each in (config, *layer):
        upstream.blob(blob(each))
    return upstream.manifest(manifest, media_type=OCI_MANIFEST), layer[0]["digest"]


@pytest.mark.parametrize("stored", [True, False], ids=["stored", "cold"])
async def test_an_update_costs_the_files_that_changed(
    facade: Facade,
    writer: StatementWriter,
    upstream: RegistrySimulator,
    folder: ClientFolder,
    stored: bool,  # noqa: FBT001 - a parameter
) -> None:
    """119 MB were read for an update of 6.4 MB: whoever is given the whole has to read it."""
    before, after = files(f"{stored}"), files(f"{stored}", CHANGED)
    old, _ = await asyncio.to_thread(push_chunked, folder, "before", before, upstream)
    new, layer = await asyncio.to_thread(push_chunked, folder, "after", after, upstream)
    await connect(facade, writer, upstream)

    async def pull(digest: str) -> Path:
        path = Reference(str(upstream.host), "team/app", digest).facade_path
        name = f"localhost:{facade.port}/{path}@{digest}"
        return await asyncio.to_thread(podman_pull, folder, name, driver="overlay")

    await pull(old)
    if stored:
        assert (await facade.device().get(pull_path(upstream, layer))).status == 200
    sent, multipart = counted(facade, SENT), counted(facade, MULTIPART)
    layers = await pull(new)
    assert counted(facade, MULTIPART) == multipart + 1
    assert len(CHANGED) * FILE_BYTES <= counted(facade, SENT) - sent <= MOST_BYTES
    unpacked = [contents(each) for each in layers.glob("*/diff")]
    assert before in unpacked
    assert after in unpacked


def contents(layer: Path) -> dict[str, bytes]:
    """Return the files of an unpacked layer."""
    return {str(each.relative_to(layer)): each.read_bytes() for each in layer.glob("model/*")}
