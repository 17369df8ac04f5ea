"""`control-plane login` at a certified OpenID provider, and what other commands make of it."""

import asyncio
import re
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import orjson
import pytest
import uvloop

from control_plane.operators.person import Person
from deploy.dev.postgres import Postgres
from deploy.dev.processes import Child
from tests.support.commands import Ran, run_command
from tests.support.control_plane import (
    SURROUNDINGS,
    ControlPlane,
    KeyFiles,
    copy_of,
    warm_control_plane,
)
from tests.support.eventually import PATIENCE_SECONDS, eventually
from tests.support.oidc_provider import OidcProvider, PersonsBrowser
from tests.system.control_plane.conftest import start_on

_ADDRESS = re.compile(r"^http://127\.0\.0\.1:\S+/auth\?\S+$", re.MULTILINE)
_CODE = re.compile(r"Open (?P<address>\S+) in a browser, and enter the code (?P<code>\S+)")


class SignedOn(NamedTuple):
    """A control plane, its provider, and a person's shell."""

    plane: ControlPlane
    provider: OidcProvider
    folder: Path

    @property
    def file(self) -> Path:
        """Where the login is kept."""
        return self.folder / "login.json"

    @property
    def settings(self) -> dict[str, str]:
        """What the person's shell has."""
        return {"CONTROL_PLANE_URL": self.plane.url, "CONTROL_PLANE_LOGIN_FILE": str(self.file)}

    def command(self, *arguments: str) -> Ran:
        """Run a command of the person's."""
        return run_command(self.settings, *arguments)

    def kept(self) -> dict[str, object]:
        """Return the login that is kept."""
        found: dict[str, object] = orjson.loads(
            orjson.loads(self.file.read_bytes())[self.plane.url]
        )
        return found

    def change(self, **fields: object) -> None:
        """Change the login that is kept."""
        whole = {self.plane.url: orjson.dumps(self.kept() | fields).decode()}
        self.file.write_bytes(orjson.dumps(whole))

    def begin(self, *arguments: str) -> Child:
        """Begin a login in a process."""
        return warm_control_plane().fork(
            ["login", *arguments],
            log=self.folder / "login.log",
            environment=SURROUNDINGS | self.settings,
            cwd=self.folder,
        )

    async def log_in(self, name: str) -> tuple[int, str]:
        """Log in by the browser; return the exit status and what was said."""
        child = self.begin("--no-browser")
        address = await _said(child, _ADDRESS)
        browser = PersonsBrowser.new(name)
        async with browser.session:
            _, status, page = await browser.go(address[0])
        assert (status, "You can close this page" in page) == (200, True)
        return await asyncio.to_thread(child.process.wait, PATIENCE_SECONDS), child.log.read_text()


@pytest.fixture(scope="module")
def provided(
    postgres: Postgres, template: str, keys: KeyFiles, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[ControlPlane, OidcProvider]]:
    """One provider, and one control plane that believes it."""
    folder = tmp_path_factory.mktemp("login")
    with OidcProvider.start(folder) as provider:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            database = copy_of(postgres, template)
            plane = runner.run(start_on(database, keys, folder, provider.environment()))
        yield plane, provider
        plane.stop()


@pytest.fixture
def signed_on(provided: tuple[ControlPlane, OidcProvider], tmp_path: Path) -> SignedOn:
    """A shell of somebody who is not logged in yet."""
    return SignedOn(*provided, tmp_path)


async def test_a_person_logs_in_by_the_browser(signed_on: SignedOn) -> None:
    """Then commands need no token; the login is renewed, and ends with `logout`."""
    status, said = await signed_on.log_in("ada")
    assert status == 0, said
    ada = str(Person(signed_on.provider.issuer, "ada"))
    assert f"You are ada@firm.example ({ada}), and may act as approver." in said
    assert "it is renewed without you" in said
    assert stat.S_IMODE(signed_on.file.stat().st_mode) == 0o600
    first = signed_on.kept()
    assert str(first["access_token"]) not in said
    assert signed_on.command("connections", "list", "--json").result == []
    assert signed_on.kept() == first
    signed_on.change(expires_at=time.time())
    assert signed_on.command("connections", "list", "--json").result == []
    renewed = signed_on.kept()
    assert renewed["access_token"] != first["access_token"]
    assert signed_on.command("connections", "add", "login.example", "--anonymous").status == 0
    entry = signed_on.command("audit", "list", "--json", "--last", "1").result[0]
    assert (entry["actor"], entry["details"]["actor_name"]) == (ada, "ada@firm.example")
    ended = signed_on.command("logout")
    assert (ended.status, "You are logged out here" in ended.words) == (0, True)
    nobody = signed_on.command("connections", "list")
    assert (nobody.status, "`control-plane login` logs you in" in nobody.words) == (2, True)
    assert "Nobody is logged in" in signed_on.command("logout").words
    signed_on.file.write_bytes(
        orjson.dumps({signed_on.plane.url: orjson.dumps(renewed | {"expires_at": 0}).decode()})
    )
    revoked = signed_on.command("connections", "list")
    assert revoked.status == 1
    assert "your login was not renewed" in revoked.words
    assert "`control-plane login` logs you in again" in revoked.words
    printed = signed_on.plane.log.read_text() + revoked.words
    for name in ("access_token", "refresh_token"):
        assert str(first[name]) not in printed
        assert str(renewed[name]) not in printed


async def test_a_person_logs_in_by_the_browser_of_another_machine(signed_on: SignedOn) -> None:
    """By a code, which is typed there, and only if it is asked for."""
    child = signed_on.begin("--device")
    said = await _said(child, _CODE)
    browser = PersonsBrowser.new("eve")
    async with browser.session:
        _, status, page = await browser.go(said["address"], answers={"user_code": said["code"]})
    assert (status, "Sign-in Success" in page) == (200, True), page
    assert await asyncio.to_thread(child.process.wait, PATIENCE_SECONDS) == 0, child.log_tail
    assert "Enter it only if it was you who began this login" in child.log.read_text()
    assert signed_on.command("connections", "list", "--json").status == 0
    refused = signed_on.command("connections", "add", "eve.example", "--anonymous")
    assert "this needs the role connector" in refused.words


async def test_who_has_no_role_is_told_so_and_nothing_is_kept(signed_on: SignedOn) -> None:
    """The provider knows them, and they are nobody here."""
    status, said = await signed_on.log_in("mallory")
    assert status == 1
    assert "the provider gives you no role here" in said
    assert not signed_on.file.exists()


async def test_a_login_that_others_may_read_is_not_used(signed_on: SignedOn) -> None:
    """Nor one that cannot be read; each refusal says what to do."""
    assert (await signed_on.log_in("ada"))[0] == 0
    signed_on.file.chmod(0o644)
    refused = signed_on.command("connections", "list")
    assert (refused.status, "chmod 600" in refused.words) == (1, True)
    signed_on.file.chmod(0o600)
    signed_on.file.write_text("nonsense")
    assert "delete it and log in again" in signed_on.command("connections", "list").words
    signed_on.file.write_bytes(orjson.dumps({signed_on.plane.url: "{}"}))
    assert "makes it anew" in signed_on.command("connections", "list").words


async def test_an_answer_of_another_login_is_not_taken(signed_on: SignedOn) -> None:
    """Another program of the machine asks the page that waits; the person's login goes on."""
    child = signed_on.begin("--no-browser")
    address = (await _said(child, _ADDRESS))[0]
    page = re.search(r"redirect_uri=(http[^&]+)", address)
    assert page is not None
    callback = page[1].replace("%3A", ":").replace("%2F", "/")
    browser = PersonsBrowser.new("ada")
    async with browser.session:
        for query in ("?state=guessed&code=stolen", "?code=a", "", "?state=a&state=b"):
            async with browser.session.get(f"{callback}{query}") as answer:
                assert answer.status == 400
        assert child.running
        await browser.go(address)
    assert await asyncio.to_thread(child.process.wait, PATIENCE_SECONDS) == 0


async def test_without_single_sign_on_a_token_is_asked_for(
    plane: ControlPlane, tmp_path: Path
) -> None:
    """In words that say what there is."""
    settings = {
        "CONTROL_PLANE_URL": plane.url,
        "CONTROL_PLANE_LOGIN_FILE": str(tmp_path / "none.json"),
    }
    refused = run_command(settings, "login")
    assert (refused.status, "CONTROL_PLANE_TOKEN" in refused.words) == (1, True)


async def _said(child: Child, wanted: re.Pattern[str]) -> re.Match[str]:
    """Return what a login said, once it said it."""

    def is_said() -> bool:
        match = wanted.search(child.log.read_text())
        assert match or child.running, child.log_tail
        return match is not None

    await eventually(is_said)
    match = wanted.search(child.log.read_text())
    assert match is not None
    return match
