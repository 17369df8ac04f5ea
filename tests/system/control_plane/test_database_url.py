"""The control plane's database URL: what it may say, in `serve`, in every command, in `migrate`."""

from pathlib import Path

import pytest

from control_plane.database.database import Database, patience_seconds
from control_plane.errors import DatabaseUnavailableError
from deploy.dev.product import CommandFailedError
from shared.postgres.database_url import read_database_url
from tests.support import database as support
from tests.support.commands import run_command
from tests.support.control_plane import (
    LOGIN_PASSWORD,
    LOGIN_ROLE,
    ControlPlane,
    KeyFiles,
    run_control_plane,
    run_process,
)
from tests.support.traps import trapped_home
from tests.system.control_plane.conftest import StartPlane

CANARY = "canary-b61d"
ACCEPTED = (
    "?channel_binding=prefer&gssencmode=disable&connect_timeout=7&keepalives=1&keepalives_idle=30"
    "&keepalives_interval=10&keepalives_count=3&options=-c%20geqo%3Doff&sslmode=prefer"
    "&target_session_attrs=primary&application_name=the%20product"
)
REFUSED = (
    f"?application_name={CANARY}&channel_binding=require&require_auth=none&gssencmode=require"
    "&sslmode=require&sslrootcert=system&service=production&statement_timeout=5s"
)
NAMES = ("channel_binding", "require_auth", "gssencmode", "sslmode", "service", "statement_timeout")


async def test_parameters_are_honoured_and_nothing_is_read_in_the_home_folder(
    start_plane: StartPlane, database: support.Database, tmp_path: Path
) -> None:
    """In the process that serves, in the commands, and in the migration."""
    home = {"HOME": str(trapped_home(tmp_path))}
    url = database.url(LOGIN_ROLE, LOGIN_PASSWORD) + ACCEPTED
    own_plane = await start_plane({**home, "CONTROL_PLANE_DATABASE_URL": url})
    assert await own_plane.client("alice").list() == []
    seen = database.sql("SELECT DISTINCT application_name FROM pg_stat_activity")
    assert "the product" in seen.splitlines()
    owner = {"CONTROL_PLANE_MIGRATION_DATABASE_URL": database.superuser_url + ACCEPTED}
    run_control_plane("migrate", environment=owner | home)
    reader = {
        "CONTROL_PLANE_DATABASE_URL": own_plane.database_url,
        "CONTROL_PLANE_STATEMENT_PRIVATE_KEY_FILE": str(own_plane.keys.statement_private),
        "PGOPTIONS": "-c geqo=off",
    }
    assert "alice" in run_control_plane("operators", "list", environment=reader | home)


@pytest.mark.parametrize(
    "arguments, variable",
    [
        (("serve",), "CONTROL_PLANE_DATABASE_URL"),
        (("migrate",), "CONTROL_PLANE_MIGRATION_DATABASE_URL"),
        (("operators", "list"), "CONTROL_PLANE_DATABASE_URL"),
        (("audit", "verify"), "CONTROL_PLANE_DATABASE_URL"),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name(
    plane: ControlPlane, arguments: tuple[str, ...], variable: str
) -> None:
    """At the start, with exit 2, and not as a database that is never ready."""
    needed = {name: value for name, value in plane.environment.items() if "DATABASE" not in name}
    answer = run_process(needed | {variable: plane.database_url + REFUSED}, *arguments)
    assert (answer.status, answer.output) == (2, "")
    (line,) = answer.words.splitlines()
    assert line.startswith(f"{variable}: ")
    assert [name for name in NAMES if f"{name}: " not in line] == []
    assert CANARY not in line


async def test_a_server_of_another_kind_is_a_database_that_is_away(plane: ControlPlane) -> None:
    """Not ready, and 503 to whoever calls: it was an error of the program."""
    url = plane.database_url + "?target_session_attrs=standby"
    async with Database.open(read_database_url(url)) as database:
        with pytest.raises(DatabaseUnavailableError):
            async with database.connection():
                pass


def test_a_command_says_why_the_database_is_away(plane: ControlPlane) -> None:
    """By the kind of the error, and in words of ours: a library's text may quote the URL."""
    user, _, place = plane.database_url.partition("@")
    url = f"{user.rpartition(':')[0]}:{CANARY}@{place}"
    with pytest.raises(CommandFailedError, match="not available: InvalidPasswordError") as failed:
        run_control_plane("migrate", environment={"CONTROL_PLANE_DATABASE_URL": url})
    assert "exit 1" in str(failed.value)
    assert "the password is wrong, or there is no such role" in str(failed.value)
    assert CANARY not in str(failed.value)


@pytest.mark.parametrize(
    "parameters, seconds", [("", 8), ("connect_timeout=30", 33), ("host=a,b,c", 18)]
)
def test_every_server_is_waited_for(parameters: str, seconds: float) -> None:
    """One that is silent may not use up the time of the one behind it."""
    assert patience_seconds(read_database_url(f"postgresql://a/d?{parameters}")) == seconds


@pytest.mark.parametrize("arguments", [["serve"], ["migrate"], ["operators", "list"]])
def test_a_password_that_would_go_away_unsaid_ends_the_start(
    keys: KeyFiles, arguments: list[str]
) -> None:
    """Exit 2 with the setting's name, before anything is connected to."""
    ran = run_command(settings_with(f"postgresql://u:{CANARY}@db/d", keys), *arguments)
    assert ran.status == 2
    assert ran.words.startswith("CONTROL_PLANE_DATABASE_URL: a password is sent to another machine")
    assert CANARY not in ran.words


def test_a_weaker_mode_that_the_url_says_is_warned_of_by_each_command(keys: KeyFiles) -> None:
    """`.invalid` resolves nowhere: nothing is sent."""
    url = f"postgresql://u:{CANARY}@db.invalid/d?sslmode=require"
    for arguments in (["migrate"], ["operators", "list"], ["audit", "verify"]):
        ran = run_command(settings_with(url, keys), *arguments)
        assert ran.status == 1
        assert "warning: CONTROL_PLANE_DATABASE_URL: sslmode=require does not prove" in ran.words
        assert CANARY not in ran.words


def settings_with(url: str, keys: KeyFiles) -> dict[str, str]:
    """Return what any of the commands needs."""
    return {
        "CONTROL_PLANE_DATABASE_URL": url,
        "CONTROL_PLANE_SEALING_PUBLIC_KEY_FILE": str(keys.sealing_public),
        "CONTROL_PLANE_STATEMENT_PRIVATE_KEY_FILE": str(keys.statement_private),
    }
