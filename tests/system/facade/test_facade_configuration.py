"""A facade that is configured wrongly says so at once, in words, and serves nobody."""

import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from deploy.dev.processes import free_port
from tests.support.core_limits import core_limits
from tests.support.eventually import eventually
from tests.support.facade_database import FacadeDatabase
from tests.support.facade_environment import REQUIRED, good_environment
from tests.support.facade_process import SURROUNDINGS, Facade, warm_facade
from tests.support.statement_writer import StatementWriter
from tests.support.warm.program import Finished
from tests.system.facade.conftest import StartFacade

CANARY = "canary-82fd1c04"


def serve(environment: Mapping[str, str]) -> Finished:
    """Run `facade serve` to its end."""
    return warm_facade().run(["serve"], environment={**SURROUNDINGS, **environment})


@pytest.fixture
def good(tmp_path: Path) -> dict[str, str]:
    """An environment in which nothing is wrong, on addresses that are free."""
    return good_environment(tmp_path / "good") | {
        "FACADE_LISTEN": f"127.0.0.1:{free_port()}",
        "FACADE_OPERATIONS_LISTEN": f"127.0.0.1:{free_port()}",
    }


def test_an_empty_environment_names_every_required_variable() -> None:
    """On standard error, a line each, and exit 2."""
    ended = subprocess.run(
        [sys.executable, "-m", "facade", "serve"],
        env=SURROUNDINGS,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (2, "")
    lines = ended.stderr.splitlines()
    assert sorted(line.partition(":")[0] for line in lines) == sorted(REQUIRED)


def test_every_wrong_variable_is_named_at_once_and_no_value_is_printed(
    good: dict[str, str], tmp_path: Path
) -> None:
    """Values, files named in them, and what stands in those files."""
    (tmp_path / "canary.pem").write_text(CANARY)
    wrong = {
        "FACADE_DATABASE_URL": f"postgresql://u:{CANARY}@h:{CANARY}/d",
        "FACADE_SEALING_PRIVATE_KEY_FILE": str(tmp_path / "canary.pem"),
        "FACADE_STATEMENT_PUBLIC_KEY_FILE": good["FACADE_SEALING_PRIVATE_KEY_FILE"],
        "FACADE_TLS_CERT_FILE": str(tmp_path / "canary.pem"),
        "FACADE_TLS_KEY_FILE": str(tmp_path),
        "FACADE_DEVICE_CA_FILE": str(tmp_path / CANARY),
        "FACADE_CACHE_MAX_BYTES": CANARY,
        "FACADE_LOG_LEVEL": CANARY,
        "FACADE_SNAPSHOT_MAX_AGE": CANARY,
        "FACADE_NO_PROXY": f"corp.example,http://u:{CANARY}@h",
        "FACADE_UNKNOWN": CANARY,
    }
    ended = serve({**good, **wrong})
    assert (ended.status, ended.output) == (2, "")
    lines = ended.words.splitlines()
    assert sorted(line.partition(":")[0] for line in lines) == sorted(wrong)
    for unsaid in (CANARY, str(tmp_path), "PRIVATE KEY", "Traceback"):
        assert unsaid not in ended.words


def test_what_is_no_file_of_that_kind_is_named(good: dict[str, str], tmp_path: Path) -> None:
    """Each is read as far as its bound; a named pipe is in the tests of that."""
    endless, long, empty = (tmp_path / name for name in ("endless", "long", "empty"))
    endless.symlink_to("/dev/zero")
    with long.open("wb") as file:
        file.truncate(2**40)
    empty.touch()
    wrong = {
        "FACADE_DATABASE_URL_FILE": str(endless),
        "FACADE_SEALING_PRIVATE_KEY_FILE": str(empty),
        "FACADE_STATEMENT_PUBLIC_KEY_FILE": str(long),
        "FACADE_TLS_CERT_FILE": str(endless),
        "FACADE_TLS_KEY_FILE": str(tmp_path),
        "FACADE_DEVICE_CA_FILE": str(long),
        "FACADE_DEVICE_CRL_FILE": str(tmp_path / "nothing"),
    }
    without_url = {name: value for name, value in good.items() if name != "FACADE_DATABASE_URL"}
    ended = serve({**without_url, **wrong})
    assert (ended.status, ended.output) == (2, "")
    lines = ended.words.splitlines()
    assert sorted(line.partition(":")[0] for line in lines) == sorted(wrong)


def test_half_a_choice_of_identity_does_not_start(good: dict[str, str]) -> None:
    """Nobody finds out only by the devices that are let in."""
    half = {
        "FACADE_DEVICE_IDENTITY": "dns",
        "FACADE_DEVICE_URI_PATTERN": "spiffe://example.com/{device}",
    }
    for wrong, named in (
        (half, "FACADE_DEVICE_URI_PATTERN"),
        ({"FACADE_DEVICE_IDENTITY": ""}, "FACADE_DEVICE_IDENTITY"),
    ):
        ended = serve({**good, **wrong})
        assert (ended.status, ended.output) == (2, "")
        assert [line.partition(":")[0] for line in ended.words.splitlines()] == [named]


def test_values_are_read_from_files_too(good: dict[str, str], tmp_path: Path) -> None:
    """A database URL has a password in it; given twice, nobody knows which is meant."""
    (tmp_path / "url").write_text(f"postgresql://u:{CANARY}@h:port/d\n")
    given = {name: value for name, value in good.items() if name != "FACADE_DATABASE_URL"}
    ended = serve({**given, "FACADE_DATABASE_URL_FILE": str(tmp_path / "url")})
    assert ended.status == 2
    assert ended.words.startswith("FACADE_DATABASE_URL")
    assert CANARY not in ended.words
    ended = serve({**good, "FACADE_DATABASE_URL_FILE": str(tmp_path / "url")})
    assert ended.status == 2
    assert "given twice" in ended.words


@pytest.mark.parametrize("name", ["FACADE_LISTEN", "FACADE_OPERATIONS_LISTEN"])
def test_an_address_in_use_is_named(good: dict[str, str], name: str) -> None:
    """That is no error of the configuration alone: exit 1."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        ended = serve({**good, name: address})
    assert ended.status == 1
    assert ended.words == f"facade: {name} cannot be listened on: Address already in use\n"
    assert "Traceback" not in ended.output + ended.words


def test_a_state_folder_that_cannot_be_used_is_named(good: dict[str, str], tmp_path: Path) -> None:
    """A file in its place, or a file of something else in it."""
    (tmp_path / "file").write_text("no folder")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "statements.sqlite3").write_text(f"no database {CANARY}" * 100)
    for folder in ("file", "other"):
        ended = serve({**good, "FACADE_STATE_DIR": str(tmp_path / folder)})
        assert ended.status == 2
        assert "FACADE_STATE_DIR" in ended.words
        assert CANARY not in ended.output + ended.words
        assert "Traceback" not in ended.output + ended.words


def test_a_cache_folder_that_cannot_be_used_is_named(good: dict[str, str], tmp_path: Path) -> None:
    """A file in its place."""
    (tmp_path / "file").write_text("no folder")
    ended = serve(
        {**good, "FACADE_CACHE_DIR": str(tmp_path / "file"), "FACADE_CACHE_MAX_BYTES": "1GiB"}
    )
    assert ended.status == 2
    assert ended.words.startswith("facade: FACADE_CACHE_DIR cannot be used")
    assert "Traceback" not in ended.output + ended.words


@pytest.mark.parametrize("setting", ["FACADE_STATE_DIR", "FACADE_CACHE_DIR"])
def test_a_folder_that_somebody_else_may_write_is_refused(
    good: dict[str, str], tmp_path: Path, setting: str
) -> None:
    """What is in it would be believed, and served."""
    folder = tmp_path / "theirs"
    folder.mkdir()
    folder.chmod(0o777)
    store = {"FACADE_CACHE_DIR": str(tmp_path / "cache"), "FACADE_CACHE_MAX_BYTES": "1GiB"}
    ended = serve({**good, **store, setting: str(folder)})
    assert ended.status == 2
    assert setting in ended.words
    assert "every user of the machine may write theirs" in ended.words


async def test_a_state_folder_belongs_to_one_facade(
    own_database: FacadeDatabase, own_writer: StatementWriter, start_facade: StartFacade
) -> None:
    """The second is told so; the first goes on, and its folder is free when it has ended."""
    facade = start_facade(own_writer, own_database.facade_url)
    second = facade.environment | {
        "FACADE_LISTEN": f"127.0.0.1:{free_port()}",
        "FACADE_OPERATIONS_LISTEN": f"127.0.0.1:{free_port()}",
    }
    ended = serve(second)
    assert ended.status == 2
    assert "FACADE_STATE_DIR" in ended.words
    assert "another" in ended.words
    approval = await own_writer.approve("registry.example")
    await eventually(
        lambda: bool(facade.log_lines(event="statement accepted", subject=approval.subject))
    )
    facade.child.kill()
    facade.restart()


def test_the_state_folder_is_closed_to_others(
    own_database: FacadeDatabase, own_writer: StatementWriter, start_facade: StartFacade
) -> None:
    """It holds sealed secrets and the names of what is connected; also one made beforehand."""
    facade: Facade = start_facade(own_writer, own_database.facade_url)
    folder = Path(facade.environment["FACADE_STATE_DIR"])
    assert folder.stat().st_mode & 0o777 == 0o700
    assert all(file.stat().st_mode & 0o077 == 0 for file in folder.iterdir())
    facade.child.kill()
    folder.chmod(0o755)
    facade.restart()
    assert folder.stat().st_mode & 0o777 == 0o700


def test_the_descriptor_limit_is_raised(facade: Facade) -> None:
    """Every device is one, and so is every upstream pull."""
    limits = Path(f"/proc/{facade.child.pid}/limits").read_text()
    (line,) = (line for line in limits.splitlines() if line.startswith("Max open files"))
    soft, hard = line.split()[3:5]
    assert soft == hard


@pytest.mark.parametrize("allowed", [False, True])
def test_a_core_is_left_only_if_that_is_allowed(
    start_facade: StartFacade,
    own_writer: StatementWriter,
    own_database: FacadeDatabase,
    *,
    allowed: bool,
) -> None:
    """It would hold opened passwords; an operator who looks for a fault may want it."""
    settings = {"FACADE_ALLOW_CORE_DUMPS": str(allowed).lower()}
    facade = start_facade(own_writer, own_database.facade_url, settings)
    soft, hard = core_limits(facade.child.pid)
    assert soft == (hard if allowed else "0")
