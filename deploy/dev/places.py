"""Where the development stack keeps its files: all under .dev/run/, each whole or absent."""

import contextlib
import fcntl
import secrets
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path

import cattrs
import orjson
from attrs import field, frozen

from deploy.dev.debian import DEV
from deploy.dev.processes import free_port, is_free

RUN = DEV / "run"


class AlreadyRunningError(Exception):
    """Another stack runs from this checkout."""


@frozen
class Ports:
    """Loopback ports, the same at each start: the registry's is part of what is connected."""

    facade: int = 8443
    control_plane: int = 8080
    operations: int = 8081
    registry: int = 5001
    postgres: int = 5433


@frozen
class Passwords:
    """Made at the first start, and kept only in files under .dev/run/."""

    owner: str = field(factory=secrets.token_urlsafe, repr=False)
    control_plane: str = field(factory=secrets.token_urlsafe, repr=False)
    facade: str = field(factory=secrets.token_urlsafe, repr=False)
    registry: str = field(factory=secrets.token_urlsafe, repr=False)


@contextlib.contextmanager
def only_one_stack() -> Iterator[None]:
    """Hold the checkout's lock; the kernel lets go of it when we die."""
    RUN.mkdir(parents=True, exist_ok=True)
    with (RUN / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyRunningError("another stack runs from this checkout: stop it") from None
        yield


def kept_ports() -> Ports:
    """The ports of the last start; one that somebody else took meanwhile is replaced.

    Of two stacks that begin at once, in two checkouts, each has its own.
    """
    path = RUN / "ports.json"
    kept = cattrs.structure(orjson.loads(path.read_bytes()), Ports) if path.exists() else Ports()
    taken = cattrs.unstructure(kept)
    ports = {name: port if is_free(port) else free_port() for name, port in taken.items()}
    write_whole(path, orjson.dumps(ports))
    return Ports(**ports)


def kept_passwords() -> Passwords:
    """The passwords of the first start."""
    path = RUN / "passwords.json"
    if not path.exists():
        write_whole(path, orjson.dumps(cattrs.unstructure(Passwords())))
    return cattrs.structure(orjson.loads(path.read_bytes()), Passwords)


def write_settings(path: Path, settings: Mapping[str, str]) -> None:
    """Write a program's settings for a shell to read: `set -a; . FILE`. They hold passwords."""
    lines = (f"{name}={shlex.quote(value)}\n" for name, value in settings.items())
    write_whole(path, "".join(lines).encode())


def write_whole(path: Path, content: bytes) -> None:
    """Write a file for our eyes only, beside `path`, then rename it: it is whole or not there."""
    unfinished = path.with_name(f"{path.name}.unfinished")
    unfinished.unlink(missing_ok=True)
    unfinished.touch(mode=0o600)
    unfinished.write_bytes(content)
    unfinished.rename(path)
