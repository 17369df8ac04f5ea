"""`deploy/compose/`: from the images alone to devices that pull, and go on when a facade stops."""

import asyncio
import contextlib
import os
import socket
import ssl
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import orjson
import pytest
from attrs import frozen

from deploy.compose.first_start import PRODUCT
from deploy.dev import debian
from deploy.dev.device import Reference, pull
from deploy.dev.device_ca import CertificateAuthority
from deploy.dev.image import Destination, Image, push_big_artifact
from deploy.dev.podman import Container, Podman
from tests.deploy.compose_project import FACADES, ComposeProject, compose_project
from tests.deploy.postgres_image import build_postgres_image
from tests.support.eventually import eventually
from tests.support.examples import commands, example
from tests.support.pulling_devices import PullingDevices, pulling
from tests.support.tcp_balancer import TcpBalancer

pytestmark = pytest.mark.long

README: Final = "deploy/compose/README.md"
NETWORK: Final = "registry-backends_outside"
REGISTRY: Final = "registry:5000"
REPOSITORY: Final = "tools/app"
TOKEN: Final = "a-registry-token-that-is-a-canary"
CLIENTS: Final = 8
LAYER_BYTES: Final = 8 * 1024 * 1024
# Secrets that no listing may show, by the names of their files.
HIDDEN: Final = frozenset(
    {"postgres-password", "sealing.private.pem", "statement.private.pem", "facade.key"}
    | {"session.key"}
    | {"control-plane.key", "owner-database-url", "control-plane-database-url"}
    | {"facade-1-database-url", "facade-2-database-url"}
)


@pytest.fixture(scope="module")
def project(
    podman: Podman, images: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ComposeProject]:
    """Everything runs, by the commands of its page."""
    postgres = build_postgres_image(podman, images["facade"])
    folder = tmp_path_factory.mktemp("compose")
    with compose_project(podman, folder, images, postgres) as started:
        devices = CertificateAuthority.create()
        write_for_product(started.secrets / "device-ca.pem", devices.pem)  # `first-start` leaves it
        for number in range(CLIENTS):
            devices.issue_device("line-a", f"press-{number}").write(folder, f"press-{number}")
        for beginning in ("cd deploy/compose", "docker compose up"):
            for command in commands(example(README, beginning).text):
                if command.program == "docker":
                    started.run(*command.words[2:])
        yield started


def write_for_product(path: Path, content: bytes) -> None:
    """Write a file as its page says: of the user who reads it."""
    path.write_bytes(content)
    path.chmod(0o400)
    os.chown(path, PRODUCT, PRODUCT)


@frozen
class World:
    """What a device needs to know."""

    project: ComposeProject
    image: Image
    reference: Reference
    devices: Sequence[ssl.SSLContext]

    async def pull_through(self, facade: int) -> int:
        """Pull the image through one facade; return its bytes."""
        url = f"https://localhost:{self.project.ports.facades[facade]}"
        return (await pull(url, self.reference, self.devices[0])).size

    @property
    def size(self) -> int:
        """Of all of it."""
        return len(self.image.manifest.body) + len(self.image.config.body) + LAYER_BYTES

    @property
    def layer(self) -> str:
        """The digest of its one layer."""
        return str(orjson.loads(self.image.manifest.body)["layers"][0]["digest"])


@pytest.fixture(scope="module")
def world(
    project: ComposeProject, images: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    """A registry in the project's network, connected by an operator and approved."""
    folder = tmp_path_factory.mktemp("registry")
    with registry(project.podman, images["facade"], folder) as container:
        network = address_of(container)
        to = Destination(f"http://{network['IPAddress']}:5000", REPOSITORY)
        asyncio.run(eventually(lambda: listens(network["IPAddress"], 5000)))
        image = asyncio.run(push_big_artifact(to, LAYER_BYTES))
        subnet = network["Gateway"].rpartition(".")[0]
        connect_and_approve(project, f"{subnet}.0/24")
        devices = [device_tls(project, f"press-{number}") for number in range(CLIENTS)]
        yield World(project, image, Reference(REGISTRY, REPOSITORY, image.digest), devices)


def device_tls(project: ComposeProject, name: str) -> ssl.SSLContext:
    """How one device speaks TLS."""
    context = ssl.create_default_context(cafile=project.secrets / "press-7.ca.pem")
    folder = project.secrets.parent
    context.load_cert_chain(folder / f"{name}.pem", folder / f"{name}.key")
    return context


def registry(podman: Podman, image: str, folder: Path) -> Container:
    """Debian's docker-registry in a container; it forgets all at its end."""
    program = debian.program("docker-registry", "docker-registry")
    configuration = folder / "registry.json"
    configuration.write_bytes(
        orjson.dumps(
            {
                "version": "0.1",
                "storage": {"filesystem": {"rootdirectory": "/tmp/content"}},  # noqa: S108
                "http": {"addr": "0.0.0.0:5000", "secret": "of no worth"},
            }
        )
    )
    options = [
        *(f"--network={NETWORK}", "--network-alias=registry", "--name=registry"),
        *(f"--volume={program}:/registry:ro", "--entrypoint=/registry"),
        *(f"--volume={configuration}:/registry.json:ro", "--tmpfs=/tmp"),
        "--env=OTEL_TRACES_EXPORTER=none",
    ]
    return podman.start(image, "serve", "/registry.json", options=options)


def listens(host: str, port: int) -> bool:
    """Tell whether somebody takes a connection there."""
    with socket.socket() as asking:
        return asking.connect_ex((host, port)) == 0


def address_of(container: Container) -> dict[str, Any]:
    """Return where it is reached, and in which network."""
    (found,) = orjson.loads(container.podman.run("inspect", container.name))
    return dict(found["NetworkSettings"]["Networks"][NETWORK])


def connect_and_approve(project: ComposeProject, network: str) -> None:
    """By commands in the control plane's container; the token is not on a command line."""
    inside = ["exec", "-T", "control-plane", "control-plane"]
    token = project.run(*inside, "operators", "add", "alice", "--role", "admin").strip()
    (project.secrets / "alice.token").write_text(token)
    url = f"https://localhost:{project.ports.control_plane}/v1/connections"
    tls = ssl.create_default_context(cafile=project.secrets / "server-ca.pem")

    def call(path: str, body: dict[str, Any]) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        request = urllib.request.Request(url + path, orjson.dumps(body), headers)  # noqa: S310
        with urllib.request.urlopen(request, context=tls) as answer:  # noqa: S310
            return dict(orjson.loads(answer.read()))

    view = call(
        "",
        {
            "host": REGISTRY,
            "provider": "static",
            "username": "robot",
            "token": TOKEN,
            "plain_http": True,
            "allowed_networks": [network],
        },
    )
    call(f"/{view['id']}/approve", {"fingerprint": view["fingerprint"]})


@pytest.mark.parametrize("facade", [0, 1])
async def test_a_device_pulls_through_each_facade(world: World, facade: int) -> None:
    """By mutual TLS, every byte verified."""
    assert await world.pull_through(facade) == world.size


async def test_a_facade_stops_and_the_device_goes_on(world: World) -> None:
    """Through the other one; the first is back with what it knew."""
    world.project.run("stop", FACADES[0])
    with pytest.raises(OSError, match="Connect call failed"):
        await world.pull_through(0)
    assert await world.pull_through(1) == world.size
    world.project.run("up", "--detach", "--wait", "--no-deps", FACADES[0])
    assert await world.pull_through(0) == world.size


def test_no_secret_shows_in_what_podman_tells(world: World) -> None:
    """Each is a file: not in a variable, a command or a label, and not in what was printed."""
    project = world.project
    shown = orjson.dumps(project.inspected()).decode() + project.logs()
    for service in ("control-plane", *FACADES, "postgres"):
        pid = project.podman.run("inspect", "--format={{.State.Pid}}", project.container(service))
        shown += Path(f"/proc/{pid}/environ").read_text("utf-8")
    assert "FACADE_DATABASE_URL_FILE" in shown
    hidden = [TOKEN, (project.secrets / "alice.token").read_text()]
    for name in HIDDEN:
        lines = (project.secrets / name).read_text().splitlines()
        hidden += [line for line in lines if not line.startswith("-----")]
    hidden += [part.rpartition(":")[2].partition("@")[0] for part in hidden if "://" in part]
    passwords = (project.secrets / "logins.sql").read_text().split("'")[1::2]
    assert len(passwords) == 3
    assert [secret for secret in [*hidden, *passwords] if secret in shown] == []


def test_every_process_is_confined(world: World) -> None:
    """A root that nobody may write, no capability, and no way to get one."""
    project = world.project
    for service in ("control-plane", *FACADES, "postgres"):
        container = project.container(service)
        (told,) = orjson.loads(project.podman.run("inspect", container))
        assert told["HostConfig"]["ReadonlyRootfs"] is True
        status = Path(f"/proc/{told['State']['Pid']}/status").read_text("utf-8")
        values = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        assert {values[name] for name in ("CapEff", "CapPrm", "CapBnd")} == {"0" * 16}
        assert values["NoNewPrivs"] == "1"
        assert values["Uid"].split()[0] in {"65532", "999"}


@contextlib.asynccontextmanager
async def load_of(world: World) -> AsyncIterator[tuple[PullingDevices, TcpBalancer]]:
    """Every device pulls, again and again, through a plain TCP balancer."""
    path = f"/v2/{world.reference.facade_path}/blobs/{world.layer}"
    async with (
        TcpBalancer(list(world.project.ports.facades)) as balancer,
        pulling(balancer.port, world.devices, path, world.layer) as load,
    ):
        yield load, balancer


async def test_a_rolling_restart_loses_no_pull(
    world: World, record_property: Callable[[str, object], None]
) -> None:
    """One facade after the other, behind a balancer that looks at nothing; then one dies.

    Devices try again if a connection breaks, and take everything else for final.
    """
    project = world.project
    async with load_of(world) as (load, balancer):
        for facade in FACADES:
            await asyncio.to_thread(project.run, "stop", facade)
            await load.more(CLIENTS)
            await asyncio.to_thread(project.run, "up", "--detach", "--wait", "--no-deps", facade)
            await load.more(CLIENTS)
        rolled = figures(load, balancer)
        await asyncio.to_thread(project.run, "kill", FACADES[0])  # answers break in the middle
    seen = {"rolled": rolled, "and one killed": figures(load, balancer)}
    record_property("pulls", seen)
    print(seen)  # noqa: T201 `make test-deploy TESTS=-s` shows it
    assert load.broken > rolled["broken"]
    project.run("up", "--detach", "--wait", "--no-deps", FACADES[0])


def figures(load: PullingDevices, balancer: TcpBalancer) -> dict[str, int]:
    """Return what was seen so far."""
    seen = {"pulls": load.pulls, "broken": load.broken, "sent away": load.sent_away}
    return {**seen, "turned away from the balancer": balancer.refused}


async def test_a_facade_that_the_balancer_left_out_first_breaks_nothing(world: World) -> None:
    """As a balancer does that asks `/readyz`, or an operator: nobody has to try again."""
    project = world.project
    async with load_of(world) as (load, balancer):
        for number, facade in enumerate(FACADES):
            ports = list(balancer.server_ports)
            balancer.server_ports = ports[:number] + ports[number + 1 :]
            await load.more(2 * CLIENTS)  # those that it had begun have ended
            await asyncio.to_thread(project.run, "stop", facade)
            await load.more(CLIENTS)
            await asyncio.to_thread(project.run, "up", "--detach", "--wait", "--no-deps", facade)
            balancer.server_ports = ports
            await load.more(CLIENTS)
    print(figures(load, balancer))  # noqa: T201 as above
    assert (load.broken, balancer.refused) == (0, 0)
