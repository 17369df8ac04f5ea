"""The default base of the images: files of chosen Debian packages, and nothing else.

mmdebstrap finds and checks the packages. Of what they depend on only those are taken that
`deploy/containers/base-packages` names; no script of a package runs, and no program is kept but
Python. For scanners each package says in /var/lib/dpkg/status.d what it is.
"""

import os
import shutil
from pathlib import Path
from typing import Final

from attrs import frozen

from deploy.dev.debian import REPOSITORY
from deploy.release.layers import write_layer
from deploy.release.program_tree import PYTHON, compile_python
from deploy.release.tools import ReleaseError, run

SUITE: Final = "bookworm"
PACKAGES: Final = REPOSITORY / "deploy" / "containers" / "base-packages"

_PROGRAMS: Final = ("bin", "sbin", "usr/bin", "usr/sbin")
_LEFT_OUT: Final = (
    "etc/cron.daily",
    "etc/default",
    "etc/dpkg",
    "etc/motd",
    "etc/profile.d",
    "etc/update-motd.d",
    "usr/lib/python3.11/test",
    "usr/lib/python3.11/lib2to3",
    "usr/lib/python3.11/pydoc_data",
    "usr/lib/x86_64-linux-gnu/gconv",
    "usr/lib/aarch64-linux-gnu/gconv",
    "usr/share/bug",
    "usr/share/ca-certificates",
    "usr/share/info",
    "usr/share/lintian",
    "usr/share/locale",
    "usr/share/man",
    "usr/share/pixmaps",
    "usr/share/applications",
    "usr/share/binfmts",
)
_FILES: Final = {
    "etc/passwd": "root:x:0:0:root:/:/none\nnonroot:x:65532:65532:nonroot:/:/none\n",
    "etc/group": "root:x:0:\nnonroot:x:65532:\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}
_AUTHORITIES: Final = "etc/ssl/certs/ca-certificates.crt"


@frozen
class DebianPackage:
    """One whose files are in the base."""

    name: str
    version: str
    architecture: str
    homepage: str


def make_base(folder: Path, at: int) -> tuple[Path, list[DebianPackage]]:
    """Make the base's one layer in `folder`, its files of the time `at`; and say what is in it."""
    archives, root = folder / "archives", folder / "root"
    wanted = _wanted()
    _fetch(wanted, archives, at)
    packages = []
    for archive in sorted(archives.glob("*.deb")):
        if archive.name.partition("_")[0] in wanted:
            run("dpkg-deb", "--extract", archive, root)
            packages.append(_described(archive, root))
    if missing := wanted - {package.name for package in packages}:
        raise ReleaseError(f"these packages were not fetched: {', '.join(sorted(missing))}")
    _write_authorities(root)
    _leave_out(root)
    for name, text in _FILES.items():
        (root / name).write_text(text)
    library = root / "usr/lib/python3.11"
    compile_python(library, "/usr/lib/python3.11")
    layer = folder / "base.tar"
    write_layer(root, layer, at)
    return layer, packages


def _wanted() -> set[str]:
    lines = PACKAGES.read_text().splitlines()
    return {line for line in lines if line and not line.startswith("#")}


def _fetch(wanted: set[str], archives: Path, at: int) -> None:
    """Have mmdebstrap find, check and fetch the packages and what they depend on."""
    archives.mkdir(parents=True)
    run(
        "mmdebstrap",
        "--variant=extract",
        "--format=null",
        f"--include={','.join(sorted(wanted))}",
        f"--extract-hook=copy-out /var/cache/apt/archives/ {archives}",
        SUITE,
        environment={"SOURCE_DATE_EPOCH": str(at)},
    )
    for path in [*archives.rglob("*.deb")]:
        path.rename(archives / path.name)


def _described(archive: Path, root: Path) -> DebianPackage:
    """Say what a package is, for scanners too."""
    control = run("dpkg-deb", "--field", archive)
    fields = {
        name: value.strip()
        for line in control.decode().splitlines()
        if not line.startswith(" ")
        for name, _, value in [line.partition(":")]
    }
    status = root / "var/lib/dpkg/status.d"
    status.mkdir(parents=True, exist_ok=True)
    (status / fields["Package"]).write_bytes(control)
    return DebianPackage(
        fields["Package"], fields["Version"], fields["Architecture"], fields.get("Homepage", "")
    )


def _write_authorities(root: Path) -> None:
    """Do what ca-certificates does when it is installed: one file of all."""
    bundle = root / _AUTHORITIES
    bundle.parent.mkdir(parents=True, exist_ok=True)
    certificates = sorted((root / "usr/share/ca-certificates/mozilla").glob("*.crt"))
    bundle.write_bytes(b"".join(path.read_bytes() for path in certificates))
    where_openssl_looks = root / "usr/lib/ssl/cert.pem"
    where_openssl_looks.parent.mkdir()
    where_openssl_looks.symlink_to(f"/{_AUTHORITIES}")


def _leave_out(root: Path) -> None:
    for path in [path for name in _PROGRAMS for path in (root / name).glob("*")]:
        if f"/{path.relative_to(root)}" != PYTHON:
            path.unlink()
    for name in _LEFT_OUT:
        path = root / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    for path in (root / "usr/share/doc").rglob("*"):
        if not path.is_dir() and path.name != "copyright":
            path.unlink()
    for folder, _, _ in os.walk(root, topdown=False):
        if Path(folder) != root and not any(Path(folder).iterdir()):
            Path(folder).rmdir()
    for name, mode in {"tmp": 0o1777, "proc": 0o555, "sys": 0o555, "dev": 0o755}.items():
        (root / name).mkdir()
        (root / name).chmod(mode)
