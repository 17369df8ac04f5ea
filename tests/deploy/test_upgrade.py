"""The version before beside today's, in every order: neither withdraws what the other wrote.

The programs of the version before come from the repository's own history. Both versions run on the
libraries of today's lock file.
"""

import os
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from http import HTTPStatus
from itertools import count
from pathlib import Path
from typing import Final

import aiohttp
import pytest
import pytest_asyncio
from attrs import define, field

from control_plane.database.migrate import migrate
from deploy.dev.postgres import Postgres
from deploy.dev.processes import free_port
from deploy.dev.product import PROGRAMS
from shared.postgres.database_url import read_database_url
from tests.support.control_plane import (
    LOGIN_PASSWORD,
    LOGIN_ROLE,
    ControlPlane,
    Json,
    KeyFiles,
    make_login_role,
    serve,
)
from tests.support.eventually import eventually
from tests.support.facade_database import FACADE_PASSWORD, FACADE_ROLE, DatabaseTemplate
from tests.support.facade_process import Device, Facade, FacadeFiles
from tests.support.facade_states import CANARY_TOKEN, USERNAME
from tests.support.simulators.login import BasicLogin
from tests.support.simulators.registry import RegistrySimulator
from tests.support.surroundings import of_a_child

pytestmark = [pytest.mark.long, pytest.mark.asyncio(loop_scope="module")]

VERSION_BEFORE: Final = "d099035b05995b2495a657a76c66364f56dc6eae"  # 0.1.0
ROOT: Final = Path(__file__).parents[2]
PROGRAM_FOLDERS: Final = ("control_plane", "facade", "shared")
PYTHONPATH: Final = "PYTHONPATH"
FACADE, CONTROL_PLANE = "facade", "control plane"


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the programs of the version before."""
    folder = tmp_path_factory.mktemp("version-before")
    archive = ["git", "-C", str(ROOT), "archive", VERSION_BEFORE, "--", *PROGRAM_FOLDERS]
    packed = subprocess.run(archive, capture_output=True, check=False)
    if packed.returncode != 0:
        pytest.fail(
            f"{VERSION_BEFORE} is not in this clone's history (git fetch --unshallow):"
            f" {packed.stderr.decode(errors='replace')}"
        )
    subprocess.run(["tar", "--extract", "--directory", folder], input=packed.stdout, check=True)
    return folder


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def upstream() -> AsyncIterator[RegistrySimulator]:
    """A registry with a password."""
    async with RegistrySimulator(login=BasicLogin(USERNAME, CANARY_TOKEN)) as registry:
        yield registry


@define
class Installation:
    """One control plane and one facade on one database, each of one version or the other."""

    before: Path
    plane: ControlPlane
    facade: Facade
    upstream: RegistrySimulator
    kept: list[tuple[str, bytes]] = field(factory=list)  # paths that were served, and their bytes
    _stages: Iterator[int] = field(factory=count)

    async def change(self, part: str, *, to_before: bool) -> None:
        """Start one part again as the other version, on what it left."""
        environment = (self.facade if part == FACADE else self.plane).environment
        if to_before:
            environment[PYTHONPATH] = str(self.before)
        else:
            del environment[PYTHONPATH]
        if part == FACADE:
            self.facade.stop()
            self.facade.restart()
        else:
            await self.plane.restart()

    async def works(self) -> None:
        """Do something of every kind by the control plane, and hold the facade to all of it."""
        name = f"stage-{next(self._stages)}"
        alice, bob = self.plane.client("alice"), self.plane.client("bob")
        view = await bob.approve(await self._connect(name))
        body = name.encode() * 20_000
        path = self._serve(name, body)
        device = self._device(name)
        await answers(device, path, HTTPStatus.OK)
        assert (await device.get(path)).body == body
        self.kept.append((path, body))

        revocation = await bob.revoke_device(device=identity(name), reason="lost")
        await answers(device, path, HTTPStatus.FORBIDDEN)
        await bob.lift(revocation["id"])
        await answers(device, path, HTTPStatus.OK)

        edited = await bob.approve(await alice.edit(view["id"], fleets=["line-b"]))
        await answers(device, path, HTTPStatus.NOT_FOUND)
        await bob.approve(await alice.edit(edited["id"], fleets=[]))
        await answers(device, path, HTTPStatus.OK)

        gone = await bob.approve(await self._connect(f"gone-{name}"))
        gone_path = self._serve(f"gone-{name}", b"gone " + body)
        await answers(device, gone_path, HTTPStatus.OK)
        await bob.revoke(gone["id"], reason="moved")
        await answers(device, gone_path, HTTPStatus.NOT_FOUND)
        await self.keeps_everything()

    async def keeps_everything(self) -> None:
        """Each blob of an earlier stage is served from the store, and no row is a problem."""
        asked = len(self.upstream.requests)
        device = self._device("keeper")
        for path, body in self.kept:
            answer = await device.get(path)
            assert (answer.status, answer.body) == (HTTPStatus.OK, body), path
        assert len(self.upstream.requests) == asked
        for view in await self.plane.client("bob").list():
            assert view.get("problem") is None, view
        assert not self.facade.log_lines(event="statement refused")

    async def _connect(self, prefix: str) -> Json:
        return await self.plane.client("alice").connect(
            str(self.upstream.host),
            repository_prefix=prefix,
            username=USERNAME,
            token=CANARY_TOKEN,
            plain_http=True,
        )

    def _serve(self, prefix: str, body: bytes) -> str:
        repository = f"{prefix}/app"
        digest = self.upstream.blob(body, repository=repository)
        return f"/v2/{self.upstream.host.path_form}/{repository}/blobs/{digest}"

    def _device(self, name: str) -> Device:
        return self.facade.device(self.facade.files.device_ca.issue_device(device=name))


def identity(device: str) -> str:
    """Return the identity of a device of the fleet that the test's CA issues for."""
    return f"spiffe://example.com/fleet/line-a/device/{device}"


async def answers(device: Device, path: str, status: HTTPStatus) -> None:
    """Return once a device is answered so."""

    async def is_so() -> bool:
        try:
            return (await device.get(path)).status == status
        except aiohttp.ClientError:  # what was changed meanwhile cuts an answer that runs
            return False

    await eventually(is_so)


@pytest.fixture
def install(
    before: Path,
    postgres: Postgres,
    database_template: DatabaseTemplate,  # noqa: ARG001 - it makes the facade's login
    upstream: RegistrySimulator,
    tmp_path: Path,
) -> Iterator[Callable[[str], Installation]]:
    """Return what makes an installation of the version before, on its own schema."""
    made: list[Installation] = []

    def make(name: str) -> Installation:
        made.append(_installed(before, postgres, upstream, tmp_path, name))
        return made[-1]

    yield make
    for each in made:
        each.facade.child.kill()
        each.plane.child.kill()


def _installed(
    before: Path, postgres: Postgres, upstream: RegistrySimulator, folder: Path, name: str
) -> Installation:
    postgres.create_database(name)
    owner_url = postgres.superuser_url_of(name)
    old = {PYTHONPATH: str(before)}

    def run(*arguments: str, **settings: str) -> str:
        ran = subprocess.run(
            [PROGRAMS / "control-plane", *arguments],
            env=of_a_child(settings | old),
            cwd=os.sep,
            capture_output=True,
            check=True,
            text=True,
        )
        return ran.stdout.strip()

    keys = KeyFiles(folder / "keys")
    run("keys", "--out", str(keys.folder))
    run("migrate", CONTROL_PLANE_DATABASE_URL=owner_url)
    make_login_role(postgres)
    url = postgres.url(LOGIN_ROLE, LOGIN_PASSWORD, name)
    key = {"CONTROL_PLANE_STATEMENT_PRIVATE_KEY_FILE": str(keys.statement_private)}
    tokens = {
        operator: run(
            "operators", "add", operator, "--role", role, CONTROL_PLANE_DATABASE_URL=url, **key
        )
        for operator, role in (("alice", "connector"), ("bob", "approver"))
    }
    port = free_port()
    settings = (
        old
        | key
        | {
            "CONTROL_PLANE_DATABASE_URL": url,
            "CONTROL_PLANE_LISTEN": f"127.0.0.1:{port}",
            "CONTROL_PLANE_SEALING_PUBLIC_KEY_FILE": str(keys.sealing_public),
            "CONTROL_PLANE_STATE_DIR": str(folder / "control-plane-state"),
        }
    )
    child = serve(settings, folder / "control-plane.log")
    plane = ControlPlane(folder, keys, url, owner_url, port, tokens, settings, child)
    files = FacadeFiles.write(
        folder / "facade",
        statement_public_pem=keys.statement_public.read_bytes(),
        sealing_private_pem=keys.sealing_private.read_bytes(),
    )
    facade = Facade.start(
        files,
        postgres.url(FACADE_ROLE, FACADE_PASSWORD, name),
        old
        | {
            "FACADE_CACHE_DIR": str(folder / "cache"),
            "FACADE_CACHE_MAX_BYTES": "1GiB",
            "FACADE_POLL_INTERVAL": "1h",
        },
    )
    return Installation(before, plane, facade, upstream)


@pytest.mark.parametrize("order", [(FACADE, CONTROL_PLANE), (CONTROL_PLANE, FACADE)], ids="-".join)
async def test_an_upgrade_and_back_again(
    install: Callable[[str], Installation], order: tuple[str, str]
) -> None:
    """First the schema, then one part, then the other; and back the other way round."""
    installation = install(f"upgrade_{order[0].replace(' ', '_')}")
    await installation.plane.wait_until_ready()
    await installation.works()
    await migrate(read_database_url(installation.plane.owner_url))
    await installation.works()
    for part in order:
        await installation.change(part, to_before=False)
        await installation.works()
    for part in reversed(order):
        await installation.change(part, to_before=True)
        await installation.works()


async def test_todays_facade_on_the_schema_of_before(
    install: Callable[[str], Installation],
) -> None:
    """A facade that is upgraded before the schema serves all the same."""
    installation = install("schema_before")
    await installation.plane.wait_until_ready()
    await installation.works()
    await installation.change(FACADE, to_before=False)
    await installation.works()
