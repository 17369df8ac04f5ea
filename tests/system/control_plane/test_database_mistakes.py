"""Every mistake in the way to the database is told in words: once, at the start, and on change."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest
from attrs import frozen

from deploy.dev.device_ca import CertificateAuthority
from deploy.dev.processes import Child, free_port
from tests.support.commands import run_command
from tests.support.control_plane import (
    LOGIN_PASSWORD,
    LOGIN_ROLE,
    KeyFiles,
    serve,
)
from tests.support.database import Database
from tests.support.eventually import eventually
from tests.support.log_file import logged
from tests.support.postgres_front import PostgresFront

CANARY = "canary-of-a-database-url"
NO_MEMBER = "login_without_a_group"
ASKED = 2
WORDS = {
    "password": "the password is wrong, or there is no such role",
    "role": "the password is wrong, or there is no such role",
    "database": "the server has no database of that name",
    "port": "nothing listens at that host and port",
    "host": "the host's name does not resolve",
    "sslmode": "the server has no TLS, which sslmode asks for",
    "wrong CA": "the server's certificate is not trusted: ",
    "permission": "the login lacks a right: ",
    "unreachable": "no answer in time from that host and port",
    "not migrated": "`control-plane migrate` does it",
}
REFUSED = {
    "scheme": ("mysql://u:{canary}@127.0.0.1/d", "expected a PostgreSQL URL such as "),
    "no such sslmode": ("postgresql://u:{canary}@127.0.0.1/d?sslmode=on", "sslmode: expected one"),
    "no such file": ("postgresql://u:{canary}@127.0.0.1/d?sslrootcert=/no", "sslrootcert: /no can"),
    "nothing": ("{canary}", "expected a PostgreSQL URL such as "),
}


@frozen
class Serving:
    """A control plane that makes one mistake."""

    child: Child
    port: int

    @property
    def lines(self) -> list[Any]:
        """What it logged."""
        return logged(self.child.log, f"http://127.0.0.1:{self.port}/healthz")

    def told(self, event: str) -> list[str]:
        """Return the reasons that it told with an event, in order."""
        return [str(line.get("reason")) for line in self.lines if line["event"] == event]

    async def ready(self) -> int:
        """Ask `/readyz`."""
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://127.0.0.1:{self.port}/readyz") as answer,
        ):
            assert CANARY.encode() not in await answer.read()
            return answer.status


@pytest.fixture
def no_member(database: Database) -> Iterator[str]:
    """The URL of a login that is a member of nothing."""
    database.sql(f"CREATE ROLE {NO_MEMBER} LOGIN PASSWORD '{CANARY}'")
    yield database.url(NO_MEMBER, CANARY)
    database.sql(f"DROP ROLE {NO_MEMBER}")


@asynccontextmanager
async def mistaken(
    database: Database, folder: Path, tls: ssl.SSLContext, authority: CertificateAuthority
) -> AsyncIterator[Mapping[str, str]]:
    """Yield a URL for each mistake; what it needs is there meanwhile."""
    wrong_ca = folder / "ca.pem"
    wrong_ca.write_bytes(authority.pem)
    right, name = database.url(LOGIN_ROLE, LOGIN_PASSWORD), database.name
    port = database.server.port

    async def be_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.transport.abort()

    silent = await asyncio.start_server(be_silent, "127.0.0.1", 0)
    async with silent, PostgresFront(port, tls=tls) as front:
        silent_port = silent.sockets[0].getsockname()[1]
        yield {
            "password": database.url(LOGIN_ROLE, CANARY),
            "role": database.url("nobody_of_that_name", CANARY),
            "database": right.replace(name, f"{name}_not"),
            "port": f"postgresql://u:{CANARY}@127.0.0.1:{free_port()}/d",
            "host": f"postgresql://u:{CANARY}@no-such-host.invalid/d?sslmode=verify-full",
            "sslmode": f"{right}?sslmode=require",
            "wrong CA": right.replace(f"127.0.0.1:{port}", f"localhost:{front.port}")
            + f"?sslmode=verify-full&sslrootcert={wrong_ca}",
            "unreachable": f"postgresql://u:{CANARY}@127.0.0.1:{silent_port}/d?connect_timeout=1",
            "not migrated": database.server.superuser_url,
        }


async def test_what_is_wrong_is_told_once_at_the_start(
    database: Database,
    no_member: str,
    keys: KeyFiles,
    tmp_path: Path,
    server_tls: ssl.SSLContext,
    other_ca: CertificateAuthority,
) -> None:
    """However often it is asked for; no value of a secret is anywhere."""
    async with mistaken(database, tmp_path, server_tls, other_ca) as urls:
        planes = {
            mistake: serving(url, keys, tmp_path / f"{mistake}.log")
            for mistake, url in {**urls, "permission": no_member}.items()
        }
        assert planes.keys() == WORDS.keys()
        try:
            await asyncio.gather(*(is_told_once(*each) for each in planes.items()))
            await it_is_told_again_on_change(database, planes["permission"])
        finally:
            for plane in planes.values():
                plane.child.kill()


async def is_told_once(mistake: str, plane: Serving) -> None:
    """Return if what the log says of a mistake is right, and all."""
    await eventually(lambda: bool(plane.told("database not available")))
    for _ in range(ASKED):
        assert await plane.ready() == 503
    (reason,) = plane.told("database not available")
    assert WORDS[mistake] in reason, mistake
    assert plane.told("database available") == []
    said = plane.child.log.read_text()
    for never in (CANARY, LOGIN_PASSWORD, quote(LOGIN_PASSWORD, safe=""), "Traceback"):
        assert never not in said, mistake


async def it_is_told_again_on_change(database: Database, plane: Serving) -> None:
    """That it is over, and that it is back."""
    await asyncio.to_thread(database.sql, f"GRANT registry_control_plane TO {NO_MEMBER}")

    async def is_ready() -> bool:
        return await plane.ready() == 200

    await eventually(is_ready)
    assert len(plane.told("database available")) == 1
    await asyncio.to_thread(database.sql, f"REVOKE registry_control_plane FROM {NO_MEMBER}")
    assert await plane.ready() == 503
    assert len(plane.told("database not available")) == 2


@pytest.mark.parametrize("mistake", REFUSED)
def test_what_is_no_url_ends_the_start(keys: KeyFiles, mistake: str) -> None:
    """With the setting's name, and nothing of what it holds."""
    url, words = REFUSED[mistake]
    ran = run_command(settings(url.replace("{canary}", CANARY), keys), "serve")
    assert ran.status == 2
    assert ran.words.startswith(f"CONTROL_PLANE_DATABASE_URL: {words}")
    assert CANARY not in ran.words + ran.output


def settings(url: str, keys: KeyFiles) -> dict[str, str]:
    """Return what `serve` needs."""
    return {
        "CONTROL_PLANE_DATABASE_URL": url,
        "CONTROL_PLANE_SEALING_PUBLIC_KEY_FILE": str(keys.sealing_public),
        "CONTROL_PLANE_STATEMENT_PRIVATE_KEY_FILE": str(keys.statement_private),
    }


def serving(url: str, keys: KeyFiles, log: Path) -> Serving:
    """Start `control-plane serve`."""
    port = free_port()
    environment = settings(url, keys) | {"CONTROL_PLANE_LISTEN": f"127.0.0.1:{port}"}
    return Serving(serve(environment, log), port)
