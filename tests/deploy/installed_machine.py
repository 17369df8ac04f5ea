"""A Debian machine with systemd on which the release's packages are installed, and set up.

Everything is done on the machine as its operator would: files are put in their places, commands of
the product and of systemd are run.
"""

import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import Self

from attrs import define, field

from deploy.dev.device_ca import CertificateAuthority
from deploy.dev.podman import Container, Podman, PodmanError
from deploy.dev.postgres import Postgres
from deploy.dev.stack import make_role
from tests.deploy.debian_machine import ARCHIVE
from tests.deploy.release_files import Release
from tests.support.examples import example

IMAGE = "localhost/machine"
CONFIGURATION = PurePosixPath("/etc/registry-backends")
DATABASE = "installed"
CANARY = "installed-canary-password"
FACADE_PORT, OPERATIONS_PORT, CONTROL_PLANE_PORT = 8443, 8081, 8080  # the defaults
UNITS = ("control-plane", "facade")
PAGE = "docs/install.md"


@define
class InstalledMachine:
    """The machine, from its first start on."""

    container: Container
    server_ca: CertificateAuthority
    device_ca: CertificateAuthority
    token: str = field(default="", init=False)  # the first operator's, who may do all

    @classmethod
    @contextmanager
    def booted(
        cls,
        podman: Podman,
        release: Release,
        server_ca: CertificateAuthority,
        device_ca: CertificateAuthority,
    ) -> Iterator[Self]:
        """Yield it with systemd up; its network is that of the tests: loopback alone."""
        podman.run("import", release.machine_folder / ARCHIVE, IMAGE)
        options = ["--systemd=always", "--network=host", f"--volume={release.folder}:/release:ro"]
        with podman.start(IMAGE, "/lib/systemd/systemd", options=options) as container:
            machine = cls(container, server_ca, device_ca)
            machine.run("systemctl is-system-running --wait || true")
            yield machine

    def run(self, command: str, **variables: str) -> str:
        """Run a line of shell as root; its standard output."""
        words = "".join(f"{name}={shlex.quote(value)} " for name, value in variables.items())
        return self.container.run("/bin/sh", "-ec", f"{words}{command}")

    def tells(self, command: str) -> bool:
        """Whether a line of shell ends with 0."""
        return self.container.ask("/bin/sh", "-ec", command).returncode == 0

    def write(self, path: PurePosixPath, content: bytes, mode: str, group: str = "root") -> None:
        """Put a file in its place, root's, and that group's."""
        self.container.write(str(path), content)
        self.run(f"chown root:{group} {path} && chmod {mode} {path}")

    def systemctl(self, command: str, *units: str) -> None:
        """Have systemd do something, and wait for it; if it fails, show what the units logged."""
        try:
            self.run(f"systemctl {command} {' '.join(units)}")
        except PodmanError as error:
            wanted = " ".join(f"--unit={unit}" for unit in units)
            error.add_note(self.run(f"journalctl --no-pager --lines=40 {wanted}"))
            raise

    def show(self, unit: str, name: str) -> str:
        """Return what systemd says of a unit."""
        return self.run(f"systemctl show --property={name} --value {unit}")

    def install(self) -> None:
        """Install the release's packages, as a machine without a network can."""
        self.run("dpkg --install /release/registry-backends-*.deb")

    def set_up(self, postgres: Postgres) -> None:
        """Do what `docs/install.md` says, line by line, up to the start of both units."""
        make_role(postgres, "installed_owner", CANARY, "CREATEROLE")
        postgres.create_database(DATABASE, "installed_owner")
        self.bring("owner.url", postgres.url("installed_owner", CANARY, DATABASE).encode())
        self.type("control-plane keys")
        self.type("CONTROL_PLANE_MIGRATION_DATABASE_URL_FILE=")
        for unit in UNITS:
            login = f"installed_{unit.replace('-', '_')}"
            make_role(postgres, login, CANARY, "CONNECTION LIMIT 20")
            postgres.sql(f"GRANT registry_{unit.replace('-', '_')} TO {login}")
            self.bring(f"{unit}.url", postgres.url(login, CANARY, DATABASE).encode())
        self.token = self.type("install -m 640 -g registry-control-plane control-plane.url").strip()
        issued = self.server_ca.issue_server()
        self.bring("tls.pem", issued.chain_pem)
        self.bring("tls.key", issued.key_pem)
        self.bring("device-ca.pem", self.device_ca.pem)
        self.settings("facade", {"FACADE_CACHE_MAX_BYTES": "1GiB", "FACADE_ALLOW_LOOPBACK": "true"})
        self.type("install -m 600 keys/sealing.private.pem")
        self.run("rm -r /root/*")

    def bring(self, name: str, content: bytes) -> None:
        """Put what an operator brings beside what is typed."""
        self.write(PurePosixPath("/root") / name, content, "0600")

    def type(self, beginning: str, *, host: str = "ghcr.io") -> str:
        """Type the one block of the page that begins so, of this registry; what it prints."""
        text = example(PAGE, beginning).text.replace("ghcr.io", host)
        return self.run(f"export FACADE_ALLOW_LOOPBACK=true\ncd /root\n{text}")

    def settings(self, unit: str, settings: Mapping[str, str]) -> None:
        """Write a unit's default file anew."""
        lines = "".join(f"{name}={value}\n" for name, value in settings.items())
        self.write(CONFIGURATION / f"{unit}.env", lines.encode(), "0644")

    def show_certificate(self) -> None:
        """Have a new certificate for devices to be shown."""
        issued, facade = self.server_ca.issue_server(), CONFIGURATION / "facade"
        self.write(facade / "tls.pem", issued.chain_pem, "0640", "registry-facade")
        self.write(facade / "tls.key", issued.key_pem, "0640", "registry-facade")
