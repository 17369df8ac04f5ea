"""A stored secret appears nowhere: it is sealed at rest, and shown to its registry alone."""

import base64
import datetime as dt
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.support.facade_database import FacadeDatabase
from tests.support.facade_process import Facade
from tests.support.facade_states import CANARY_TOKEN, USERNAME, connect, pull_path, write_and_wait
from tests.support.raw_http import raw_connection, request_bytes
from tests.support.simulators.behaviour import Answers, OtherBytes, RedirectsTo
from tests.support.simulators.login import BasicLogin, BearerLogin
from tests.support.simulators.registry import RegistrySimulator
from tests.support.statement_writer import StatementWriter
from tests.system.facade.conftest import StartFacade

MANIFEST = b'{"schemaVersion":2,"config":{},"layers":[]}'
BLOB = bytes(700_000)


def spellings(secret: str, username: str) -> list[bytes]:
    """Return the forms in which the secret could be written down."""
    raw = secret.encode()
    basic = base64.b64encode(f"{username}:{secret}".encode())
    shifted = [base64.b64encode(b"x" * pad + raw)[4:-4] for pad in range(3)]
    return [raw, quote(secret).encode(), raw.hex().encode(), basic, *shifted]


def require_absent(content: bytes, where: str, *secrets: str) -> None:
    """Fail where one of the secrets is in the content, in whatever spelling."""
    for secret in (CANARY_TOKEN, *secrets):
        for spelling in spellings(secret, USERNAME):
            assert spelling not in content, f"the secret is in {where}"


@pytest.fixture
def quiet_facade(
    own_database: FacadeDatabase, own_writer: StatementWriter, start_facade: StartFacade
) -> Facade:
    """A facade of its own, whose whole life is looked through."""
    return start_facade(own_writer, own_database.facade_url, {"FACADE_LOG_LEVEL": "debug"})


def test_the_search_finds_what_it_is_to_find() -> None:
    """A search that finds nothing anywhere would prove nothing."""
    for where in spellings(CANARY_TOKEN, USERNAME):
        with pytest.raises(AssertionError):
            require_absent(b"before" + where + b"after", "the text")


async def test_the_secret_is_in_no_answer_log_file_or_metric(
    quiet_facade: Facade,
    own_writer: StatementWriter,
    own_database: FacadeDatabase,
    upstream: RegistrySimulator,
) -> None:
    """Through success, refusal, wrong bytes, redirects, rotation, revocation and a crash."""
    facade = quiet_facade
    answers = bytearray()
    approval = await connect(facade, own_writer, upstream)
    reflected = base64.b64encode(f"{USERNAME}:{CANARY_TOKEN}".encode())
    paths = [
        pull_path(upstream, upstream.manifest(MANIFEST), kind="manifests"),
        pull_path(upstream, upstream.blob(BLOB)),
        pull_path(upstream, upstream.blob(b"wrong", get=OtherBytes())),
        pull_path(upstream, upstream.blob(b"500", get=Answers(500, body=reflected))),
        pull_path(upstream, upstream.blob(b"403", get=Answers(403, body=reflected))),
        pull_path(upstream, upstream.blob(b"429", get=Answers(429, body=reflected))),
        pull_path(
            upstream,
            upstream.blob(b"loc", get=RedirectsTo(f"http://127.0.0.1:1/{CANARY_TOKEN}")),
        ),
        pull_path(
            upstream,
            upstream.blob(b"hdr", get=Answers(418, (("X-Echo", reflected.decode()),), reflected)),
        ),
        pull_path(upstream, "sha256:" + "0" * 64),
    ]
    device = facade.device()
    for path in paths:
        for method in ("GET", "HEAD"):
            async with raw_connection(device) as connection:
                headers = b"Connection: close\r\n"
                await connection.send(request_bytes(path.encode(), method=method, headers=headers))
                answers += await connection.rest()
    upstream.login = BasicLogin(USERNAME, "the registry has another one")
    answers += (await device.get(paths[1])).body
    await connect(
        facade,
        own_writer,
        upstream,
        connection_id=approval.connection_id,
        secret_version=2,
        expires_in=dt.timedelta(hours=1),
    )
    answers += (await device.get(paths[1])).body
    await write_and_wait(facade, own_writer, own_writer.revocation(approval.connection_id))
    answers += (await device.get(paths[1])).body
    answers += b"".join(
        facade.operations(path)[1].encode() for path in ("/metrics", "/readyz", "/healthz", "/x")
    )
    assert answers
    require_absent(bytes(answers), "an answer")
    facade.child.kill()  # what a crash leaves behind: the write-ahead log too
    require_absent_in_folder(Path(facade.environment["FACADE_STATE_DIR"]))
    facade.restart()
    assert facade.stop() == 0
    require_absent_in_folder(Path(facade.environment["FACADE_STATE_DIR"]))
    require_absent(facade.child.log.read_bytes(), "the log")
    password = own_database.facade_url.partition("@")[0].rpartition(":")[2]
    assert password.encode() not in facade.child.log.read_bytes()


async def test_a_minted_token_is_in_no_log_or_answer_either(
    quiet_facade: Facade, own_writer: StatementWriter
) -> None:
    """It opens the same registry for as long as it lives."""
    login = BearerLogin(USERNAME, CANARY_TOKEN)
    async with RegistrySimulator(login=login) as upstream:
        path = pull_path(upstream, upstream.blob(b"content"))
        await connect(quiet_facade, own_writer, upstream)
        device = quiet_facade.device()
        answers = (await device.get(path)).body
        login.revoke_tokens()
        answers += (await device.get(path)).body
        login.answer = (500, (), b"echo " + base64.b64encode(CANARY_TOKEN.encode()))
        login.revoke_tokens()
        answers += (await device.get(path)).body
    minted = list(login.tokens) or [
        (request.header("Authorization") or "").removeprefix("Bearer ")
        for request in upstream.requests
        if (request.header("Authorization") or "").startswith("Bearer ")
    ]
    assert minted
    require_absent(answers, "an answer", *minted)
    assert quiet_facade.stop() == 0
    require_absent(quiet_facade.child.log.read_bytes(), "the log", *minted)
    require_absent_in_folder(Path(quiet_facade.environment["FACADE_STATE_DIR"]), *minted)


async def test_a_device_that_sends_a_secret_finds_it_nowhere(quiet_facade: Facade) -> None:
    """Clients send what their own configuration has, to whomever."""
    device = quiet_facade.device()
    answer = await device.get(
        f"/v2/nowhere.example/a/blobs/sha256:{'0' * 64}?token={CANARY_TOKEN}",
        Authorization=f"Bearer {CANARY_TOKEN}",
        Cookie=f"session={CANARY_TOKEN}",
        Referer=f"https://x/{CANARY_TOKEN}",
        User_Agent=CANARY_TOKEN,
        X_Request_Id=CANARY_TOKEN,
    )
    require_absent(answer.body + repr(answer.headers).encode(), "the answer")
    require_absent(quiet_facade.child.log.read_bytes(), "the log")


def require_absent_in_folder(folder: Path, *secrets: str) -> None:
    """Fail where a secret is in a file of the folder, or in its name."""
    files = [file for file in folder.rglob("*") if file.is_file()]
    assert files
    for file in files:
        require_absent(file.read_bytes(), file.name, *secrets)
        require_absent(file.name.encode(), "a file's name", *secrets)
