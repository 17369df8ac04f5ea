"""A real Docker with folders of its own, and with an /etc in which a device's files lie.

It runs as root, in a mount namespace: over the machine's /etc lies the device's, and what Docker
writes there is its own. It makes no network, so that it changes nothing of the machine's.
"""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import orjson
from attrs import frozen

from deploy.dev.processes import Child
from tests.support.clients import ClientError

START_SECONDS: Final = 120  # it starts containerd first
PULL_SECONDS: Final = 120
# The folders: the device's /etc, what is written over it, and what the kernel needs for that.
_OVER_ETC: Final = """
mount -t overlay overlay -o "lowerdir=$1:/etc,upperdir=$2,workdir=$3" /etc
shift 3
exec "$@"
"""


@frozen
class DockerDaemon:
    """A daemon that runs, by its socket."""

    socket: Path

    @classmethod
    @contextmanager
    def run(cls, folder: Path, etc: Path) -> Iterator["DockerDaemon"]:
        """Run it with its files in a folder of a short path; `etc`: what a device has there."""
        daemon = cls(folder / "docker.sock")
        places = [folder / name for name in ("written", "work")]
        for place in places:
            place.mkdir()
        over = ["unshare", "--mount", "sh", "-ec", _OVER_ETC, "sh", str(etc), *map(str, places)]
        dockerd = [
            *("dockerd", f"--host=unix://{daemon.socket}", f"--pidfile={folder}/docker.pid"),
            *(f"--data-root={folder}/data", f"--exec-root={folder}/run"),
            *("--bridge=none", "--iptables=false", "--ip6tables=false"),
            *("--storage-driver=vfs", "--log-level=warn"),
        ]
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(folder)}
        child = Child.start([*over, *dockerd], log=folder / "log", environment=environment)
        try:
            child.wait_until(lambda: daemon.ask("version").returncode == 0, START_SECONDS)
            yield daemon
        finally:
            child.stop(seconds=30)

    def pull(self, image: str) -> None:
        """Pull by digest; raise `ClientError` with what Docker says."""
        answer = self.ask("pull", "--quiet", image)
        if answer.returncode != 0:
            raise ClientError(answer.stderr)

    def image_id(self, image: str) -> str:
        """Return the digest of an image's config, by Docker's own word."""
        answer = self.ask("image", "inspect", image)
        if answer.returncode != 0:
            raise ClientError(answer.stderr)
        (found,) = orjson.loads(answer.stdout)
        return str(found["Id"])

    def ask(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`docker ARGUMENTS`, whatever its end."""
        return subprocess.run(
            ["/usr/bin/docker", f"--host=unix://{self.socket}", *arguments],
            env={"PATH": "/usr/bin:/bin", "HOME": str(self.socket.parent)},
            capture_output=True,
            text=True,
            check=False,
            timeout=PULL_SECONDS,
        )
