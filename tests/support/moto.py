"""moto's AWS as a child process: an implementation of STS and ECR that is not ours."""

import socket
import sys
from pathlib import Path
from typing import Final, Self

from attrs import frozen

from deploy.dev.processes import Child, free_port

READY_SECONDS: Final = 60.0


@frozen
class Moto:
    """A running moto server; it believes everybody who signs."""

    port: int
    child: Child

    @classmethod
    def start(cls, folder: Path) -> Self:
        """Start one, and return once it listens."""
        port = free_port()
        child = Child.start(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
            log=folder / "moto.log",
            environment={"PATH": "/usr/bin:/bin"},
        )
        started = cls(port, child)
        child.wait_until(started._listens, READY_SECONDS)
        return started

    @property
    def url(self) -> str:
        """Its endpoint, for every service."""
        return f"http://127.0.0.1:{self.port}"

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0
