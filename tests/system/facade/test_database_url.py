"""`FACADE_DATABASE_URL`: what it may say, and what the facade says where it cannot be honoured."""

import ssl
from pathlib import Path

import pytest

from deploy.dev.device_ca import CertificateAuthority
from deploy.dev.postgres import Postgres
from tests.support.eventually import eventually
from tests.support.facade_command import facade_command
from tests.support.facade_database import FacadeDatabase
from tests.support.facade_environment import good_environment
from tests.support.postgres_front import PostgresFront
from tests.support.statement_writer import StatementWriter
from tests.support.traps import trapped_home
from tests.system.facade.conftest import StartFacade

CANARY = "canary-0c77"
ACCEPTED = (
    "channel_binding=prefer&gssencmode=prefer&connect_timeout=7&keepalives_idle=30"
    "&options=-c%20geqo%3Doff"
)
REFUSED = (
    f"application_name={CANARY}&channel_binding=require&require_auth=scram-sha-256&options=x"
    "&gssencmode=require&sslrootcert=system&sslmode=verify-ca&keepalives=yes&connect_timeout=0"
)
NAMES = (
    "channel_binding", "require_auth", "gssencmode", "sslmode", "keepalives", "connect_timeout",
)  # fmt: skip


async def test_parameters_are_honoured_and_a_file_that_is_gone_is_named(
    postgres: Postgres,
    own_database: FacadeDatabase,
    own_writer: StatementWriter,
    start_facade: StartFacade,
    server_ca: CertificateAuthority,
    server_tls: ssl.SSLContext,
    tmp_path: Path,
) -> None:
    """TLS by the files of the URL, none of the home folder; a later failure says which file."""
    roots = tmp_path / "roots.pem"
    roots.write_bytes(server_ca.pem)
    user, _, _ = own_database.facade_url.partition("@")
    async with PostgresFront(postgres.port, tls=server_tls) as front:
        url = (
            f"{user}@localhost:{front.port}/{own_database.name}"
            f"?sslmode=verify-full&sslrootcert={roots}&{ACCEPTED}"
        )
        home = {"HOME": str(trapped_home(tmp_path))}
        facade = start_facade(own_writer, url, home, wait=False)
        await eventually(facade.is_ready)
        assert set(front.links) == {"tls"}
        roots.unlink()
    expected = f"the database cannot be read: sslrootcert: {roots} cannot be used: No such file"
    await eventually(lambda: expected in facade.operations("/readyz")[1])
    assert facade.operations("/readyz")[0] == 200
    assert "canary" not in facade.log_text


@pytest.mark.parametrize("arguments", [("serve",), ("check", "ghcr.io")])
async def test_what_cannot_be_honoured_is_refused_by_name(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    """At the start, with exit 2; without this it was never ready, and nobody knew why."""
    environment = good_environment(tmp_path)
    environment["FACADE_DATABASE_URL"] += f"?{REFUSED}"
    ended = await facade_command(environment | {"PGSERVICE": "production"}, *arguments)
    assert (ended.status, ended.output) == (2, "")
    (line,) = ended.words.splitlines()
    assert line.startswith("FACADE_DATABASE_URL: ")
    assert [name for name in (*NAMES, "PGSERVICE") if f"{name}: " not in line] == []
    assert CANARY not in line
