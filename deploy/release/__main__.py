"""`python -m deploy.release images packages --wheel FILE --out FOLDER`: what `make` calls."""

import argparse
import hashlib
import platform
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from attrs import frozen

from deploy.dev.debian import DEV
from deploy.dev.image import ARCHITECTURES
from deploy.dev.podman import Podman, PodmanError
from deploy.release.base_image import DebianPackage, make_base
from deploy.release.bill_of_materials import bill_of_materials
from deploy.release.debian_packages import (
    DEVICE_PACKAGES,
    PRODUCT_PACKAGES,
    make_debian_packages,
)
from deploy.release.images import IMAGES, build_images, load_base, save_images
from deploy.release.program_tree import (
    DEVICE_AGENT,
    PRODUCT,
    PYTHON,
    SITE_PACKAGES,
    make_program_tree,
)
from deploy.release.tools import Origin, ReleaseError

SUMS = "SHA256SUMS"


@frozen
class Wanted:
    """What is to be made, and where."""

    wheel: Path  # of the product
    device_wheel: Path  # of the device agent, which has packages alone
    out: Path
    base: str | None  # an image that is there already, or the default
    python: str  # in it


def make_release(wanted: Wanted, what: Sequence[str]) -> None:
    """Make the packages, the images or both; the base of the images beside all that needs none."""
    origin = Origin.of_this_checkout()
    with tempfile.TemporaryDirectory(dir=DEV) as work, ThreadPoolExecutor(1) as beside:
        folder = Path(work)
        base = beside.submit(find_base, wanted, origin, folder) if "images" in what else None
        if "packages" in what:
            make_packages(wanted, origin, folder)
        if base is not None:
            _product_tree(wanted, folder, wanted.python)
            make_images(wanted, base.result(), origin, folder)


def make_packages(wanted: Wanted, origin: Origin, folder: Path) -> None:
    """Make the Debian packages, and the lists of what is in them."""
    tree, prefix = _product_tree(wanted, folder)
    _list_contents("registry-backends", prefix, wanted, origin)
    make_debian_packages(PRODUCT_PACKAGES, tree, wanted.out, origin)
    on_devices = folder / "on-devices"
    prefix = make_program_tree(DEVICE_AGENT, wanted.device_wheel, on_devices)
    _list_contents(DEVICE_AGENT.distribution, prefix, wanted, origin)
    make_debian_packages(DEVICE_PACKAGES, on_devices, wanted.out, origin)


def _list_contents(title: str, prefix: Path, wanted: Wanted, origin: Origin) -> None:
    document = bill_of_materials(title, origin.version, prefix / SITE_PACKAGES, [], origin.at)
    name = f"{title}-packages-{origin.version}-{ARCHITECTURES[platform.machine()]}"
    (wanted.out / f"{name}.cdx.json").write_bytes(document)


@frozen
class Base:
    """What the images stand on."""

    reference: str
    packages: list[DebianPackage]  # of the default one; nobody knows what is in another


def find_base(wanted: Wanted, origin: Origin, folder: Path) -> Base:
    """Return the base that is wanted; make the default one."""
    if wanted.base is not None:
        return Base(wanted.base, [])
    layer, packages = make_base(folder / "base", origin.at)
    return Base(load_base(Podman.of_this_checkout(), layer), packages)


def make_images(wanted: Wanted, base: Base, origin: Origin, folder: Path) -> None:
    """Make both images, their archive, and the list of what is in each."""
    podman = Podman.of_this_checkout()
    product, prefix = _product_tree(wanted, folder, wanted.python)
    for name in IMAGES:
        document = bill_of_materials(
            name, origin.version, prefix / SITE_PACKAGES, base.packages, origin.at
        )
        (wanted.out / f"{_stem(name, origin)}.cdx.json").write_bytes(document)
    references = build_images(podman, base.reference, product, folder, origin)
    save_images(podman, references, wanted.out / f"{_stem('registry-backends', origin)}.tar")


def _product_tree(wanted: Wanted, folder: Path, python: str = PYTHON) -> tuple[Path, Path]:
    """Return a root with the installed product, and where it lies there; one for every use."""
    root = folder / python.replace("/", "-").strip("-")
    if not root.exists():
        make_program_tree(PRODUCT, wanted.wheel, root, python)
    return root, root / PRODUCT.prefix.relative_to("/")


def write_sums(folder: Path) -> None:
    """Write the digest of every file of the release."""
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
        for path in sorted(folder.iterdir())
        if path.name != SUMS
    ]
    (folder / SUMS).write_text("".join(lines))


def _stem(name: str, origin: Origin) -> str:
    return f"{name}-image-{origin.version}-{ARCHITECTURES[platform.machine()]}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Make what is asked for; 1 where that cannot be, with the reason."""
    parser = argparse.ArgumentParser(prog="python -m deploy.release")
    parser.add_argument("what", nargs="+", choices=["images", "packages", "sums"])
    parser.add_argument("--wheel", type=Path)
    parser.add_argument("--device-wheel", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--base")
    parser.add_argument("--python", default=PYTHON)
    said = parser.parse_args(arguments)
    for folder in (said.out, DEV):
        folder.mkdir(parents=True, exist_ok=True)
    try:
        wanted = Wanted(said.wheel, said.device_wheel, said.out, said.base or None, said.python)
        if {"images", "packages"} & {*said.what}:
            make_release(wanted, said.what)
        if "sums" in said.what:
            write_sums(said.out)
    except (ReleaseError, PodmanError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
