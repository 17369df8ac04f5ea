"""Programs from Debian packages: unpacked into .dev/debian by anybody, or installed by root.

Only the standard library is imported, because this runs before there is a virtual environment.

- `unpack` needs no rights and changes nothing outside the checkout.
- `install` changes the machine, starts no daemon, and needs root or passwordless sudo.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
DEV = REPOSITORY / ".dev"
UNPACKED = DEV / "debian"
PROGRAM_FOLDERS = ("usr/bin", "bin", "usr/sbin", "sbin")
POLICY = Path("/usr/sbin/policy-rc.d")  # invoke-rc.d asks it whether a daemon may start
POLICY_FORBIDS = "#!/bin/sh\nexit 101\n"  # 101: action forbidden by policy


class DebianError(Exception):
    """A package could not be fetched; the message says what to do."""


def program(name: str, package: str) -> Path:
    """The program `name`: the machine's own, otherwise that of `package`, unpacked into .dev/."""
    if found := shutil.which(name):
        return Path(found)
    return _unpacked_program(name, package) or _unpack_program(name, package)


def unpack(packages: Sequence[str]) -> None:
    """Fetch `packages` and unpack each into .dev/debian/<package>, whole or not at all.

    Their dependencies are not looked at.
    """
    UNPACKED.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=DEV) as downloads:
        options = [] if _known(packages, []) else _private_lists()
        if options and not _known(packages, options):
            raise DebianError(f"apt knows no package for one of: {' '.join(packages)}")
        _run(["apt-get", *options, "-q", "download", *packages], cwd=Path(downloads))
        for package in packages:
            (archive,) = Path(downloads).glob(f"{package}_*.deb")
            unfinished = Path(downloads) / package
            _run(["dpkg-deb", "-x", str(archive), str(unfinished)])
            shutil.rmtree(UNPACKED / package, ignore_errors=True)
            unfinished.rename(UNPACKED / package)


def install(packages: Sequence[str]) -> None:
    """Install what is missing of `packages`, with no daemon started and no question asked."""
    missing = [package for package in packages if not _installed(package)]
    if not missing:
        return
    line = f"apt-get install --no-install-recommends {' '.join(missing)}"
    if os.geteuid() == 0:
        _install_as_root(missing)
    elif _sudo_without_password():
        module = [sys.executable, "-B", "-m", "deploy.dev.debian"]
        _run(["sudo", "-n", *module, "install", *missing], cwd=REPOSITORY)
    else:
        raise DebianError(f"some programs are missing; as root run\n  {line}")


def _unpacked_program(name: str, package: str) -> Path | None:
    candidates = (UNPACKED / package / folder / name for folder in PROGRAM_FOLDERS)
    return next((path for path in candidates if path.is_file()), None)


def _unpack_program(name: str, package: str) -> Path:
    unpack([package])
    if path := _unpacked_program(name, package):
        return path
    raise DebianError(f"Debian's package {package} holds no program {name}")


def _known(packages: Sequence[str], options: Sequence[str]) -> bool:
    """Whether apt's lists offer a version of each package."""
    command = ["apt-cache", *options, "show", "--no-all-versions", *packages]
    try:
        answer = subprocess.run(command, capture_output=True, check=False)
    except FileNotFoundError as error:
        raise DebianError("this is no Debian machine: there is no apt-get") from error
    return answer.returncode == 0


def _private_lists() -> list[str]:
    """Apt options for package lists under .dev/, fetched now because the machine has none."""
    lists, cache = DEV / "apt" / "lists", DEV / "apt" / "cache"
    (lists / "partial").mkdir(parents=True, exist_ok=True)
    (cache / "archives" / "partial").mkdir(parents=True, exist_ok=True)
    options = ["-o", f"Dir::State::Lists={lists}", "-o", f"Dir::Cache={cache}"]
    _run(["apt-get", *options, "-q", "update"])
    return options


def _installed(package: str) -> bool:
    query = ["dpkg-query", "--show", "--showformat=${db:Status-Status}", package]
    answer = subprocess.run(query, capture_output=True, check=False)
    return answer.stdout == b"installed"


def _install_as_root(packages: Sequence[str]) -> None:
    if not _known(packages, []):
        _run(["apt-get", "-q", "update"])
    ours = not POLICY.exists()
    try:
        if ours:
            POLICY.write_text(POLICY_FORBIDS)
            POLICY.chmod(0o755)
        quiet = ["-q", "-y", "-o", "Dpkg::Use-Pty=0"]
        _run(["apt-get", *quiet, "install", "--no-install-recommends", *packages])
    finally:
        if ours:
            POLICY.unlink(missing_ok=True)


def _sudo_without_password() -> bool:
    if not shutil.which("sudo"):
        return False
    return subprocess.run(["sudo", "-n", "true"], capture_output=True, check=False).returncode == 0


def _run(command: Sequence[str], cwd: Path | None = None) -> None:
    """Run quietly; what the program said is shown when it fails."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
    answer = subprocess.run(
        [*command],
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if answer.returncode != 0:
        words = "\n".join(answer.stdout.splitlines()[-20:])
        raise DebianError(f"{' '.join(command)} failed:\n{words}")


def main() -> int:
    """`unpack PACKAGE...` or `install PACKAGE...`; 2 when a package cannot be had."""
    parser = argparse.ArgumentParser(prog="python -m deploy.dev.debian")
    parser.add_argument("action", choices=["unpack", "install"])
    parser.add_argument("packages", nargs="+", metavar="package")
    arguments = parser.parse_args()
    try:
        {"unpack": unpack, "install": install}[arguments.action](arguments.packages)
    except DebianError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
