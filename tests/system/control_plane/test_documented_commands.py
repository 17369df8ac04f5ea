"""What the pages say is typed, line by line: a first start, operators' work, a backup.

The lines are taken from the pages, with this test's names in the places of the examples.
"""

import asyncio
import subprocess
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

import orjson
import pytest
from attrs import frozen

from control_plane.database.migrate import migrate
from control_plane.prefix import PREFIX
from control_plane.serving.config import ALL_SETTINGS, ServeSettings
from deploy.dev.postgres import Postgres, program
from shared.environment import load
from shared.postgres.database_url import read_database_url
from tests.support.commands import run_command
from tests.support.control_plane import ControlPlane
from tests.support.examples import TypedCommand, commands, example

OPERATING, PLANE, WORK = "docs/operating.md", "docs/control-plane.md", "docs/operators.md"
PASSWORD = "documented-password"
MIGRATE_HERE = "-- now: control-plane migrate, as registry_owner\n"
OWNER, LOGIN, FACADE = "registry_owner", "control_plane", "facade_1"


@frozen
class Documented:
    """A server's part that is named as the page says, but for an ending of its own."""

    postgres: Postgres
    ending: str

    def named(self, text: str) -> str:
        """Return SQL with these names."""
        for name in (OWNER, LOGIN, FACADE):
            text = text.replace(f"ROLE {name} ", f"ROLE {self.role(name)} ")
        text = text.replace(
            f"DATABASE registry OWNER {OWNER}", f"DATABASE {self.database} OWNER {self.role(OWNER)}"
        )
        return text.replace("'…'", f"'{PASSWORD}'")

    def role(self, name: str) -> str:
        """Return the name of a role."""
        return f"{name}_{self.ending}"

    @property
    def database(self) -> str:
        """Return the name of the database."""
        return f"registry_{self.ending}"

    def url(self, name: str) -> str:
        """Return how a role reaches the database."""
        return self.postgres.url(self.role(name), PASSWORD, self.database)


@pytest.fixture
def documented(
    postgres: Postgres,
    template: str,  # noqa: ARG001 - its migration made the group roles
) -> Iterator[Documented]:
    """Removed after the test."""
    made = Documented(postgres, uuid.uuid4().hex)
    yield made
    postgres.sql(f"DROP DATABASE IF EXISTS {made.database} WITH (FORCE)")
    for name in (FACADE, LOGIN, OWNER):
        postgres.sql(f"DROP ROLE IF EXISTS {made.role(name)}")


async def test_a_first_start_and_a_backup(
    documented: Documented, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Roles, keys, the schema, logins, operators; then a dump and its restore."""
    monkeypatch.chdir(tmp_path)
    roles = example(OPERATING, "CREATE ROLE registry_owner").text
    before, separator, after = documented.named(roles).partition(MIGRATE_HERE)
    assert separator
    documented.postgres.sql(before)
    urls = {
        "CONTROL_PLANE_MIGRATION_DATABASE_URL": documented.url(OWNER),
        "CONTROL_PLANE_DATABASE_URL": documented.url(LOGIN),
    }
    environment = dict[str, str]()
    for typed in commands(example(PLANE, "control-plane keys").text):
        match typed.words:
            case ("export", assignment):
                name, _, value = assignment.partition("=")
                environment[name] = urls[name] if value == "..." else value
            case (_, "serve"):
                settings = {**environment, **typed.variables}
                load(ServeSettings, PREFIX, settings, beside=ALL_SETTINGS)  # or it raises
            case _:
                await run_successfully(environment, typed)
        if typed.words[1:] == ("migrate",):
            documented.postgres.sql(after)
    listed = TypedCommand.of(["control-plane", "operators", "list"])
    operators = await run_successfully(environment, listed)
    assert "alice" in operators
    assert "bob" in operators
    documented.postgres.sql(example(OPERATING, "REVOKE").text, documented.database)
    assert await migrate(read_database_url(documented.url(OWNER))) == []
    backup(documented)
    assert await migrate(read_database_url(documented.url(OWNER))) == []
    assert await run_successfully(environment, listed) == operators


async def run_successfully(environment: Mapping[str, str], typed: TypedCommand) -> str:
    """Return the output of a command that ends with 0."""
    settings = {**environment, **typed.variables}
    ran = await asyncio.to_thread(run_command, settings, *typed.words[1:])
    assert ran.status == 0, (typed.words, ran.words)
    return ran.output


def backup(documented: Documented) -> None:
    """Dump and restore."""
    url = f"postgresql://{OWNER}@db.example/registry"
    for typed in commands(example(OPERATING, "pg_dump").text):
        words = [word.replace(url, documented.url(OWNER)) for word in typed.words[1:]]
        assert documented.url(OWNER) in words
        subprocess.run([program(typed.program), *words], check=True)


async def test_operators_work(plane: ControlPlane, host: str, tmp_path: Path) -> None:
    """A registry is connected and approved, devices are revoked and one is let in again."""
    device, serial = f"press-{uuid.uuid4().hex}", uuid.uuid4().hex
    (tmp_path / "file").write_text(
        f"{device}-two\nserial:{serial}02\nserial:{serial}03 CN=line CA\n"
    )
    values = {
        "ghcr.io": host,
        "press-7": device,
        "0A:BC:1F": serial,
        "FILE": str(tmp_path / "file"),
        "DEVICE": device,
    }

    async def run(typed: TypedCommand) -> str:
        words = typed.words[1:]
        for example_value, value in values.items():
            words = tuple(word.replace(example_value, value) for word in words)
        operator = "alice" if words[1] == "add" else "bob"
        return await asyncio.to_thread(plane.run, *words, operator=operator, given="a-token\n")

    first_start = [*commands(example("README.md", "control-plane keys").text)]
    connecting = [
        each for each in first_start if each.words[1:2] in (("connections",), ("devices",))
    ]
    assert [each.words[2] for each in connecting] == [
        "add",
        "review",
        "approve",
        "revoke",
    ]
    for typed in connecting:
        await run(typed)
        shown = await asyncio.to_thread(
            plane.run, "connections", "show", host, "--json", operator="bob"
        )
        values["sha256:…"] = str(orjson.loads(shown)["fingerprint"])
    for typed in commands(example(WORK, "control-plane devices").text):
        if typed.words[2] == "lift":
            listed = plane.run("devices", "list", "--serial", serial, "--json", operator="bob")
            values["ID"] = orjson.loads(listed)[0]["id"]
        await run(typed)
    left = {
        (view["device"] or view["serial"])
        for view in await plane.client("bob").device_revocations()
    }
    assert f"{device}-two" in left
    assert serial.lstrip("0") not in left
