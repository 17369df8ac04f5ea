"""Programs as they are installed: a virtual environment at a fixed place, the same bytes each time.

The images and the Debian packages hold the same tree of the product. A tree stands on the
distribution's own Python, whose security updates are then the distribution's. Nothing in it tells
where it was made.
"""

import platform
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Final

from attrs import frozen

from deploy.dev.debian import REPOSITORY
from deploy.release.tools import ReleaseError, run

PYTHON: Final = "/usr/bin/python3.11"  # on the machine that it is installed on
PYTHON_VERSION: Final = (3, 11)
SITE_PACKAGES: Final = f"lib/python{PYTHON_VERSION[0]}.{PYTHON_VERSION[1]}/site-packages"


@frozen
class Programs:
    """What is installed as one tree: a wheel of ours, what its lock file names, and commands."""

    distribution: str
    prefix: PurePosixPath  # on the machine that it is installed on
    lock: Path
    modules: Mapping[str, str]  # with a `main`, by the command that starts each


PRODUCT: Final = Programs(
    "registry-facade",
    PurePosixPath("/usr/lib/registry-backends"),
    REPOSITORY / "deploy" / "requirements-runtime.lock",
    {"control-plane": "control_plane.cli", "facade": "facade.__main__"},
)
DEVICE_AGENT: Final = Programs(
    "device-agent",
    PurePosixPath("/usr/lib/device-agent"),
    REPOSITORY / "deploy" / "devices" / "agent" / "requirements.lock",
    {"device-agent": "device_agent.cli"},
)

# glibc of Debian 12 and newer, as wheels say it: 2.28 and older ones.
_PLATFORMS: Final = ("manylinux_2_28", "manylinux_2_17", "manylinux2014")
# -P: what lies in the working folder is never imported.
_PROGRAM: Final = """\
#!{python} -P
import sys

from {module} import main

sys.exit(main())
"""
_ENVIRONMENT: Final = "home = {home}\ninclude-system-site-packages = false\nversion = 3.11\n"
# What only those need who compile against a library, or check types.
_LEFT_OUT: Final = ("*.c", "*.cpp", "*.h", "*.pxd", "*.pyi", "*.pyx")
# botocore describes 400 services, in 27 MB. The facade asks ECR and STS; the others are where a
# configuration of AWS's own may send it for credentials.
_AWS_SERVICES: Final = frozenset({"ecr", "signin", "sso", "sso-oidc", "sts"})


def make_program_tree(what: Programs, wheel: Path, root: Path, python: str = PYTHON) -> Path:
    """Install programs and what their lock file names below `root`; return the prefix there."""
    if sys.version_info[:2] != PYTHON_VERSION:
        raise ReleaseError(f"the release is compiled by Python 3.11, and this is {sys.version}")
    prefix = root / what.prefix.relative_to("/")
    packages = prefix / SITE_PACKAGES
    packages.mkdir(parents=True)
    _install(packages, "--require-hashes", "--requirement", str(what.lock), *_wheels_of_debian())
    _install(packages, "--no-index", "--find-links", str(wheel.parent), _requirement(what, wheel))
    shutil.rmtree(packages / "bin", ignore_errors=True)
    _leave_out(packages)
    strip_debug_information(packages)
    _write_commands(what, prefix / "bin", python)
    home = PurePosixPath(python).parent
    (prefix / "pyvenv.cfg").write_text(_ENVIRONMENT.format(home=home))
    compile_python(packages, f"{what.prefix}/{SITE_PACKAGES}")
    return prefix


def _leave_out(packages: Path) -> None:
    for pattern in _LEFT_OUT:
        for path in packages.rglob(pattern):
            path.unlink()
    for service in packages.glob("botocore/data/*"):
        if service.is_dir() and service.name not in _AWS_SERVICES:
            shutil.rmtree(service)


def _write_commands(what: Programs, folder: Path, python: str) -> None:
    folder.mkdir()
    (folder / "python").symlink_to(python)
    for name, module in what.modules.items():
        program = folder / name
        program.write_text(_PROGRAM.format(python=what.prefix / "bin/python", module=module))
        program.chmod(0o755)


def strip_debug_information(folder: Path) -> None:
    """Take out of compiled libraries what only a debugger reads: more than half of their bytes."""
    for library in sorted(folder.rglob("*.so")):
        run("strip", "--strip-debug", library)


def compile_python(folder: Path, shown: str) -> None:
    """Compile what will be read-only: the same bytes each time, and nothing is compared at a start.

    `shown` is where it will lie, as tracebacks say it.
    """
    command = ("-m", "compileall", "-q", "-f", "--invalidation-mode", "unchecked-hash")
    # In one process and in order of names: which constants are shared is part of the bytes.
    paths = ("-s", str(folder), "-p", shown, str(folder))
    run(sys.executable, *command, *paths, environment={"PYTHONHASHSEED": "0"})


def _requirement(what: Programs, wheel: Path) -> str:
    name, version, _ = wheel.name.split("-", 2)
    if name.replace("_", "-") != what.distribution:
        raise ReleaseError(f"{wheel.name} is no wheel of {what.distribution}")
    return f"{what.distribution}=={version}"


def _wheels_of_debian() -> list[str]:
    machine = platform.machine()
    tags = [f"--platform={each}_{machine}" for each in _PLATFORMS]
    return [*tags, "--implementation=cp", "--python-version=3.11", "--only-binary=:all:"]


def _install(folder: Path, *arguments: str) -> None:
    quiet = ("--quiet", "--disable-pip-version-check", "--no-deps", "--no-compile")
    run(sys.executable, "-m", "pip", "install", *quiet, "--target", folder, *arguments)
