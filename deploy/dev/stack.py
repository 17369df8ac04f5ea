"""The whole system on one machine, from nothing to a verified pull.

It takes the steps of a first start in production (keys, migrate, login roles, operator, serve,
connect, approve), with the same programs. A second start uses what the first one left.
"""

import asyncio
import contextlib
import shutil
import ssl
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp
from attrs import field, frozen

from deploy.dev.device import Pulled, Reference, pull
from deploy.dev.device_ca import CertificateAuthority, CertificateFiles
from deploy.dev.image import Destination, busybox_image, push
from deploy.dev.operator import Operator
from deploy.dev.places import (
    RUN,
    Passwords,
    Ports,
    kept_passwords,
    kept_ports,
    write_settings,
    write_whole,
)
from deploy.dev.postgres import Postgres
from deploy.dev.processes import Child
from deploy.dev.product import (
    CommandFailedError,
    run_control_plane,
    serve_control_plane,
    serve_facade,
)
from deploy.dev.registry import Htpasswd, Registry

DATABASE = "registry"
OWNER = "registry_owner"
CONTROL_PLANE_LOGIN = "control_plane_1"
FACADE_LOGIN = "facade_1"
OPERATOR = "developer"
ROBOT = "robot"
REPOSITORY = "tools/busybox"
CACHE_MAX_BYTES = "2GiB"  # some images; a developer's disk has that
CONNECTIONS = 20  # of each login: no process takes the whole server
DRAIN = "5s"  # Ctrl-C should not take long
KEYS = RUN / "keys"
CERTIFICATES = RUN / "certificates"
FACADE_SETTINGS = RUN / "facade.env"
CONTROL_PLANE_SETTINGS = RUN / "control-plane.env"


@frozen
class Certificates:
    """Who everybody is: the facade towards devices, one device towards the facade."""

    server_ca: Path
    device_ca: Path
    server: CertificateFiles
    device: CertificateFiles
    for_skopeo: Path  # the same once more, as skopeo and podman want it: --cert-dir

    def device_tls(self) -> ssl.SSLContext:
        """How the device speaks TLS."""
        context = ssl.create_default_context(cafile=self.server_ca)
        context.load_cert_chain(self.device.certificate, self.device.key)
        return context


@frozen
class Running:
    """A stack that has just served a pull, and what one needs to speak to it."""

    ports: Ports
    token: str = field(repr=False)
    image: Reference
    pulled: Pulled
    certificates: Certificates
    children: Mapping[str, Child]

    @property
    def facade_url(self) -> str:
        """Where devices pull."""
        return f"https://localhost:{self.ports.facade}"

    @property
    def control_plane_url(self) -> str:
        """Where operators work."""
        return f"http://127.0.0.1:{self.ports.control_plane}"


@contextlib.contextmanager
def running(upstream: Reference | None, say: Callable[[str], None]) -> Iterator[Running]:
    """The stack, up and with its first pull verified; all of it stops at the end."""
    ports, passwords = kept_ports(), kept_passwords()
    with contextlib.ExitStack() as stack:
        say("starting PostgreSQL")
        postgres = stack.enter_context(Postgres(RUN / "postgres", ports.postgres))
        say("keys, certificates, schema, roles, an operator")
        make_keys()
        certificates = make_certificates()
        prepare_database(postgres, passwords)
        urls = {role: postgres.url(role, word, DATABASE) for role, word in _logins(passwords)}
        token = operator_token(urls[CONTROL_PLANE_LOGIN])
        say("starting the control plane and the facade")
        environment = control_plane_environment(ports, urls[CONTROL_PLANE_LOGIN])
        write_settings(CONTROL_PLANE_SETTINGS, environment)
        control_plane = serve_control_plane(environment, _log("control-plane"))
        stack.callback(control_plane.stop)
        environment = facade_environment(ports, urls[FACADE_LOGIN], certificates)
        write_settings(FACADE_SETTINGS, environment)
        facade = serve_facade(environment, _log("facade"))
        stack.callback(facade.stop)
        children = {
            "PostgreSQL": postgres.child,
            "the control plane": control_plane,
            "the facade": facade,
        }
        if upstream is None:
            say("starting the registry and pushing an image to it")
            registry = stack.enter_context(local_registry(ports, passwords))
            children["the registry"] = registry.child
            wanted = asyncio.run(push_image(registry, passwords))
            connection = local_connection(registry, passwords)
        else:
            wanted, connection = upstream, {"host": upstream.host, "provider": "static"}
        say(f"connecting {wanted.host} and approving it")
        operator = Operator(f"http://127.0.0.1:{ports.control_plane}", token)
        view = asyncio.run(operator.connect_and_approve(connection))
        image = Reference(view["host"], wanted.repository, wanted.digest)
        say(f"pulling {image.facade_path}@{image.digest} as a device")
        facade_url = f"https://localhost:{ports.facade}"
        pulled = asyncio.run(pull(facade_url, image, certificates.device_tls()))
        yield Running(ports, token, image, pulled, certificates, children)


def make_keys() -> None:
    """The keys of both processes, made once: a folder that is there is whole."""
    if KEYS.is_dir():
        return
    unfinished = KEYS.with_name("keys.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    run_control_plane("keys", "--out", str(unfinished), environment={})
    unfinished.rename(KEYS)


def make_certificates() -> Certificates:
    """Two authorities, made once; what they issue is new at every start."""
    servers = CertificateAuthority.load_or_create(CERTIFICATES / "server-ca", "development CA")
    devices = CertificateAuthority.load_or_create(CERTIFICATES / "device-ca", "device CA")
    device = devices.issue_device("line-a", "press-7")
    for_skopeo = CERTIFICATES / "skopeo"
    for_skopeo.mkdir(exist_ok=True)
    write_whole(for_skopeo / "ca.crt", servers.pem)
    write_whole(for_skopeo / "client.cert", device.chain_pem)
    write_whole(for_skopeo / "client.key", device.key_pem)
    return Certificates(
        server_ca=CERTIFICATES / "server-ca" / "ca.pem",
        device_ca=CERTIFICATES / "device-ca" / "ca.pem",
        server=servers.issue_server().write(CERTIFICATES, "facade"),
        device=device.write(CERTIFICATES, "press-7"),
        for_skopeo=for_skopeo,
    )


def prepare_database(postgres: Postgres, passwords: Passwords) -> None:
    """The database with its schema, an owner who is no superuser, and one login per process."""
    make_role(postgres, OWNER, passwords.owner, "CREATEROLE")
    databases = postgres.sql("SELECT datname FROM pg_database").splitlines()
    if DATABASE not in databases:
        postgres.create_database(DATABASE, OWNER)
    owner_url = postgres.url(OWNER, passwords.owner, DATABASE)
    migration = {"CONTROL_PLANE_MIGRATION_DATABASE_URL": owner_url}
    run_control_plane("migrate", environment=migration)
    for login, password in _logins(passwords):
        make_role(postgres, login, password, f"CONNECTION LIMIT {CONNECTIONS}")
    postgres.sql(f"GRANT registry_control_plane TO {CONTROL_PLANE_LOGIN}")
    postgres.sql(f"GRANT registry_facade TO {FACADE_LOGIN}")


def make_role(postgres: Postgres, name: str, password: str, options: str = "") -> None:
    """A login role with this password, new or not. Both are ours: they need no quoting."""
    if name not in postgres.sql("SELECT rolname FROM pg_roles").splitlines():
        postgres.sql(f"CREATE ROLE {name}")
    postgres.sql(f"ALTER ROLE {name} LOGIN {options} PASSWORD '{password}'")


def operator_token(database_url: str) -> str:
    """The token of an operator who may do everything: kept from an earlier start, or new."""
    kept = RUN / "operator.token"
    if not kept.exists():
        environment = {
            "CONTROL_PLANE_DATABASE_URL": database_url,
            "CONTROL_PLANE_STATEMENT_PRIVATE_KEY_FILE": str(KEYS / "statement.private.pem"),
        }
        write_whole(kept, _new_token(environment).strip().encode())
    return kept.read_text()


def _new_token(environment: Mapping[str, str]) -> str:
    try:
        return run_control_plane(
            "operators", "add", OPERATOR, "--role", "admin", environment=environment
        )
    except CommandFailedError:
        # An earlier start may have been killed between adding the operator and keeping the token.
        return run_control_plane("operators", "rotate", OPERATOR, environment=environment)


def control_plane_environment(ports: Ports, database_url: str) -> dict[str, str]:
    """Configuration of `control-plane serve`."""
    return {
        "CONTROL_PLANE_LISTEN": f"127.0.0.1:{ports.control_plane}",
        "CONTROL_PLANE_DATABASE_URL": database_url,
        "CONTROL_PLANE_SEALING_PUBLIC_KEY_FILE": str(KEYS / "sealing.public.pem"),
        "CONTROL_PLANE_STATEMENT_PRIVATE_KEY_FILE": str(KEYS / "statement.private.pem"),
        "CONTROL_PLANE_DEVICE_IDENTITY": "spiffe",
        "CONTROL_PLANE_DRAIN_TIMEOUT": DRAIN,
    }


def facade_environment(
    ports: Ports, database_url: str, certificates: Certificates
) -> dict[str, str]:
    """Configuration of `facade serve`. The registry is on loopback here, hence the permission."""
    return {
        "FACADE_LISTEN": f"127.0.0.1:{ports.facade}",
        "FACADE_OPERATIONS_LISTEN": f"127.0.0.1:{ports.operations}",
        "FACADE_DATABASE_URL": database_url,
        "FACADE_TLS_CERT_FILE": str(certificates.server.certificate),
        "FACADE_TLS_KEY_FILE": str(certificates.server.key),
        "FACADE_DEVICE_CA_FILE": str(certificates.device_ca),
        "FACADE_SEALING_PRIVATE_KEY_FILE": str(KEYS / "sealing.private.pem"),
        "FACADE_STATEMENT_PUBLIC_KEY_FILE": str(KEYS / "statement.public.pem"),
        "FACADE_STATE_DIR": str(RUN / "facade-state"),
        "FACADE_CACHE_DIR": str(RUN / "facade-cache"),
        "FACADE_CACHE_MAX_BYTES": CACHE_MAX_BYTES,
        "FACADE_ALLOW_LOOPBACK": "true",
        "FACADE_DRAIN_TIMEOUT": DRAIN,
    }


def local_registry(ports: Ports, passwords: Passwords) -> Registry:
    """A registry that asks for a password."""
    authentication = Htpasswd({ROBOT: passwords.registry})
    return Registry(RUN / "registry", authentication=authentication, port=ports.registry)


async def push_image(registry: Registry, passwords: Passwords) -> Reference:
    """A small real image in the registry."""
    login = {"Authorization": aiohttp.encode_basic_auth(ROBOT, passwords.registry)}
    digest = await push(busybox_image(), Destination(registry.url, REPOSITORY, login))
    return Reference(registry.host, REPOSITORY, digest)


def local_connection(registry: Registry, passwords: Passwords) -> dict[str, Any]:
    """What an operator enters to connect the local registry."""
    return {
        "host": registry.host,
        "provider": "static",
        "username": ROBOT,
        "token": passwords.registry,
        "plain_http": True,
        "description": "the development registry on this machine",
    }


def _logins(passwords: Passwords) -> list[tuple[str, str]]:
    return [
        (CONTROL_PLANE_LOGIN, passwords.control_plane),
        (FACADE_LOGIN, passwords.facade),
    ]


def _log(name: str) -> Path:
    """A new log for each start."""
    path = RUN / f"{name}.log"
    path.unlink(missing_ok=True)
    return path
