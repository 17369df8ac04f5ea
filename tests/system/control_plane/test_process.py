"""The process: how it starts, says that it is ready, and stops."""

import asyncio
import signal
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import asyncpg
import pytest

from deploy.dev.device_ca import CertificateAuthority, CertificateFiles
from deploy.dev.postgres import Postgres
from deploy.dev.processes import Child, free_port
from deploy.dev.product import PROGRAMS
from tests.support.control_plane import (
    LOGIN_PASSWORD,
    LOGIN_ROLE,
    ControlPlane,
    KeyFiles,
    make_login_role,
    run_process,
    serve,
)
from tests.support.core_limits import core_limits
from tests.support.database import Database
from tests.support.eventually import PATIENCE_SECONDS, eventually
from tests.support.surroundings import of_a_child
from tests.support.warm.program import Finished

CANARY = "canary-in-the-environment"


def run(command: str, environment: Mapping[str, str]) -> Finished:
    """Run `control-plane COMMAND` to its end."""
    return run_process(environment, *command.split())


async def readiness(port: int) -> tuple[int, str]:
    """Return the status and reason of `/readyz`."""
    url = f"http://127.0.0.1:{port}/readyz"
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return answer.status, (await answer.json()).get("reason", "")


async def test_every_wrong_variable_is_named_and_no_value() -> None:
    """One start tells all that is wrong; exit 2."""
    answer = run(
        "serve",
        {
            "CONTROL_PLANE_LISTEN": CANARY,
            "CONTROL_PLANE_DRAIN_TIMEOUT": CANARY,
            "CONTROL_PLANE_LOG_LEVEL": CANARY,
            "CONTROL_PLANE_CHECK_NETWORKS": CANARY,
            "CONTROL_PLANE_AWS_PRINCIPAL_ARN": CANARY,
            "CONTROL_PLANE_GOOGLE_TOKEN_URL": CANARY,
            "CONTROL_PLANE_HTTPS_PROXY": CANARY,
            "CONTROL_PLANE_NO_PROXY": f"corp.example,http://u:{CANARY}@h",
            "CONTROL_PLANE_SEALING_PUBLIC_KEY_FILE": f"/{CANARY}",
            "CONTROL_PLANE_MISPELT": CANARY,
        },
    )
    assert answer.status == 2
    named = {line.partition(":")[0] for line in answer.words.splitlines()}
    assert named == {
        "CONTROL_PLANE_LISTEN",
        "CONTROL_PLANE_DRAIN_TIMEOUT",
        "CONTROL_PLANE_LOG_LEVEL",
        "CONTROL_PLANE_CHECK_NETWORKS",
        "CONTROL_PLANE_AWS_PRINCIPAL_ARN",
        "CONTROL_PLANE_GOOGLE_TOKEN_URL",
        "CONTROL_PLANE_HTTPS_PROXY",
        "CONTROL_PLANE_NO_PROXY",
        "CONTROL_PLANE_SEALING_PUBLIC_KEY_FILE",
        "CONTROL_PLANE_STATEMENT_PRIVATE_KEY_FILE",
        "CONTROL_PLANE_DATABASE_URL",
        "CONTROL_PLANE_MISPELT",
    }
    assert CANARY not in answer.words + answer.output


@pytest.mark.parametrize(
    "changes, variable",
    [
        ({"CONTROL_PLANE_LISTEN": "0.0.0.0:8080"}, "CONTROL_PLANE_LISTEN"),
        ({"CONTROL_PLANE_TLS_CERT_FILE": __file__}, "CONTROL_PLANE_TLS_KEY_FILE"),
        ({"CONTROL_PLANE_SEALING_PUBLIC_KEY_FILE": __file__},
         "CONTROL_PLANE_SEALING_PUBLIC_KEY_FILE"),
        ({"CONTROL_PLANE_TLS_CERT_FILE": __file__, "CONTROL_PLANE_TLS_KEY_FILE": __file__},
         "CONTROL_PLANE_TLS_CERT_FILE"),
    ],
)  # fmt: skip
async def test_what_cannot_be_served_is_refused_at_the_start(
    keys: KeyFiles, changes: dict[str, str], variable: str
) -> None:
    """Plain HTTP on an open address, half a certificate, a wrong key: exit 2."""
    settings = {
        "CONTROL_PLANE_DATABASE_URL": f"postgresql://x:{CANARY}@127.0.0.1:1/x",
        "CONTROL_PLANE_SEALING_PUBLIC_KEY_FILE": str(keys.sealing_public),
        "CONTROL_PLANE_STATEMENT_PRIVATE_KEY_FILE": str(keys.statement_private),
        "CONTROL_PLANE_LISTEN": f"127.0.0.1:{free_port()}",
    }
    answer = run("serve", settings | changes)
    assert answer.status == 2
    assert [line.partition(":")[0] for line in answer.words.splitlines()] == [variable]
    assert CANARY not in answer.words + answer.output


async def test_the_sealing_private_key_is_refused(keys: KeyFiles) -> None:
    """A control plane that could open secrets does not start."""
    answer = run(
        "serve",
        {
            "CONTROL_PLANE_DATABASE_URL": "postgresql://127.0.0.1:1/x",
            "CONTROL_PLANE_SEALING_PUBLIC_KEY_FILE": str(keys.sealing_private),
            "CONTROL_PLANE_STATEMENT_PRIVATE_KEY_FILE": str(keys.statement_private),
        },
    )
    assert answer.status == 2
    assert answer.words.startswith(
        "CONTROL_PLANE_SEALING_PUBLIC_KEY_FILE: it holds an X25519 private key;"
        " what belongs there: the public half of one sealing key, as in sealing.public.pem"
    )


async def test_it_starts_without_postgres_and_recovers(keys: KeyFiles, tmp_path: Path) -> None:
    """Not reachable, then not migrated, then ready, then away, then back: all by itself."""
    server, port = Postgres(tmp_path / "postgres"), free_port()
    settings = {
        "CONTROL_PLANE_DATABASE_URL": server.url(LOGIN_ROLE, LOGIN_PASSWORD, "product"),
        "CONTROL_PLANE_SEALING_PUBLIC_KEY_FILE": str(keys.sealing_public),
        "CONTROL_PLANE_STATEMENT_PRIVATE_KEY_FILE": str(keys.statement_private),
        "CONTROL_PLANE_LISTEN": f"127.0.0.1:{port}",
        "CONTROL_PLANE_LOG_LEVEL": "debug",
    }
    child = Child.start(
        [str(PROGRAMS / "control-plane"), "serve"],
        log=tmp_path / "log",
        environment=of_a_child(settings),
    )

    async def says(status: int, words: str = "") -> bool:
        try:
            answered, reason = await readiness(port)
        except aiohttp.ClientConnectionError:
            return False
        return answered == status and words in reason

    try:
        await eventually(lambda: says(503, "not available"))
        server.start()
        server.sql(
            "CREATE ROLE registry_control_plane; CREATE ROLE registry_facade; CREATE DATABASE"
            " product"
        )
        make_login_role(server)
        await eventually(lambda: says(503, "not been migrated"))
        migrated = run(
            "migrate",
            {"CONTROL_PLANE_MIGRATION_DATABASE_URL": server.superuser_url_of("product")},
        )
        assert migrated.status == 0, migrated.words
        await eventually(lambda: says(200))
        server.stop()
        await eventually(lambda: says(503, "not available"))
        server.start()
        await eventually(lambda: says(200))
    finally:
        child.kill()
        server.stop()
    assert LOGIN_PASSWORD not in child.log.read_text()


async def test_another_statement_key_is_not_ready(own_plane: ControlPlane, tmp_path: Path) -> None:
    """A mixed-up key is found at the start, before anything is signed with it."""
    own_plane.stop()
    assert run("keys --out " + str(tmp_path / "other"), {}).status == 0
    environment = own_plane.environment | {
        "CONTROL_PLANE_STATEMENT_PRIVATE_KEY_FILE": str(
            tmp_path / "other" / "statement.private.pem"
        )
    }
    child = serve(environment, tmp_path / "other.log")

    async def says_why() -> bool:
        try:
            return "statement key" in (await readiness(own_plane.port))[1]
        except aiohttp.ClientConnectionError:
            return False

    try:
        await eventually(says_why)
    finally:
        child.kill()
    answer = run(
        "operators add mallory --role admin",
        {
            "CONTROL_PLANE_DATABASE_URL": own_plane.owner_url,
            "CONTROL_PLANE_STATEMENT_PRIVATE_KEY_FILE": environment[
                "CONTROL_PLANE_STATEMENT_PRIVATE_KEY_FILE"
            ],
        },
    )
    assert (answer.status, answer.output) == (1, "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_finishes_what_it_began_before_it_stops(
    own_plane: ControlPlane, database: Database, number: signal.Signals
) -> None:
    """A request under way is answered; then the exit status is 0."""
    alice = own_plane.client("alice")
    async with act_lock_held(database):
        connecting = asyncio.create_task(alice.connect("registry.example"))
        await eventually(lambda: is_waiting(database))
        own_plane.child.process.send_signal(number)
        await eventually(lambda: any(line["event"] == "stopping" for line in own_plane.log_lines))
    assert (await connecting)["status"] == "pending"
    await eventually(lambda: not own_plane.child.running)
    assert own_plane.child.process.returncode == 0
    assert own_plane.log_lines[-1]["event"] == "stopped"


async def test_a_second_signal_ends_it_at_once(own_plane: ControlPlane, database: Database) -> None:
    """Whoever asks twice does not want to wait for what was begun."""
    alice = own_plane.client("alice")
    async with act_lock_held(database):
        connecting = asyncio.create_task(alice.connect("registry.example"))
        await eventually(lambda: is_waiting(database))
        own_plane.child.process.send_signal(signal.SIGTERM)
        await eventually(lambda: any(line["event"] == "stopping" for line in own_plane.log_lines))
        own_plane.child.process.send_signal(signal.SIGTERM)
        await eventually(lambda: not own_plane.child.running)
        with pytest.raises(aiohttp.ClientError):
            await connecting
    assert own_plane.child.process.returncode == 1
    assert own_plane.log_lines[-1]["event"] == "ended at once"


async def test_https_where_a_certificate_is_configured(
    own_plane: ControlPlane,
    server_ca: CertificateAuthority,
    server_certificate: CertificateFiles,
    client_tls: ssl.SSLContext,
) -> None:
    """Operators' tokens are worth TLS, and the shell client checks the certificate."""
    own_plane.stop()
    environment = own_plane.environment | {
        "CONTROL_PLANE_TLS_CERT_FILE": str(server_certificate.certificate),
        "CONTROL_PLANE_TLS_KEY_FILE": str(server_certificate.key),
    }
    child = serve(environment, own_plane.folder / "tls.log")
    url = f"https://127.0.0.1:{own_plane.port}/healthz"

    async def answers() -> bool:
        try:
            async with (
                aiohttp.ClientSession() as session,
                session.get(url, ssl=client_tls) as answer,
            ):
                return answer.status == 200
        except aiohttp.ClientConnectionError:
            return False

    try:
        await eventually(answers)
        client = {
            "CONTROL_PLANE_URL": f"https://127.0.0.1:{own_plane.port}",
            "CONTROL_PLANE_TOKEN": own_plane.tokens["eve"],
        }
        distrusting = run("connections list", client)
        assert distrusting.status == 1
        assert own_plane.tokens["eve"] not in distrusting.words
        ca_file = own_plane.folder / "ca.pem"
        comment = "# Größe\n".encode("latin-1")
        for trusted in (server_ca.pem, comment + server_certificate.certificate.read_bytes()):
            ca_file.write_bytes(trusted)  # the CA, or the server's own
            trusting = run("connections list", client | {"CONTROL_PLANE_CA_FILE": str(ca_file)})
            assert trusting.status == 0, trusting.words
    finally:
        child.kill()


async def test_a_malformed_request_leaks_nothing(plane: ControlPlane) -> None:
    """A space before the colon is refused by the parser, and its value is nowhere."""
    for request in (
        f"GET /v1/audit HTTP/1.1\r\nHost: x\r\nAuthorization : Bearer {CANARY}\r\n\r\n",
        f"GET /{CANARY} HTTP/9.9\r\nX-Token: {CANARY}\r\n\r\n",
        f"{CANARY}\r\n\r\n",
        f"GET / HTTP/1.1\r\nHost: x\r\nX: {CANARY}\x01\r\n\r\n",
        f"POST /v1/connections HTTP/1.1\r\nHost: x\r\nContent-Length: {CANARY}\r\n\r\n",
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", plane.port)
        writer.write(request.encode())
        answer = await asyncio.wait_for(reader.read(), PATIENCE_SECONDS)
        writer.close()
        await writer.wait_closed()
        assert answer.startswith((b"HTTP/1.0 400", b"HTTP/1.1 400")), answer
        assert b"application/problem+json" in answer
        assert CANARY.encode() not in answer
    assert CANARY not in plane.log.read_text()


async def test_metrics_count_what_happened(own_plane: ControlPlane) -> None:
    """Requests by route, denied logins; no path, no name, no token."""
    await own_plane.client(None).call("GET", "/v1/connections")
    await own_plane.client("eve").call("GET", f"/{CANARY}")
    text = (await own_plane.client("eve").call("GET", "/metrics")).body.decode()
    assert "control_plane_denied_logins_total 1.0" in text
    assert (
        'control_plane_requests_total{method="GET",route="/v1/connections",status="401"} 1.0'
        in text
    )
    assert CANARY not in text


@asynccontextmanager
async def act_lock_held(database: Database) -> AsyncIterator[None]:
    """Hold the row that every act locks."""
    connection = await asyncpg.connect(database.superuser_url)
    try:
        async with connection.transaction():
            await connection.execute("SELECT FROM audit_lock FOR UPDATE")
            yield
    finally:
        await connection.close()


def is_waiting(database: Database) -> bool:
    """Tell whether somebody waits for a lock."""
    return (
        database.sql(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )
        == "1"
    )


def test_an_address_in_use_is_said_once(plane: ControlPlane, tmp_path: Path) -> None:
    """Python's own text of the error has the address, too."""
    child = serve(plane.environment, tmp_path / "log")
    assert child.process.wait(PATIENCE_SECONDS) == 1
    assert child.log_tail.endswith(
        f"cannot listen on 127.0.0.1:{plane.port}: Address already in use\n"
    )


def test_a_crash_leaves_no_core(plane: ControlPlane) -> None:
    """It would hold the statement key, and each secret in the moment before it is sealed."""
    soft, _ = core_limits(plane.child.pid)
    assert soft == "0"
