"""Debian's `docker-registry` (distribution 2.8) on loopback: a real registry of our own.

It runs from the package unpacked into .dev/, or from the machine's own if there is one, and ends
with us. Its log has a line for every request.
"""

import ssl
import urllib.error
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import bcrypt
import orjson
from attrs import field, frozen

from deploy.dev import debian
from deploy.dev.device_ca import CertificateFiles
from deploy.dev.loopback import ask
from deploy.dev.processes import Child, free_port

REALM = "development registry"
BCRYPT_ROUNDS = 4  # bcrypt's least: the registry checks it on every request


@frozen
class Open:
    """Anybody may read and write."""


@frozen
class Htpasswd:
    """HTTP Basic, with these users and passwords."""

    users: Mapping[str, str] = field(repr=False)


@frozen
class TokenAuth:
    """Bearer tokens of a token server; `certificate` is the PEM of the key that signs them."""

    realm: str
    service: str
    issuer: str
    certificate: bytes


Authentication = Open | Htpasswd | TokenAuth


class Registry:
    """One registry with its blobs under `folder`; content and port outlive a restart."""

    def __init__(
        self,
        folder: Path,
        *,
        authentication: Authentication = Open(),
        tls: CertificateFiles | None = None,
        port: int | None = None,
    ) -> None:
        self.folder = folder
        self.authentication = authentication
        self.tls = tls
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

    @property
    def host(self) -> str:
        """What an operator connects: `127.0.0.1:<port>`."""
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"{'http' if self.tls is None else 'https'}://{self.host}"

    @property
    def log(self) -> Path:
        """Its log, access log included."""
        return self.folder / "registry.log"

    @property
    def child(self) -> Child:
        """Its process, to pause and kill; LookupError before the first start."""
        if self._child is None:
            raise LookupError("this registry was never started")
        return self._child

    def start(self) -> None:
        """Start; returns once `/v2/` answers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        configuration = self.folder / "registry.json"
        configuration.write_bytes(orjson.dumps(self._configuration()))  # JSON is YAML
        self._child = Child.start(
            [debian.program("docker-registry", "docker-registry"), "serve", configuration],
            log=self.log,
            environment={"PATH": "/usr/bin:/bin", "OTEL_TRACES_EXPORTER": "none"},
        )
        self._child.wait_until(self._answers)

    def stop(self) -> None:
        """Stop it. Safe to call twice."""
        if self._child is not None:
            self._child.stop()

    def restart(self) -> None:
        """Stop and start, on the same port and content."""
        self.stop()
        self.start()

    def _configuration(self) -> dict[str, Any]:
        """The configuration file of distribution 2.8."""
        http: dict[str, Any] = {"addr": self.host, "secret": "of no worth on one machine"}
        if self.tls is not None:
            http["tls"] = {"certificate": str(self.tls.certificate), "key": str(self.tls.key)}
        return {
            "version": "0.1",
            "log": {"level": "info"},
            "storage": {
                "filesystem": {"rootdirectory": str(self.folder / "content")},
                "delete": {"enabled": True},
            },
            "http": http,
            "auth": self._authentication(),
        }

    def _authentication(self) -> dict[str, Any]:
        match self.authentication:
            case Open():
                return {}
            case Htpasswd(users):
                path = self.folder / "htpasswd"
                path.write_bytes(b"".join(_htpasswd_line(*user) for user in users.items()))
                return {"htpasswd": {"realm": REALM, "path": str(path)}}
            case TokenAuth(realm, service, issuer, certificate):
                bundle = self.folder / "token.pem"
                bundle.write_bytes(certificate)
                names = {"realm": realm, "service": service, "issuer": issuer}
                return {"token": {**names, "rootcertbundle": str(bundle)}}

    def _answers(self) -> bool:
        # It does not matter whose certificate it is, only whether the port speaks HTTP by now.
        context = ssl._create_unverified_context()  # noqa: S323, SLF001 nothing is told or believed
        try:
            with ask(f"{self.url}/v2/", context):
                return True
        except urllib.error.HTTPError as refusal:
            refusal.close()
            return refusal.code == 401  # noqa: PLR2004 it asks who we are: it is up
        except OSError:
            return False


def _htpasswd_line(user: str, password: str) -> bytes:
    hashed = bcrypt.hashpw(password.encode(), bcrypt.gensalt(BCRYPT_ROUNDS))
    return user.encode() + b":" + hashed + b"\n"
