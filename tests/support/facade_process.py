"""A real facade as a child process, and devices that ask it over real mutual TLS."""

import asyncio
import re
import socket
import ssl
import sys
import urllib.error
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any, Self

import aiohttp
import orjson
from attrs import define, field, frozen

from deploy.dev.device_ca import CertificateAuthority, CertificateFiles, IssuedCertificate
from deploy.dev.loopback import ask
from deploy.dev.processes import Child, free_port
from tests.support.eventually import eventually
from tests.support.log_file import logged
from tests.support.surroundings import ONE_AUTHORITY
from tests.support.warm.program import WarmProgram

READY_SECONDS = 180.0  # 61 at a load of 45, started cold; alone it takes one
LISTENING = "0A"  # TCP_LISTEN
SURROUNDINGS = {"PATH": "/usr/bin:/bin", **ONE_AUTHORITY}  # of every facade


@frozen
class FacadeFiles:
    """The folder of one facade: certificates, keys and state."""

    folder: Path
    device_ca: CertificateAuthority
    server_ca: CertificateAuthority

    @classmethod
    def write(
        cls, folder: Path, *, statement_public_pem: bytes, sealing_private_pem: bytes
    ) -> Self:
        """Write a new device CA, a new server CA and certificate, and the keys given."""
        folder.mkdir(parents=True, exist_ok=True)
        files = cls(
            folder,
            CertificateAuthority.create("test device CA"),
            CertificateAuthority.create("test server CA"),
        )
        (folder / "device-ca.pem").write_bytes(files.device_ca.pem)
        (folder / "server-ca.pem").write_bytes(files.server_ca.pem)
        files.server_ca.issue_server().write(folder, "server")
        (folder / "statement.public.pem").write_bytes(statement_public_pem)
        (folder / "sealing.private.pem").touch(mode=0o600)
        (folder / "sealing.private.pem").write_bytes(sealing_private_pem)
        return files

    def environment(self, database_url: str) -> dict[str, str]:
        """Return the variables that `facade serve` needs."""
        return {
            "FACADE_DATABASE_URL": database_url,
            "FACADE_TLS_CERT_FILE": str(self.folder / "server.pem"),
            "FACADE_TLS_KEY_FILE": str(self.folder / "server.key"),
            "FACADE_DEVICE_CA_FILE": str(self.folder / "device-ca.pem"),
            "FACADE_SEALING_PRIVATE_KEY_FILE": str(self.folder / "sealing.private.pem"),
            "FACADE_STATEMENT_PUBLIC_KEY_FILE": str(self.folder / "statement.public.pem"),
            "FACADE_STATE_DIR": str(self.folder / "state"),
            "FACADE_CACHE_MAX_BYTES": "0",
            "FACADE_ALLOW_LOOPBACK": "true",
            "FACADE_LOG_LEVEL": "debug",
            "FACADE_ALLOW_CORE_DUMPS": "true",  # tests read what /proc says of it
            "FACADE_DRAIN_TIMEOUT": "10s",
            # Many devices of a test are often one certificate.
            "FACADE_MAX_CONNECTIONS_PER_DEVICE": "5000",
        }


@define
class Facade:
    """One running facade."""

    files: FacadeFiles
    port: int
    operations_port: int
    environment: dict[str, str]
    child: Child
    prefix: tuple[str, ...] = ()  # of its command line
    cold: bool = False

    @classmethod
    def start(
        cls,
        files: FacadeFiles,
        database_url: str,
        settings: Mapping[str, str] | None = None,
        *,
        wait: bool = True,
        seconds: float = READY_SECONDS,
        prefix: tuple[str, ...] = (),
        cold: bool = False,
    ) -> Self:
        """Start a facade; with `wait`, return once it is ready, else once devices are let in.

        That may take `seconds` at most.

        It is forked from one that is warm, unless it has a prefix or surroundings of its own, or is
        to be started as a deployer does.
        """
        port, operations_port = free_port(), free_port()
        environment = {
            **files.environment(database_url),
            "FACADE_LISTEN": f"127.0.0.1:{port}",
            "FACADE_OPERATIONS_LISTEN": f"127.0.0.1:{operations_port}",
            **(settings or {}),
        }
        child = _spawn(files, environment, prefix, cold=cold)
        facade = cls(files, port, operations_port, environment, child, prefix, cold)
        facade.child.wait_until(facade.is_ready if wait else facade.listens, seconds)
        return facade

    def restart(self, *, wait: bool = True) -> None:
        """Start again on the same addresses and state, after `stop` or `kill`.

        Without `wait`, return once it is alive: it may have much to read before it lets devices in.
        """
        self.child = _spawn(self.files, self.environment, self.prefix, cold=self.cold)
        self.child.wait_until(self.is_ready if wait else self.is_alive, READY_SECONDS)

    def stop(self) -> int:
        """Stop gracefully; return the exit status."""
        return self.child.stop()

    def is_alive(self) -> bool:
        """Tell whether the operations address answers."""
        return self.operations("/healthz")[0] == 200

    def is_ready(self) -> bool:
        """Tell whether `/readyz` says 200, and devices are let in."""
        return self.operations("/readyz")[0] == 200 and self.listens()

    def listens(self) -> bool:
        """Tell whether the port listens, without connecting to it."""
        sockets = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()]
        port = int(self.environment["FACADE_LISTEN"].rpartition(":")[2])
        return any(each[1].endswith(f":{port:04X}") and each[3] == LISTENING for each in sockets)

    def operations(self, path: str) -> tuple[int, str]:
        """Return status and text of an operations path; 0 if nobody answers."""
        try:
            url = f"http://127.0.0.1:{self.operations_port}{path}"
            with ask(url) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def not_asked(self) -> dict[str, float]:
        """Return how often no registry was asked, by each reason that there was."""
        counted = re.findall(
            r'^facade_not_asked_total\{reason="(\w+)"\} (\S+)$',
            self.operations("/metrics")[1],
            re.MULTILINE,
        )
        return {reason: float(count) for reason, count in counted if float(count)}

    @property
    def log_text(self) -> str:
        """Everything that was logged so far."""
        return self.child.log.read_text()

    def log_lines(self, **having: object) -> list[dict[str, Any]]:
        """Return the log's JSON lines that have these fields."""
        lines = logged(self.child.log, f"http://127.0.0.1:{self.operations_port}/healthz")
        return [line for line in lines if all(line.get(k) == v for k, v in having.items())]

    def device(self, issued: IssuedCertificate | None = None, **options: Any) -> "Device":
        """Return a device with this certificate, by default a good one of the fleet `line-a`."""
        issued = issued or self.files.device_ca.issue_device()
        files = issued.write(self.files.folder, f"device-{issued.serial:x}")
        return Device(self, files, **options)


@frozen
class Answer:
    """What a device was answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    @property
    def error_code(self) -> str:
        """The OCI error's code."""
        return str(orjson.loads(self.body)["errors"][0]["code"])


@define
class Device:
    """Asks the facade with one certificate, on one new connection for each request."""

    facade: Facade
    files: CertificateFiles
    maximum_version: ssl.TLSVersion | None = None

    def tls(self) -> ssl.SSLContext:
        """Return a context that presents the certificate and verifies the facade."""
        context = ssl.create_default_context(cafile=str(self.facade.files.folder / "server-ca.pem"))
        context.load_cert_chain(self.files.certificate, self.files.key)
        if self.maximum_version is not None:
            context.maximum_version = self.maximum_version
        return context

    async def get(self, path: str, *, method: str = "GET", **headers: str) -> Answer:
        """Return the answer; raise `aiohttp.ClientError` if it is cut."""
        url = f"https://localhost:{self.facade.port}{path}"
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        async with (
            device_session(self.tls()) as session,
            session.request(method, url, headers=names, auto_decompress=False) as answer,
        ):
            return Answer(answer.status, dict(answer.headers), await answer.read())

    async def raw(self, request: bytes, *, wait: float = 5.0) -> bytes:
        """Send bytes as they are; return all that comes until the end, a reset included."""
        reader, writer = await asyncio.open_connection(
            "localhost", self.facade.port, ssl=self.tls()
        )
        received = bytearray()
        try:
            writer.write(request)
            async with asyncio.timeout(wait):
                while chunk := await reader.read(65536):
                    received += chunk
        except (TimeoutError, ConnectionError, ssl.SSLError):
            pass  # what came until then is the answer
        finally:
            writer.transport.abort()
        return bytes(received)


@asynccontextmanager
async def device_session(tls: ssl.SSLContext) -> AsyncIterator[aiohttp.ClientSession]:
    """Give a session; return when its sockets are closed.

    aiohttp lets go of a TLS connection before its socket is closed. A loop that ends in between
    gives a warning, which would fail whichever test runs next.
    """
    sockets: list[socket.socket] = []

    def make_socket(address: aiohttp.AddrInfoType) -> socket.socket:
        family, kind, protocol, _, _ = address
        sockets.append(socket.socket(family, kind, protocol))
        return sockets[-1]

    connector = aiohttp.TCPConnector(ssl=tls, socket_factory=make_socket)
    async with aiohttp.ClientSession(connector=connector) as session:
        yield session
    await eventually(lambda: all(made.fileno() == -1 for made in sockets))


def _spawn(
    files: FacadeFiles, environment: Mapping[str, str], prefix: tuple[str, ...], *, cold: bool
) -> Child:
    log = files.folder / "facade.log"
    whole = {**SURROUNDINGS, **environment}
    if not (prefix or cold) and all(name.startswith("FACADE_") for name in environment):
        return warm_facade().fork(["serve"], log=log, environment=whole, cwd=Path.cwd())
    command = [*prefix, sys.executable, "-m", "facade", "serve"]
    return Child.start(command, log=log, environment=whole)


@cache
def warm_facade() -> WarmProgram:
    """Return what forks facades; the first time from the main thread."""
    return WarmProgram.start(
        "facade.__main__",
        *(f"facade.commands.{name}" for name in ("serve", "definitions", "settings")),
        surroundings=SURROUNDINGS,
    )
