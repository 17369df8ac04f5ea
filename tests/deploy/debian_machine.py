"""A clean Debian machine with systemd, as an image: what the packages are installed on.

Made before the tests, which have no network: `python -m tests.deploy.debian_machine FOLDER`.
"""

import sys
from pathlib import Path
from typing import Final

from deploy.release.base_image import SUITE
from deploy.release.tools import Origin, run

ARCHIVE: Final = "machine.tar"
# What the packages depend on, and what an operator looks with. Nothing of ours.
PACKAGES: Final = (
    "ca-certificates",
    "libpython3.11-stdlib",
    "libstdc++6",
    "procps",
    "python3.11-minimal",
    "systemd",
)


def main() -> None:
    """Write the file system of the machine into a folder."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    run(
        "mmdebstrap",
        "--variant=minbase",
        f"--include={','.join(PACKAGES)}",
        "--dpkgopt=path-exclude=/usr/share/doc/*",
        "--dpkgopt=path-exclude=/usr/share/locale/*",
        "--dpkgopt=path-exclude=/usr/share/man/*",
        SUITE,
        folder / ARCHIVE,
        environment={"SOURCE_DATE_EPOCH": str(Origin.of_this_checkout().at)},
    )


if __name__ == "__main__":
    main()
