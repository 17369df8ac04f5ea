"""Today's programs read what version 0.1.0 left: README.md says how that was made."""

import subprocess
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, closing
from pathlib import Path
from typing import Any, Final

import orjson
import pytest
import pytest_asyncio
from attrs import frozen

from control_plane.proof.generations_file import GenerationsFile
from control_plane.proof.signed_log import Place
from deploy.dev.postgres import Postgres
from facade.store.piece_checksums import CHECKED_BYTES
from shared.approved_connection import approved_connection
from shared.keys import load_sealing_private_keys
from shared.sealed_secret import open_sealed
from shared.upstream.credentials.google_key import GoogleServiceAccountKey
from tests.support.control_plane import (
    LOGIN_PASSWORD,
    LOGIN_ROLE,
    ControlPlane,
    Json,
    KeyFiles,
    make_login_role,
    served,
)
from tests.support.eventually import eventually
from tests.support.facade_database import FACADE_PASSWORD, FACADE_ROLE, DatabaseTemplate
from tests.support.facade_process import Device, Facade, FacadeFiles
from tests.support.simulators.behaviour import Answers, Honest
from tests.support.simulators.login import BasicLogin
from tests.support.simulators.proxy import ProxySimulator
from tests.support.simulators.registry import RegistrySimulator
from tests.system.version_before import make_files as before

pytestmark = pytest.mark.asyncio(loop_scope="module")

ARCHIVE: Final = Path(__file__).with_name("version_0_1_0.tar.gz")
NAME: Final = "version_before"
AWAY: Final = Answers(503)
PROBLEM: Final = 'facade_problem{part="database"} '
ROLES: Final = {"alice", "bob", "root", "eve", "rotated"}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files, as if both programs had been stopped a moment ago."""
    return unpacked(tmp_path_factory.mktemp("version-before"))


@pytest.fixture(scope="module")
def answers(files: Path) -> Json:
    """What the control plane of the version before said."""
    read: Json = orjson.loads((files / before.ANSWERS).read_bytes())
    return read


@frozen
class Remembering:
    """A facade that has what it had stored and remembered, and no database."""

    facade: Facade
    upstream: RegistrySimulator  # fails whatever is stored
    contents: before.Contents

    def device(self, name: str) -> Device:
        """Return a device of `line-a`."""
        return self.facade.device(self.facade.files.device_ca.issue_device(device=name))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def remembering(
    files: Path,
    postgres: Postgres,
    database_template: DatabaseTemplate,  # noqa: ARG001 - it makes the facade's login
) -> AsyncIterator[Remembering]:
    """Started before its database is there."""
    keys = KeyFiles(files / before.KEYS)
    own = FacadeFiles.write(
        files / "facade",
        statement_public_pem=keys.statement_public.read_bytes(),
        sealing_private_pem=keys.sealing_private.read_bytes(),
    )
    async with AsyncExitStack() as stack:
        login = BasicLogin(before.USERNAME, before.TOKEN)
        upstream = await stack.enter_async_context(RegistrySimulator(login=login))
        proxy = await stack.enter_async_context(ProxySimulator())
        proxy.leads_to[before.AUTHORITY] = ("127.0.0.1", upstream.port)
        contents = before.put_contents(upstream, broken_off=Honest(), stored=AWAY)
        facade = Facade.start(
            own,
            postgres.url(FACADE_ROLE, FACADE_PASSWORD, NAME),
            before.settings_of_facade(files, proxy),
        )
        stack.callback(facade.child.kill)
        await eventually(lambda: database_problem(facade) == "1.0")
        yield Remembering(facade, upstream, contents)


@frozen
class Upgraded:
    """A control plane of today on the old database and state folder, and what it says."""

    plane: ControlPlane
    said: Json  # before any act of today


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def upgraded(
    files: Path, postgres: Postgres, answers: Json, remembering: Remembering
) -> AsyncIterator[Upgraded]:
    """The database is there and migrated, and the facade reads it."""
    database = f"{NAME}_restored"
    postgres.create_database(database)
    postgres.sql("DROP SCHEMA public", database)
    postgres.sql((files / before.DATABASE).read_text(), database)
    make_login_role(postgres)
    postgres.sql(f"ALTER DATABASE {database} RENAME TO {NAME}")
    plane = await ControlPlane.start(
        files,
        owner_url=postgres.superuser_url_of(NAME),
        url=postgres.url(LOGIN_ROLE, LOGIN_PASSWORD, NAME),
        keys=KeyFiles(files / before.KEYS),
        environment=before.settings_of_control_plane(files / before.PLANE_STATE),
        tokens=answers["tokens"],
    )
    await eventually(lambda: database_problem(remembering.facade) == "0.0")
    yield Upgraded(plane, await before.answers(plane))
    plane.stop()


def unpacked(folder: Path) -> Path:
    """Return the folder with the files, all of them new: a broken-off blob is kept for a day."""
    options = ["--extract", "--gzip", "--no-same-owner", "--touch"]
    subprocess.run(["tar", *options, "--file", ARCHIVE, "--directory", folder], check=True)
    return folder


async def until_told(facade: Facade, view: Json) -> None:
    """Return once the facade believes the generation of a view."""
    line = {"subject": f"connection/{view['id']}", "generation": view["generation"]}
    await eventually(lambda: bool(facade.log_lines(event="statement accepted", **line)))


def database_problem(facade: Facade) -> str:
    """Return 1.0 while the facade cannot read its database, else 0.0."""
    return facade.operations("/metrics")[1].partition(PROBLEM)[2].partition("\n")[0]


def grown(old: Any, new: Any) -> Any:
    """Return of a new answer what the old one has too: fields may have been added."""
    match old, new:
        case dict(), dict():
            return {name: grown(value, new.get(name)) for name, value in old.items()}
        case list(), list() if len(old) == len(new):
            return [grown(*pair) for pair in zip(old, new, strict=True)]
        case _:
            return new


def approved(answers: Json) -> list[Json]:
    """Return the connections that were served."""
    return [view for view in answers["connections"] if view["status"] == "approved"]


async def test_a_facade_serves_what_it_remembered_and_stored(
    remembering: Remembering, answers: Json
) -> None:
    """From its state folder and its cache alone: its registry fails, and it has no database."""
    device, contents = remembering.device("press-7"), remembering.contents
    assert (await device.get(contents.stored)).body == before.STORED
    assert (await device.get(contents.manifest)).body == before.MANIFEST
    metrics = remembering.facade.operations("/metrics")[1]
    assert f"facade_approved_connections {len(approved(answers))}.0" in metrics
    for name, status in (("revoked", 403), ("again", 403), ("lifted", 200)):
        assert (await remembering.device(name).get(contents.stored)).status == status, name


async def test_a_blob_that_was_broken_off_is_gone_on_with(remembering: Remembering) -> None:
    """With the secret that the version before had sealed."""
    answer = await remembering.device("press-7").get(remembering.contents.broken_off)
    assert answer.body == before.BROKEN_OFF
    digest = remembering.contents.broken_off.rpartition("/")[2]
    asked = [each.header("Range") for each in remembering.upstream.pulls if digest in each.target]
    assert asked
    checked = before.CAME - before.CAME % CHECKED_BYTES  # less than a piece has no checksum
    assert all(each and each.startswith(f"bytes={checked}-") for each in asked), asked


async def test_the_control_plane_says_what_it_said(upgraded: Upgraded, answers: Json) -> None:
    """Of every connection, revocation of a device, and entry of the log."""
    old = {name: answers[name] for name in upgraded.said}
    assert grown(old, upgraded.said) == old
    ready = await upgraded.plane.client(None).call("GET", "/readyz")
    assert ready.json == {"status": "ready"}
    upgraded.plane.run("audit", "verify")


async def test_operators_are_let_in_with_their_tokens(upgraded: Upgraded, answers: Json) -> None:
    """But for who was removed, and for a token that was replaced."""
    statuses = {
        name: (await upgraded.plane.client(name).call("GET", "/v1/audit")).status
        for name in answers["tokens"]
    }
    assert {name for name, status in statuses.items() if status == 200} == ROLES
    assert {status for name, status in statuses.items() if name not in ROLES} == {401}


async def test_sealed_secrets_open(upgraded: Upgraded, answers: Json) -> None:
    """Each for its connection."""
    (key,) = load_sealing_private_keys(upgraded.plane.keys.sealing_private.read_bytes()).values()
    opened = set()
    for view in approved(answers):
        connection = approved_connection(await served(upgraded.plane, view["id"]))
        if view["secret_version"] is None:
            assert connection.sealed_secret is None
            continue
        assert connection.sealed_secret is not None
        secret = open_sealed(connection.sealed_secret, key, connection.seal_context)
        opened.add(view["provider"])
        if view["google"]:
            found = GoogleServiceAccountKey.from_secret(secret)
            assert found.client_email == view["google"]["client_email"]
        else:
            assert secret.reveal_text() == before.TOKEN
    assert opened == {"static", "google_service_account"}


async def test_acts_go_on(upgraded: Upgraded, remembering: Remembering, answers: Json) -> None:
    """A facade takes what is signed today over what it remembered."""
    bob = upgraded.plane.client("bob")
    pending = [view for view in answers["connections"] if view["status"] == "pending"]
    now = [await bob.approve(view) for view in pending]
    (edited,) = [view for view in approved(answers) if view["draft"]]
    now.append(await bob.approve(edited))
    now.append(await bob.revoke(approved(answers)[1]["id"]))
    for view in now:
        await until_told(remembering.facade, view)
    (revoked,) = [
        view
        for view in answers["device_revocations"]
        if view["device"] == before.device_id("revoked")
    ]
    await bob.lift(revoked["id"])

    async def is_served() -> bool:
        device = remembering.device("revoked")
        return (await device.get(remembering.contents.stored)).status == 200

    await eventually(is_served)
    upgraded.plane.run("audit", "verify")


async def test_the_control_planes_state_folder_is_read(answers: Json, tmp_path: Path) -> None:
    """Where the log ended, and the newest generation of each subject."""
    folder = unpacked(tmp_path)
    with closing(GenerationsFile.open(folder / before.PLANE_STATE)) as state:
        end, generations = state.read_chain().end, state.read()
    newest = answers["audit"][-1]
    assert end == Place(newest["sequence"], newest["hash"])
    told = {
        f"connection/{view['id']}": view["generation"]
        for view in answers["connections"]
        if view["generation"]
    }
    assert told
    assert told.items() <= generations.items()
    assert f"device/{before.device_id('revoked')}" in generations
