"""`deploy/compose/` as somebody runs it, with the real Compose on podman's socket.

    with ComposeProject.start(podman, folder, images, postgres) as project:
        project.run("up", "--detach", "--wait")

The timers of systemd that run health checks for podman are not there, so a thread runs them.
"""

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import orjson
from attrs import define, field, frozen

from deploy.dev.debian import REPOSITORY
from deploy.dev.podman import Podman
from deploy.dev.processes import Child, free_port

FILE: Final = REPOSITORY / "deploy" / "compose" / "compose.yaml"
FOR_TESTS: Final = Path(__file__).with_name("compose_test.yaml")
COMPOSE: Final = Path(sys.executable).with_name("docker-compose")
SECONDS: Final = 240.0  # of one command, on a loaded machine
HEALTH_SECONDS: Final = 0.5
FACADES: Final = ("facade-1", "facade-2")


@frozen
class Ports:
    """Of the host."""

    control_plane: int = field(factory=free_port)
    facades: tuple[int, int] = field(factory=lambda: (free_port(), free_port()))


@frozen
class ComposeProject:
    """One project: everything in it is gone at the end."""

    podman: Podman
    secrets: Path
    ports: Ports
    environment: Mapping[str, str]

    def run(self, *words: str, given: bytes = b"") -> str:
        """`docker compose WORDS`; its standard output."""
        answer = subprocess.run(
            [COMPOSE, "--file", FILE, "--file", FOR_TESTS, "--progress=plain", *words],
            env=self.environment,
            input=given,
            capture_output=True,
            check=False,
            timeout=SECONDS,
        )
        said = (answer.stderr + answer.stdout).decode(errors="replace")
        assert answer.returncode == 0, f"{' '.join(words)}\n{said}\n{self.logs()}"
        return answer.stdout.decode()

    def container(self, service: str) -> str:
        """Return the container of a service, running or not."""
        return self.run("ps", "--all", "--quiet", service).strip()

    def inspected(self) -> list[dict[str, Any]]:
        """Return all that podman tells of each container."""
        names = self.podman.run("ps", "--all", "--quiet").split()
        return list(orjson.loads(self.podman.run("inspect", *names)))

    def logs(self) -> str:
        """Return what each container printed last."""
        said = []
        for name in self.podman.run("ps", "--all", "--format={{.Names}}").split():
            answer = self.podman.ask("logs", "--tail=30", name)
            said.append(f"== {name}\n{(answer.stdout + answer.stderr).decode(errors='replace')}")
        return "\n".join(said)


@define
class _HealthChecks:
    """Run the health checks of whatever runs, again and again."""

    podman: Podman
    ended: threading.Event = field(factory=threading.Event)

    def run(self) -> None:
        """Until told to end."""
        while not self.ended.wait(HEALTH_SECONDS):
            for name in self.podman.ask("ps", "--quiet").stdout.decode().split():
                self.podman.ask("healthcheck", "run", name)


@contextlib.contextmanager
def compose_project(
    podman: Podman, folder: Path, images: Mapping[str, str], postgres: str
) -> Iterator[ComposeProject]:
    """Podman's service, and a project of which nothing was started yet."""
    secrets, ports = folder / "secrets", Ports()
    secrets.mkdir(mode=0o700)
    # A socket's path is short, whatever the folders of tests are called.
    with tempfile.TemporaryDirectory() as place, contextlib.ExitStack() as stack:
        address = Path(place) / "podman"
        service = Child.start(
            ["podman", "system", "service", "--time=0", f"unix://{address}"],
            log=folder / "podman.log",
            environment={**podman.environment, "DISABLE_HC_SYSTEMD": "true"},
        )
        stack.callback(service.stop)
        service.wait_until(lambda: _answers(address))
        project = ComposeProject(
            podman,
            secrets,
            ports,
            {
                "PATH": os.environ["PATH"],
                "HOME": str(folder),
                "DOCKER_HOST": f"unix://{address}",
                "CONTROL_PLANE_IMAGE": images["control-plane"],
                "FACADE_IMAGE": images["facade"],
                "POSTGRES_IMAGE": postgres,
                "SECRETS": str(secrets),
                "CONTROL_PLANE_PORT": str(ports.control_plane),
                "FACADE_1_PORT": str(ports.facades[0]),
                "FACADE_2_PORT": str(ports.facades[1]),
                "FACADE_CACHE_MAX_BYTES": "1GiB",
                "DESCRIPTORS": "4096",
            },
        )
        checks = _HealthChecks(podman)
        thread = threading.Thread(target=checks.run)
        thread.start()
        stack.callback(thread.join)
        stack.callback(checks.ended.set)
        stack.callback(project.run, "down", "--volumes", "--timeout=5", "--remove-orphans")
        yield project


def _answers(address: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as asking:
        return asking.connect_ex(str(address)) == 0
