"""What a run was made on: figures of two machines, or of a busy one, are not to be compared."""

import os
import platform
import ssl
import subprocess
from typing import Self

from attrs import field, frozen
from OpenSSL import SSL

from deploy.dev import debian
from tests.bench.own_network import Network


def load_average() -> float:
    """How many processes wanted to run in the last minute."""
    return os.getloadavg()[0]


@frozen
class Rivals:
    """Versions of what the facade is measured beside."""

    nginx: str
    distribution: str

    @classmethod
    def fetch(cls) -> Self:
        """Fetch what is not here yet, from the machine's network. Raises `DebianError`."""
        return cls(
            _version("nginx", "nginx", "-v"),
            _version("docker-registry", "docker-registry", "--version"),
        )


@frozen
class Machine:
    """The machine at the beginning of a run."""

    network: Network
    rivals: Rivals
    cores: int = field(factory=lambda: len(os.sched_getaffinity(0)))
    load: float = field(factory=load_average)
    python: str = field(factory=platform.python_version)
    openssl: str = ssl.OPENSSL_VERSION
    facade_openssl: str = SSL.OpenSSL_version(SSL.OPENSSL_VERSION).decode()

    @property
    def is_busy(self) -> bool:
        """Whether others want so much of it that times say little."""
        return self.load > self.cores / 2

    def __str__(self) -> str:
        """Everything of it, in a line."""
        facts = f"{self.cores} cores, {self.network}, load {self.load:.1f} at the beginning"
        parts = (
            f"Python {self.python}, {self.openssl}",
            f"facade with {self.facade_openssl}",
            f"{self.rivals.nginx}, distribution {self.rivals.distribution}",
        )
        return f"{facts}{' (BUSY: times say little)' if self.is_busy else ''}; {'; '.join(parts)}"


def _version(name: str, package: str, option: str) -> str:
    command = [str(debian.program(name, package)), option]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    return (answer.stdout + answer.stderr).split()[-1]
