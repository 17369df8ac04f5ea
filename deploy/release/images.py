"""The two images, built by podman from `deploy/containers/Containerfile`, and their one archive."""

from pathlib import Path
from typing import Final

from deploy.dev.debian import REPOSITORY
from deploy.dev.image import image_of_tar
from deploy.dev.oci_archive import oci_archive
from deploy.dev.podman import Podman
from deploy.release.tools import Origin

IMAGES: Final = ("control-plane", "facade")
REGISTRY: Final = "localhost/registry-backends"
BASE: Final = f"{REGISTRY}/base"
CONTAINERFILE: Final = REPOSITORY / "deploy" / "containers" / "Containerfile"
FOLDERS: Final = ("state/control-plane", "state/facade", "cache/facade")  # to mount volumes over


def reference_of(name: str, version: str) -> str:
    """Return what an image is called."""
    return f"{REGISTRY}/{name}:{version}"


def load_base(podman: Podman, layer: Path) -> str:
    """Have podman know the default base; return its name."""
    archive = oci_archive(image_of_tar(layer.read_bytes()), BASE, layer.parent)
    podman.run("load", "--input", archive)
    archive.unlink()
    return BASE


def build_images(
    podman: Podman, base: str, product: Path, folder: Path, origin: Origin
) -> list[str]:
    """Build both of the tree below `product`; return their references."""
    context = folder / "context"
    context.mkdir()
    product.rename(context / "product")
    for name in ("var/cache", "var/lib"):  # root's, also where the base has none
        (context / "product" / name).mkdir(parents=True)
    for name in FOLDERS:
        (context / name).mkdir(parents=True)
    references: list[str] = []
    for name in IMAGES:
        reference = reference_of(name, origin.version)
        podman.run(
            "build",
            *("--pull=never", "--network=host", "--isolation=oci", "--layers"),
            # The second shares the layers of the first, which are made anew.
            *(() if references else ("--no-cache",)),
            *("--timestamp", str(origin.at)),
            *("--build-arg", f"BASE={base}"),
            *("--build-arg", f"VERSION={origin.version}"),
            *("--build-arg", f"REVISION={origin.revision}"),
            *("--target", name, "--tag", reference),
            *("--file", CONTAINERFILE),
            context,
        )
        references.append(reference)
    return references


def save_images(podman: Podman, references: list[str], target: Path) -> None:
    """Write both into one archive that `podman load` and `docker load` take."""
    target.unlink(missing_ok=True)
    podman.run("save", "--multi-image-archive", "--output", target, *references)
