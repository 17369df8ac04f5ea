"""Keys, passwords and trial certificates of a first start, as files: `first-start` of compose.yaml.

    python -m deploy.compose.first_start FOLDER NAME

It runs once, in a container without a network, as root: each file belongs to the one user who
reads it, and nobody else may. Nothing is overwritten: what is there already, such as a certificate
of yours, stays. The authorities' private keys are kept nowhere: they end with this process.
"""

import os
import secrets
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from attrs import frozen

from control_plane.database.migrate import CONTROL_PLANE_CONNECTIONS, FACADE_CONNECTIONS
from deploy.dev.device_ca import CertificateAuthority

PRODUCT: Final = 65532  # the user of both images
POSTGRES: Final = 999  # of the official image
PASSWORD_BYTES: Final = 32
DATABASE: Final = "registry"
OWNER: Final = "registry_owner"
# As `control-plane migrate` says them: login, group role, connections that it may take.
LOGINS: Final = {
    "control-plane": ("control_plane", "registry_control_plane", CONTROL_PLANE_CONNECTIONS),
    "facade-1": ("facade_1", "registry_facade", FACADE_CONNECTIONS),
    "facade-2": ("facade_2", "registry_facade", FACADE_CONNECTIONS),
}


@frozen
class Secrets:
    """The folder of all of them."""

    folder: Path

    def write(self, name: str, content: bytes, owner: int) -> None:
        """Write a file that its owner alone reads, unless it is there."""
        path = self.folder / name
        if path.exists():
            sys.stderr.write(f"{name} is there, and stays\n")
            return
        unfinished = path.with_name(f".{name}.unfinished")
        unfinished.unlink(missing_ok=True)
        unfinished.touch(mode=0o400)
        unfinished.write_bytes(content)
        os.chown(unfinished, owner, owner)
        unfinished.rename(path)


def make_keys(made: Secrets) -> None:
    """Both key pairs, as `control-plane keys` makes them."""
    with tempfile.TemporaryDirectory(dir=made.folder) as folder:
        keys = Path(folder) / "keys"
        command = ["control-plane", "keys", "--out", str(keys)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)  # noqa: S603 as it stands
        for path in sorted(keys.iterdir()):
            made.write(path.name, path.read_bytes(), PRODUCT)


def make_logins(made: Secrets) -> None:
    """Passwords: as Postgres reads them when its data is made, and as URLs for each program."""
    if (made.folder / "logins.sql").exists():
        sys.stderr.write("logins.sql is there, and stays with its passwords\n")
        return
    owner = secrets.token_urlsafe(PASSWORD_BYTES)
    made.write("postgres-password", owner.encode(), POSTGRES)
    made.write("owner-database-url", _url(OWNER, owner), PRODUCT)
    lines = []
    groups = sorted({group for _, group, _ in LOGINS.values()})
    lines += [f"CREATE ROLE {group} NOLOGIN;" for group in groups]
    for program, (login, group, connections) in LOGINS.items():
        password = secrets.token_urlsafe(PASSWORD_BYTES)
        made.write(f"{program}-database-url", _url(login, password), PRODUCT)
        lines.append(
            f"CREATE ROLE {login} LOGIN PASSWORD '{password}'"
            f" CONNECTION LIMIT {connections} IN ROLE {group};"
        )
    made.write("logins.sql", "\n".join([*lines, ""]).encode(), POSTGRES)


def _url(login: str, password: str) -> bytes:
    # The network between them is the host's own, and nobody else is in it.
    return f"postgresql://{login}:{password}@postgres:5432/{DATABASE}?sslmode=disable".encode()


def make_certificates(made: Secrets, name: str) -> None:
    """Trial certificates: of both servers, and of one device."""
    servers = CertificateAuthority.create("trial CA of the servers")
    devices = CertificateAuthority.create("trial CA of the devices")
    person = made.folder.stat().st_uid  # who tries it
    made.write("server-ca.pem", servers.pem, PRODUCT)
    made.write("device-ca.pem", devices.pem, PRODUCT)
    for server, names in {"control-plane": ["control-plane"], "facade": [name]}.items():
        issued = servers.issue_server(dns=["localhost", *names])
        made.write(f"{server}.pem", issued.chain_pem, PRODUCT)
        made.write(f"{server}.key", issued.key_pem, PRODUCT)
    device = devices.issue_device("line-a", "press-7")
    made.write("press-7.ca.pem", servers.pem, person)
    made.write("press-7.pem", device.chain_pem, person)
    made.write("press-7.key", device.key_pem, person)


def main() -> None:
    """Make what is missing."""
    made, name = Secrets(Path(sys.argv[1])), sys.argv[2]
    make_keys(made)
    make_logins(made)
    make_certificates(made, name)


if __name__ == "__main__":
    main()
