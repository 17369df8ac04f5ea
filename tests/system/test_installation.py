"""The product as it is installed: the wheel and the runtime lock alone, run by another user.

Whoever installs it has no checkout, no tests' packages, and does not run it as root.
"""

import os
import pwd
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Self

import pytest
from attrs import frozen

from deploy.dev.debian import REPOSITORY
from deploy.dev.postgres import UNPRIVILEGED
from deploy.dev.processes import Child, Identity, free_port
from deploy.dev.product import is_ready, whole_environment
from tests.support.database import Database
from tests.support.facade_process import FacadeFiles
from tests.support.surroundings import beyond_this_machine

REVISION = "shared/revision"  # the wheel alone has it
PRODUCT = ("control_plane", "facade", "shared")
PYTHONS = (
    Path(sys.base_prefix, "bin", f"python{sys.version_info[0]}.{sys.version_info[1]}"),
    Path("/usr/bin/python3"),  # if ours lies below a home that is closed to others
)
TOOLS = Path(sys.executable).parent
INSTALL_SECONDS = 300
PASSWORD = "installed login's own password"


def run(*command: str | Path) -> None:
    """Run a tool as ourselves; raise with what it said if it fails."""
    answer = subprocess.run(
        command,
        cwd=REPOSITORY,
        env=beyond_this_machine(),
        capture_output=True,
        text=True,
        check=False,
        timeout=INSTALL_SECONDS,
    )
    assert answer.returncode == 0, answer.stderr


def somebody_else() -> Identity | None:
    """Return who runs the product: nobody if we are root, else we do it without any right."""
    if os.geteuid() != 0:
        return None
    nobody = pwd.getpwnam(UNPRIVILEGED)
    return Identity(nobody.pw_uid, nobody.pw_gid)


def base_python() -> Path:
    """Return a Python that the user who runs the product can reach."""
    return next(
        python
        for python in PYTHONS
        if all(folder.stat().st_mode & 0o001 for folder in python.resolve().parents)
    )


@frozen
class Installation:
    """An environment with the product alone, and a folder of the user that runs it."""

    programs: Path
    home: Path
    identity: Identity | None

    @classmethod
    def make(cls, folder: Path, wheel: Path) -> Self:
        """Install the runtime lock and the wheel as README.md says."""
        environment = folder / "environment"
        run(base_python(), "-m", "venv", "--without-pip", environment)
        python = environment / "bin" / "python"
        # uv reads no index page twice, and takes the same lines as pip.
        install = (TOOLS / "uv", "pip", "install", "--quiet", "--no-config", "--python", python)
        lock = REPOSITORY / "deploy" / "requirements-runtime.lock"
        run(*install, "--require-hashes", "--requirement", lock)
        run(*install, "--no-deps", wheel)
        run(TOOLS / "uv", "pip", "check", "--quiet", "--no-config", "--python", python)
        made = cls(environment / "bin", folder / "home", somebody_else())
        made.home.mkdir(mode=0o700)
        made.hand_over(made.home)
        return made

    def hand_over(self, *paths: Path) -> None:
        """Make the user who runs the product the owner of files."""
        for path in paths:
            if self.identity is not None:
                os.chown(path, self.identity.user, self.identity.group)

    def environment(self, settings: Mapping[str, str]) -> dict[str, str]:
        """Return all that a program sees; it may not write bytecode into the installation."""
        return whole_environment({"PYTHONPYCACHEPREFIX": str(self.home / "bytecode"), **settings})

    def run(self, program: str, *arguments: str, **settings: str) -> str:
        """Return the standard output of a command that ends with 0 and warns of nothing."""
        who = self.identity
        answer = subprocess.run(
            [self.programs / program, *arguments],
            cwd=os.sep,
            env=self.environment({"PYTHONWARNINGS": "error", **settings}),
            capture_output=True,
            text=True,
            check=False,
            timeout=INSTALL_SECONDS,
            user=None if who is None else who.user,
            group=None if who is None else who.group,
            extra_groups=None if who is None else [],
        )
        assert answer.returncode == 0, answer.stderr
        return answer.stdout

    def serve(self, program: str, settings: Mapping[str, str]) -> Child:
        """Start `PROGRAM serve`; not waited for."""
        return Child.start(
            [self.programs / program, "serve"],
            log=self.home / f"{program}.log",
            environment=self.environment(settings),
            cwd=Path(os.sep),
            identity=self.identity,
        )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `make wheel` writes."""
    folder = tmp_path_factory.mktemp("dist")
    run("make", "--assume-old=.venv/.installed", "wheel", f"DIST={folder}")
    (built,) = folder.iterdir()
    return built


@pytest.fixture
def installation(wheel: Path) -> Iterator[Installation]:
    """One that nobody else uses, in a folder that everybody may pass through."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)
        yield Installation.make(Path(folder), wheel)


def test_the_wheel_has_every_file_of_the_product(wheel: Path) -> None:
    """SQL, the API's description and OpenSSL's settings too; and nothing of tests or deployment."""
    files = (path for name in PRODUCT for path in (REPOSITORY / name).rglob("*"))
    expected = {
        str(path.relative_to(REPOSITORY))
        for path in files
        if path.is_file() and "__pycache__" not in path.parts
    } | {REVISION}
    packed = set(zipfile.ZipFile(wheel).namelist())
    about = {name for name in packed if name.partition("/")[0].endswith(".dist-info")}
    assert packed - about == expected
    assert any(name.endswith("/licenses/LICENSE") for name in about)


def test_the_wheel_says_which_commit_it_was_made_of(wheel: Path) -> None:
    """And whether there was more than the commit. The checkout itself is given no such file."""
    command = ["git", "rev-parse", "HEAD"]
    commit = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    told = zipfile.ZipFile(wheel).read(REVISION).decode().strip()
    assert told.removesuffix("-dirty") == commit.stdout.strip()
    assert not (REPOSITORY / REVISION).exists()


def test_both_programs_run_as_another_user(
    wheel: Path, installation: Installation, database: Database
) -> None:
    """From new keys to two processes that are ready, with what the wheel and the lock have."""
    keys = installation.home / "keys"
    installation.run("control-plane", "keys", "--out", str(keys))
    installation.run(
        "control-plane", "migrate", CONTROL_PLANE_MIGRATION_DATABASE_URL=database.superuser_url
    )
    login = f"LOGIN PASSWORD '{PASSWORD.replace(chr(39), chr(39) * 2)}'"
    database.sql(
        f"CREATE ROLE installed_admin {login} IN ROLE registry_control_plane;"
        f"CREATE ROLE installed_facade {login} IN ROLE registry_facade"
    )
    revision = zipfile.ZipFile(wheel).read(REVISION).decode().strip()
    for program in ("control-plane", "facade"):
        assert installation.run(program, "--version").endswith(f" (revision {revision})\n")
    served = f"127.0.0.1:{free_port()}"
    settings = {
        "CONTROL_PLANE_DATABASE_URL": database.url("installed_admin", PASSWORD),
        "CONTROL_PLANE_STATEMENT_PRIVATE_KEY_FILE": str(keys / "statement.private.pem"),
    }
    sealing = {"CONTROL_PLANE_SEALING_PUBLIC_KEY_FILE": str(keys / "sealing.public.pem")}
    facade = facade_settings(installation, database)
    children = [
        installation.serve("control-plane", settings | sealing | {"CONTROL_PLANE_LISTEN": served}),
        installation.serve("facade", facade),
    ]
    try:
        token = installation.run(
            "control-plane", "operators", "add", "alice", "--role", "viewer", **settings
        )
        children[0].wait_until(lambda: is_ready(served))
        children[1].wait_until(lambda: is_ready(facade["FACADE_OPERATIONS_LISTEN"]))
        listed = installation.run(
            "control-plane",
            *("connections", "list", "--json"),
            CONTROL_PLANE_URL=f"http://{served}",
            CONTROL_PLANE_TOKEN=token.strip(),
        )
        assert listed.strip() == "[]"
        if installation.identity is not None:
            assert {_user_of(child) for child in children} == {installation.identity.user}
            # Who cannot be dumped is root's in /proc, whoever it runs as (proc(5)).
            owners = {Path(f"/proc/{child.pid}/mem").stat().st_uid for child in children}
            assert installation.identity.user not in owners
    finally:
        ended = [child.stop() for child in children]
    assert ended == [0, 0]
    assert not any("Traceback" in child.log.read_text() for child in children)


def facade_settings(installation: Installation, database: Database) -> dict[str, str]:
    """Write what a facade needs beside the keys; return its variables."""
    keys = installation.home / "keys"
    files = FacadeFiles.write(
        installation.home / "facade",
        statement_public_pem=(keys / "statement.public.pem").read_bytes(),
        sealing_private_pem=(keys / "sealing.private.pem").read_bytes(),
    )
    installation.hand_over(files.folder, *files.folder.iterdir())
    return files.environment(database.url("installed_facade", PASSWORD)) | {
        "FACADE_LISTEN": f"127.0.0.1:{free_port()}",
        "FACADE_OPERATIONS_LISTEN": f"127.0.0.1:{free_port()}",
        "FACADE_ALLOW_CORE_DUMPS": "false",
    }


def _user_of(child: Child) -> int:
    status = Path(f"/proc/{child.pid}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("Uid:"))
    return int(line.split()[1])
