"""Real containers: podman with runc, and with settings and storage of its own under .dev/podman/.

Nothing of the machine's podman is read or written, so both may run side by side. Containers need
root, and no hub is asked: what runs here was built, loaded or imported here.
"""

import os
import resource
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Self

from attrs import frozen

from deploy.dev.debian import DEV

FOLDER: Final = DEV / "podman"
SECONDS: Final = 300.0  # of one command: building an image copies some hundred MB
# Limits that podman would raise above ours, which only a process with more rights may do.
_MAX_DESCRIPTORS: Final = 65_536
_MAX_PROCESSES: Final = 1024
# For so long a client of the socket may ask how what it ran in a container ended. A process waits
# for that; with podman's own 300 s it would stay behind.
_EXEC_SECONDS: Final = 10

# With a `static_dir` of its own podman 4.3 waits 20 s for each container that has ended.
_CONTAINERS: Final = """\
[containers]
default_ulimits = ["nofile={descriptors}:{descriptors}", "nproc={processes}:{processes}"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "none"
exit_command_delay = {exec_seconds}
tmp_dir = "{folder}/tmp"
[network]
network_config_dir = "{folder}/networks"
"""
_STORAGE: Final = """\
[storage]
driver = "overlay"
graphroot = "{folder}/storage"
runroot = "{folder}/run"
"""


class PodmanError(Exception):
    """A podman command ended with an error; the message bears what it said."""


@frozen
class Podman:
    """Podman with one place for all that it keeps."""

    folder: Path

    @classmethod
    def of_this_checkout(cls, folder: Path = FOLDER) -> Self:
        """Write its settings; what was stored there before is still there."""
        folder.mkdir(parents=True, exist_ok=True)
        descriptors = min(resource.getrlimit(resource.RLIMIT_NOFILE)[1], _MAX_DESCRIPTORS)
        made = cls(folder)
        made._containers_conf.write_text(
            _CONTAINERS.format(
                folder=folder,
                descriptors=descriptors,
                processes=_MAX_PROCESSES,
                exec_seconds=_EXEC_SECONDS,
            )
        )
        made._storage_conf.write_text(_STORAGE.format(folder=folder))
        return made

    @property
    def environment(self) -> dict[str, str]:
        """What every podman command sees, and whatever else is to reach the same containers."""
        return {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "LC_ALL": "C.UTF-8",
            "HOME": os.environ.get("HOME", "/root"),
            "CONTAINERS_CONF": str(self._containers_conf),
            "CONTAINERS_STORAGE_CONF": str(self._storage_conf),
        }

    def run(self, *arguments: str | Path, given: bytes | None = None) -> str:
        """`podman ARGUMENTS`; its standard output, without the last line break."""
        answer = self.ask(*arguments, given=given)
        if answer.returncode != 0:
            words = " ".join(map(str, arguments))
            said = (answer.stderr + answer.stdout).decode(errors="replace")
            raise PodmanError(f"podman {words}: exit {answer.returncode}\n{said}")
        return answer.stdout.decode().removesuffix("\n")

    def ask(
        self, *arguments: str | Path, given: bytes | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        """`podman ARGUMENTS`, whatever its exit status."""
        return subprocess.run(
            ["podman", *map(str, arguments)],
            env=self.environment,
            input=b"" if given is None else given,
            capture_output=True,
            check=False,
            timeout=SECONDS,
        )

    def start(self, image: str, *command: str, options: Sequence[str] = ()) -> "Container":
        """`podman run --detach`: a container that is gone when it is removed."""
        return Container(self, self.run("run", "--detach", *options, image, *command))

    @property
    def _containers_conf(self) -> Path:
        return self.folder / "containers.conf"

    @property
    def _storage_conf(self) -> Path:
        return self.folder / "storage.conf"


@frozen
class Container:
    """One container, running or not. Removed at the end of its `with` block, with its volumes."""

    podman: Podman
    name: str

    def run(self, *command: str, user: str | None = None) -> str:
        """Run a command in it; its standard output."""
        options = [] if user is None else ["--user", user]
        return self.podman.run("exec", *options, self.name, *command)

    def ask(self, *command: str) -> subprocess.CompletedProcess[bytes]:
        """Run a command in it, whatever its exit status."""
        return self.podman.ask("exec", self.name, *command)

    def write(self, path: str, content: bytes) -> None:
        """Write a file in it, whose folder is there and which a shell can reach."""
        self.podman.run(
            "exec", "--interactive", self.name, "/bin/sh", "-c", 'cat > "$0"', path, given=content
        )

    @property
    def log(self) -> str:
        """What its first process printed, both ways."""
        answer = self.podman.ask("logs", self.name)
        return (answer.stdout + answer.stderr).decode(errors="replace")

    def remove(self) -> None:
        """End it at once and forget it."""
        self.podman.run("rm", "--force", "--time=0", "--volumes", self.name)

    def __enter__(self) -> Self:
        """Nothing to do: it runs already."""
        return self

    def __exit__(self, *error: object) -> None:
        """Leave nothing behind."""
        self.remove()


def options_of(settings: Mapping[str, str]) -> list[str]:
    """Return what hands variables to a container."""
    return [f"--env={name}={value}" for name, value in settings.items()]
