"""What a facade says of itself is true: ready if it can serve anything, and what is wrong by name.

Each scene is a facade that starts with something wrong, and a file that mends it while it runs.
"""

import asyncio
import datetime as dt
import signal
from pathlib import Path
from typing import Any

import orjson
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from deploy.dev.device_ca import SERVER_AUTH, CertificateAuthority, IssuedCertificate
from shared.keys import private_pem, public_pem
from tests.support.eventually import eventually
from tests.support.facade_database import FacadeDatabase
from tests.support.facade_process import Facade
from tests.support.facade_states import (
    CANARY_TOKEN,
    USERNAME,
    connect,
    pull_path,
    until_accepted,
    write_and_wait,
)
from tests.support.simulators.registry import RegistrySimulator
from tests.support.statement_writer import StatementWriter
from tests.support.swapped_files import put, swap, swap_refused
from tests.system.facade.conftest import StartFacade
from tests.system.facade.test_reload import is_served

CERTIFICATE, KEY = "FACADE_TLS_CERT_FILE", "FACADE_TLS_KEY_FILE"
DEVICE_CA = "FACADE_DEVICE_CA_FILE"
SEALING_KEY = "FACADE_SEALING_PRIVATE_KEY_FILE"
STATEMENT_KEY = "FACADE_STATEMENT_PUBLIC_KEY_FILE"
CREDENTIAL: dict[str, Any] = {"username": USERNAME, "token": CANARY_TOKEN, "plain_http": True}
DAY = dt.timedelta(days=1)


def metric(facade: Facade, name: str) -> float:
    """Return the value of a metric, with its labels as they are exposed."""
    lines = facade.operations("/metrics")[1].splitlines()
    (line,) = (line for line in lines if line.startswith(f"{name} "))
    return float(line.removeprefix(f"{name} "))


def problems(facade: Facade) -> set[str]:
    """Return the parts that `facade_problem` shows."""
    lines = facade.operations("/metrics")[1].splitlines()
    prefix = 'facade_problem{part="'
    return {
        line.removeprefix(prefix).partition('"')[0]
        for line in lines
        if line.startswith(prefix) and line.endswith(" 1.0")
    }


def told(facade: Facade, part: str) -> list[str]:
    """Return what the log told of a part: each time what it stops, or that it is over."""
    events = {"problem", "problem is over"}
    lines = [line for line in facade.log_lines(part=part) if line["event"] in events]
    assert {line["level"] for line in lines if line["event"] == "problem"} <= {"warning"}
    return [line.get("stops", "over") for line in lines]


async def until_told(facade: Facade, part: str, *expected: str) -> None:
    """Return once the log has told this of a part, one after the other, and no more than this."""
    facade.child.process.send_signal(signal.SIGHUP)  # it looks now, and every 2 s
    await eventually(lambda: told(facade, part) == list(expected))


async def until_ready(facade: Facade, *words: str) -> None:
    """Return once it is ready and says these words; none: that nothing is wrong."""

    def is_so() -> bool:
        status, text = facade.operations("/readyz")
        clean = text.startswith("ready: following the database") and ";" not in text
        return status == 200 and (all(each in text for each in words) if words else clean)

    await eventually(is_so)


async def until_not_ready(facade: Facade, *words: str) -> None:
    """Return once it is not ready, and says these words."""

    def is_so() -> bool:
        status, text = facade.operations("/readyz")
        return status == 503 and all(each in text for each in words)

    await eventually(is_so)


def message_of(body: bytes) -> str:
    """Return what a device reads of an error."""
    return str(orjson.loads(body)["errors"][0]["message"])


async def test_with_the_wrong_statement_key_it_is_not_ready_until_the_right_one_comes(
    own_database: FacadeDatabase, own_writer: StatementWriter, start_facade: StartFacade
) -> None:
    """Nothing in the database is believed, although there is something; one line tells of it."""
    own = [own_writer.approval(host) for host in ("one.example", "two.example")]
    for approval in own:
        await own_writer.write(approval)
    others = StatementWriter(own_database.owner_url, sealing_key=own_writer.sealing_key)
    polls = {"FACADE_POLL_INTERVAL": "100ms"}
    facade = start_facade(others, own_database.facade_url, polls, wait=False)
    await until_not_ready(facade, "2 rows of connections", STATEMENT_KEY)
    await until_told(facade, "statements", "all")
    await eventually(lambda: problems(facade) == {"statements"})
    assert metric(facade, 'facade_refused_rows{reason="unknown_key"}') == 2
    assert metric(facade, "facade_approved_connections") == 0
    assert len(facade.log_lines(event="statement refused")) == 2

    keys = others.statement_public_pem + own_writer.statement_public_pem
    await swap(facade, {STATEMENT_KEY: keys})
    await until_ready(facade)
    assert problems(facade) == set()
    assert metric(facade, 'facade_refused_rows{reason="unknown_key"}') == 0
    assert metric(facade, "facade_approved_connections") == 2
    await until_told(facade, "statements", "all", "over")

    stored = own_writer.sign(own[0])
    await own_writer.write_row(own[1].subject, stored)  # copied from one row to the other
    await until_ready(facade, "1 rows of connections", "copied from another row")
    assert metric(facade, 'facade_refused_rows{reason="other_subject"}') == 1
    await until_told(facade, "statements", "all", "over", "some")
    await own_writer.sql("DELETE FROM statements WHERE subject = $1", own[1].subject)
    await until_ready(facade, "1 approved connections are in the database no more")
    assert metric(facade, 'facade_refused_rows{reason="other_subject"}') == 0
    assert metric(facade, "facade_vanished_connections") == 1
    await own_writer.write(own[1])
    await until_ready(facade)
    for approval in own:
        await own_writer.sql("DELETE FROM statements WHERE subject = $1", approval.subject)
    # Not as an empty database: perhaps it is another one by mistake.
    await until_not_ready(facade, "2 approved connections", "FACADE_DATABASE_URL")
    await until_told(facade, "statements", "all", "over", "some", "all")


async def test_new_statement_keys_are_used_at_once_whenever_the_next_poll_comes(
    own_database: FacadeDatabase, own_writer: StatementWriter, start_facade: StartFacade
) -> None:
    """Who mends a key file does not wait for an hour; a row of a revocation was of no harm."""
    facade = start_facade(own_writer, own_database.facade_url)
    others = StatementWriter(own_database.owner_url)
    revocation = others.device_revocation("spiffe://example.com/fleet/line-a/device/press-9")
    await others.write(revocation)
    await others.write(others.revocation(others.approval("gone.example").connection_id))
    await until_ready(facade, "1 rows of connections", "1 rows of revoked devices")
    await until_told(facade, "statements", "some")
    keys = own_writer.statement_public_pem + others.statement_public_pem
    await swap(facade, {STATEMENT_KEY: keys})
    await until_ready(facade)
    await until_accepted(facade, revocation)


async def test_approvals_that_have_expired_are_not_counted_as_approved(
    own_database: FacadeDatabase, own_writer: StatementWriter, start_facade: StartFacade
) -> None:
    """Also one that expires while nothing else happens; it is no problem of the facade."""
    facade = start_facade(own_writer, own_database.facade_url)
    await until_ready(facade)  # with an empty database, too: it is set up before it is used
    assert metric(facade, "facade_approved_connections") == 0
    ends = {"past.example": -1, "soon.example": 2, "later.example": 3600, "never.example": None}
    for host, seconds in ends.items():
        lasts = None if seconds is None else dt.timedelta(seconds=seconds)
        approval = own_writer.approval(host, expires_in=lasts)
        await write_and_wait(facade, own_writer, approval)
    await eventually(lambda: metric(facade, "facade_approved_connections") == 2)
    assert metric(facade, "facade_expired_approvals") == 2
    await until_ready(facade)
    assert facade.log_lines(event="problem") == []


async def test_with_the_owners_login_it_serves_and_says_so(
    own_database: FacadeDatabase, own_writer: StatementWriter, start_facade: StartFacade
) -> None:
    """It works, and it is not what was meant: nothing else would ever show it."""
    facade = start_facade(own_writer, own_database.owner_url)
    await until_ready(facade, "FACADE_DATABASE_URL: the login ", "IN ROLE registry_facade")
    await until_told(facade, "database_login", "nothing yet")


async def test_with_a_sealing_key_that_opens_nothing_it_says_so_and_serves_the_rest(
    own_database: FacadeDatabase,
    own_writer: StatementWriter,
    start_facade: StartFacade,
    upstream: RegistrySimulator,
) -> None:
    """A device is told that it is the facade's fault, and the registry is not bothered."""
    facade = start_facade(own_writer, own_database.facade_url)
    own = own_writer.sealing_private_pem
    sealing_key = own_writer.sealing_key = X25519PrivateKey.generate()
    approval = await connect(facade, own_writer, upstream)
    secret = approval.document.partition('"key_id":"')[2][:16]
    await until_not_ready(facade, "1 of 1 connections' secrets cannot be used", secret, SEALING_KEY)
    await until_told(facade, "sealing_key", "all")
    path = pull_path(upstream, upstream.blob(b"content"))
    for _ in range(5):
        answer = await facade.device().get(path)
        assert (answer.status, answer.error_code) == (502, "UNAVAILABLE")
        assert "this facade cannot open" in message_of(answer.body)
    assert upstream.requests == []
    (line,) = facade.log_lines(event="sealed secret cannot be used")
    assert (line["level"], line["connection"]) == ("warning", str(approval.connection_id))
    assert line["host"] == str(upstream.host)
    assert metric(facade, "facade_unusable_secrets") == 1
    assert metric(facade, 'facade_not_asked_total{reason="sealed_secret"}') == 5

    async with RegistrySimulator() as public:
        await connect(facade, own_writer, public, username=None, token=None)
        await until_ready(facade, "1 of 2 connections' secrets cannot be used")
        served = await facade.device().get(pull_path(public, public.blob(b"of everybody")))
        assert served.body == b"of everybody"
    await until_told(facade, "sealing_key", "all", "some")

    await swap(facade, {SEALING_KEY: own + private_pem(sealing_key)})
    await until_ready(facade)
    assert (await facade.device().get(path)).body == b"content"
    assert metric(facade, "facade_unusable_secrets") == 0
    await until_told(facade, "sealing_key", "all", "some", "over")
    assert CANARY_TOKEN not in facade.log_text

    await swap(facade, {SEALING_KEY: private_pem(X25519PrivateKey.generate())})
    assert (await facade.device().get(path)).body == b"content"  # what is open stays open
    await until_ready(facade, "1 of 2 connections' secrets cannot be used", "restarts")
    assert metric(facade, "facade_unusable_secrets") == 1


async def test_a_seal_that_does_not_open_with_its_own_key_is_found_by_the_first_pull(
    own_database: FacadeDatabase,
    own_writer: StatementWriter,
    start_facade: StartFacade,
    upstream: RegistrySimulator,
    bystander: RegistrySimulator,
) -> None:
    """Its connection alone is affected; a new secret mends it."""
    facade = start_facade(own_writer, own_database.facade_url)
    approval = own_writer.approval(str(upstream.host), **CREDENTIAL)
    other = own_writer.approval(str(bystander.host), **CREDENTIAL)
    moved = own_writer.with_secret_of(approval, other)
    for each in (moved, other):
        await write_and_wait(facade, own_writer, each)
    await until_ready(facade)
    device, path = facade.device(), pull_path(upstream, upstream.blob(b"content"))
    assert (await device.get(path)).status == 502
    await until_ready(facade, "1 of 2 connections' secrets cannot be used: they do not open")
    assert problems(facade) == {"sealing_key"}
    good = pull_path(bystander, bystander.blob(b"content"))
    assert (await device.get(good)).status == 200
    fields = CREDENTIAL | {"connection_id": approval.connection_id, "secret_version": 2}
    await write_and_wait(facade, own_writer, own_writer.approval(str(upstream.host), **fields))
    await until_ready(facade)
    assert (await device.get(path)).status == 200


async def test_what_is_stored_is_served_although_no_secret_opens(
    own_database: FacadeDatabase,
    own_writer: StatementWriter,
    start_facade: StartFacade,
    upstream: RegistrySimulator,
    tmp_path: Path,
) -> None:
    """So it stays ready, and says what it does not serve."""
    store = {"FACADE_CACHE_DIR": str(tmp_path / "cache"), "FACADE_CACHE_MAX_BYTES": "64MiB"}
    facade = start_facade(own_writer, own_database.facade_url, store)
    await connect(facade, own_writer, upstream)
    digest = upstream.blob(b"content")
    manifest = upstream.manifest(b'{"schemaVersion":2,"config":{},"layers":[]}')
    paths = [pull_path(upstream, digest), pull_path(upstream, manifest, kind="manifests")]
    bodies = [(await facade.device().get(path)).body for path in paths]
    facade.stop()
    folder = facade.files.folder
    put(folder / "sealing.private.pem", private_pem(X25519PrivateKey.generate()))
    wrong = public_pem(Ed25519PrivateKey.generate().public_key())
    put(folder / "statement.public.pem", wrong)
    facade.restart(wait=False)
    await until_not_ready(facade, "1 rows of connections")
    # And no right to read is lost by that mistake.
    await swap(facade, {STATEMENT_KEY: own_writer.statement_public_pem})
    await until_ready(facade, "1 of 1 connections' secrets cannot be used")
    asked = len(upstream.requests)
    assert [(await facade.device().get(path)).body for path in paths] == bodies
    cold = await facade.device().get(pull_path(upstream, upstream.blob(b"another")))
    assert cold.status == 502
    assert len(upstream.requests) == asked


async def test_a_server_certificate_that_devices_refuse_makes_it_not_ready(
    own_database: FacadeDatabase,
    own_writer: StatementWriter,
    start_facade: StartFacade,
    tmp_path: Path,
) -> None:
    """From its start on, whatever is wrong with it; what devices will refuse soon is said before.

    Whoever renews it needs no restart, and half of a new pair is said to be of no use.
    """
    now, ca = dt.datetime.now(dt.UTC), CertificateAuthority.create("another server CA")

    async def present(issued: IssuedCertificate, *chain: IssuedCertificate) -> None:
        pem = b"".join([issued.chain_pem, *(each.chain_pem for each in chain)])
        await swap(facade, {KEY: issued.key_pem, CERTIFICATE: pem})

    def issue(**fields: Any) -> IssuedCertificate:
        return ca.issue(**({"dns": ["localhost"], "usages": (SERVER_AUTH,)} | fields))

    files = issue(not_before=now - 2 * DAY, not_after=now - DAY).write(tmp_path, "expired")
    settings = {CERTIFICATE: str(files.certificate), KEY: str(files.key)}
    facade = start_facade(own_writer, own_database.facade_url, settings, wait=False)
    await until_not_ready(facade, CERTIFICATE, "the certificate expired at")
    await until_told(facade, "server_certificate", "all")
    await eventually(lambda: problems(facade) == {"server_certificate"})
    await swap_refused(facade, CERTIFICATE, ca.issue_server().chain_pem)
    await until_not_ready(facade, f"{CERTIFICATE}: the file has changed and is not used")
    assert problems(facade) == {"server_certificate", "files"}
    assert metric(facade, "facade_server_certificate_expires_in_seconds") < 0
    await present(issue(not_before=now + DAY, not_after=now + 2 * DAY))
    await until_not_ready(facade, CERTIFICATE, "the certificate is valid from")
    await present(issue(usages=()))
    await until_ready(facade)
    await present(ca.issue_device())
    await until_not_ready(facade, CERTIFICATE, "not for servers")
    await present(issue(not_after=now + DAY))
    await until_ready(facade, CERTIFICATE, "the certificate expires at")
    assert problems(facade) == set()
    assert 0 < metric(facade, "facade_server_certificate_expires_in_seconds") <= 86400
    await present(issue(), issue(not_after=now - dt.timedelta(minutes=1)))
    await until_ready(facade, CERTIFICATE, "a CA's certificate behind the first one")
    assert problems(facade) == {"server_certificate"}
    await present(issue())
    await until_ready(facade)
    assert told(facade, "server_certificate") == [
        "all", "all", "over", "all", "nothing yet", "some", "over",
    ]  # fmt: skip


async def test_a_device_ca_that_lets_nobody_in_is_said(
    own_database: FacadeDatabase, own_writer: StatementWriter, start_facade: StartFacade
) -> None:
    """Another fleet's: it stays ready, because whoever shows bad certificates must stop nobody.

    One that has expired: it is not ready if none is left. Soon it will: that is said.
    """
    facade = start_facade(own_writer, own_database.facade_url)
    right = facade.files.device_ca
    wrong = CertificateAuthority.create("wrong device CA")
    device = facade.device()
    assert await is_served(device)
    await swap(facade, {DEVICE_CA: wrong.pem})
    await until_ready(facade)
    for _ in range(3):
        assert not await is_served(device)
    await until_ready(facade, "no device was let in so far, and 3 were refused", DEVICE_CA)
    assert problems(facade) == {"devices"}
    await until_told(facade, "devices", "some")
    await swap(facade, {DEVICE_CA: right.pem})
    await until_ready(facade)
    assert await is_served(device)
    await until_told(facade, "devices", "some", "over")

    now = dt.datetime.now(dt.UTC)
    issuer = 'facade_device_ca_expires_in_seconds{issuer="CN=test device CA"}'
    expired = right.renewed(not_before=now - 2 * DAY, not_after=now - DAY).pem
    await swap(facade, {DEVICE_CA: expired})
    await until_not_ready(facade, "devices of CN=test device CA are refused", "has expired")
    assert problems(facade) == {"device_trust"}
    assert metric(facade, issuer) < 0
    await swap(facade, {DEVICE_CA: expired + CertificateAuthority.create("other").pem})
    await until_ready(facade, "devices of CN=test device CA are refused")
    assert problems(facade) == {"device_trust"}
    root = right.renewed(not_after=now + DAY)
    await swap(facade, {DEVICE_CA: root.pem})
    await until_ready(facade, DEVICE_CA, "CN=test device CA are refused from")
    assert problems(facade) == set()
    assert 0 < metric(facade, issuer) <= 86400
    assert await is_served(facade.device())
    await swap(facade, {DEVICE_CA: right.pem})
    await until_ready(facade)
    await until_told(facade, "device_trust", "all", "some", "nothing yet", "over")


async def test_private_keys_that_everybody_may_read_are_said_until_they_are_closed(
    own_database: FacadeDatabase, own_writer: StatementWriter, start_facade: StartFacade
) -> None:
    """They stop nothing: in a container, such a file is often reached by nobody else."""
    facade = start_facade(own_writer, own_database.facade_url)
    await until_ready(facade)
    for setting in (SEALING_KEY, KEY):
        exposed = f'facade_private_key_exposed{{setting="{setting}"}}'
        path = Path(facade.environment[setting])
        assert metric(facade, exposed) == 0
        await asyncio.to_thread(path.chmod, 0o644)
        facade.child.process.send_signal(signal.SIGHUP)  # it looks now, and every 2 s
        await until_ready(facade, f"{setting}: every user of the machine may read")
        assert metric(facade, exposed) == 1
        assert problems(facade) == set()
        await asyncio.to_thread(path.chmod, 0o600)
        facade.child.process.send_signal(signal.SIGHUP)
        await until_ready(facade)
    await until_told(facade, "private_keys", *["nothing yet", "over"] * 2)
