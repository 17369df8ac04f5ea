"""A revoked device is refused until a statement lifts the revocation; no lost row does."""

from collections.abc import Callable
from datetime import UTC, datetime
from uuid import uuid4

import attrs
import pytest
from cryptography import x509

from deploy.dev.device_ca import IssuedCertificate
from shared.statement import DeviceLifting, DeviceRevocation
from tests.support.database_writer import DatabaseWriter
from tests.support.facade_database import FacadeDatabase
from tests.support.facade_process import Device, Facade
from tests.support.facade_states import connect, pull_path, write_and_wait
from tests.support.raw_http import raw_connection, request_bytes
from tests.support.simulators.registry import RegistrySimulator
from tests.support.statement_writer import StatementWriter
from tests.system.facade.conftest import StartFacade
from tests.system.facade.tampering import GONE, NO_SIGNATURE, OLDER, until_refused

PING = request_bytes(b"/v2/")


@pytest.fixture
def issue(facade: Facade) -> Callable[[], IssuedCertificate]:
    """Give each test devices that no other test revokes."""
    return lambda: facade.files.device_ca.issue_device(device=f"press-{uuid4().hex}")


def revocation_of(
    writer: StatementWriter, issued: IssuedCertificate, *, issuer: str | None = None
) -> DeviceRevocation:
    """Return the revocation of one certificate, of whichever device."""
    return DeviceRevocation(
        uuid4(),
        "bob",
        datetime.now(UTC),
        generation=writer.generation(),
        serial=f"{issued.serial:x}",
        issuer=issuer,
    )


def identity(issued: IssuedCertificate) -> str:
    """Return what the certificate says, verbatim."""
    (name,) = issued.certificate.extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    ).value.get_values_for_type(x509.UniformResourceIdentifier)
    return name


async def is_denied(device: Device) -> bool:
    """Tell whether the device is refused as a revoked one; fail where it is anything else."""
    answer = await device.get("/v2/")
    if answer.status == 200:
        return False
    assert (answer.status, answer.error_code) == (403, "DENIED")
    assert b"the device is revoked" in answer.body
    assert answer.headers["Connection"] == "close"
    return True


async def test_a_revoked_devices_connections_are_cut(
    facade: Facade, writer: StatementWriter, issue: Callable[[], IssuedCertificate]
) -> None:
    """Those that wait for a request, too; a new one is told why, and nobody else is touched."""
    issued, other = issue(), facade.device(issue())
    async with raw_connection(facade.device(issued)) as connection, raw_connection(other) as others:
        await connection.send(PING)
        assert (await connection.answer()).status == 200
        await writer.write(writer.device_revocation(identity(issued)))
        assert await connection.until_reset() == b""
        assert await is_denied(facade.device(issued))
        await others.send(PING)
        assert (await others.answer()).status == 200
    assert not await is_denied(other)


async def test_a_revoked_device_reaches_nothing(
    facade: Facade,
    writer: StatementWriter,
    upstream: RegistrySimulator,
    issue: Callable[[], IssuedCertificate],
) -> None:
    """Neither what it might pull, nor an answer about its request."""
    path = pull_path(upstream, upstream.blob(b"content"))
    await connect(facade, writer, upstream)
    issued = issue()
    await write_and_wait(facade, writer, writer.device_revocation(identity(issued)))
    device = facade.device(issued)
    for target in (path, "/v2/_catalog", "/nonsense", "/v2/%00"):
        answer = await device.get(target)
        assert (answer.status, answer.error_code) == (403, "DENIED")
    assert upstream.requests == []


async def test_a_lifted_revocation_lets_the_device_back_in(
    facade: Facade, writer: StatementWriter, issue: Callable[[], IssuedCertificate]
) -> None:
    """And a second revocation out again."""
    issued = issue()
    device = facade.device(issued)
    for _ in range(2):
        revocation = writer.device_revocation(identity(issued))
        await write_and_wait(facade, writer, revocation)
        assert await is_denied(device)
        await write_and_wait(facade, writer, writer.device_lifting(revocation))
        assert not await is_denied(device)


async def test_one_certificate_of_a_device_is_revoked_by_its_serial(
    facade: Facade, writer: StatementWriter
) -> None:
    """A stolen key is replaced, and the device goes on with its new certificate."""
    device_ca = facade.files.device_ca
    stolen, replacement = device_ca.issue_device(), device_ca.issue_device()
    revocation = revocation_of(writer, stolen)
    await write_and_wait(facade, writer, revocation)
    assert await is_denied(facade.device(stolen))
    assert not await is_denied(facade.device(replacement))
    lifting = DeviceLifting(
        revocation.revocation_id,
        "bob",
        datetime.now(UTC),
        generation=writer.generation(),
        serial=revocation.serial,
    )
    await write_and_wait(facade, writer, lifting)
    assert not await is_denied(facade.device(stolen))


async def test_a_serial_with_an_issuer_means_that_issuers_certificate_alone(
    facade: Facade, writer: StatementWriter
) -> None:
    """Two CAs may give out the same number."""
    issued = facade.files.device_ca.issue_device()
    await write_and_wait(facade, writer, revocation_of(writer, issued, issuer="CN=another CA"))
    assert not await is_denied(facade.device(issued))
    issuer = issued.certificate.issuer.rfc4514_string()
    await write_and_wait(facade, writer, revocation_of(writer, issued, issuer=issuer))
    assert await is_denied(facade.device(issued))


async def test_a_certificate_below_an_intermediate_is_revoked_by_that_issuer(
    facade: Facade, writer: StatementWriter
) -> None:
    """The issuer is who signed the certificate, not the root."""
    issued = facade.files.device_ca.make_intermediate("line A CA").issue_device()
    assert not await is_denied(facade.device(issued))
    await write_and_wait(facade, writer, revocation_of(writer, issued, issuer="CN=line A CA"))
    assert await is_denied(facade.device(issued))


async def test_a_revocation_whose_row_is_deleted_or_changed_holds(
    facade: Facade, writer: StatementWriter, issue: Callable[[], IssuedCertificate]
) -> None:
    """Whoever writes in Postgres lets no revoked device back in."""
    attacker = DatabaseWriter(writer.owner_url)
    issued = issue()
    revocation = writer.device_revocation(identity(issued))
    await write_and_wait(facade, writer, revocation)
    row = await attacker.row(revocation.subject)
    await attacker.delete(revocation.subject)
    await until_refused(facade, revocation.subject, GONE)
    assert await is_denied(facade.device(issued))
    changed = attrs.evolve(row, type="device-lifting/1")
    await attacker.put(changed)
    await until_refused(facade, revocation.subject, NO_SIGNATURE, times=2)
    assert await is_denied(facade.device(issued))


async def test_an_older_lifting_put_back_lets_nobody_in(
    facade: Facade, writer: StatementWriter, issue: Callable[[], IssuedCertificate]
) -> None:
    """Every lifting lifts what was there before it, and nothing that came later."""
    attacker = DatabaseWriter(writer.owner_url)
    issued = issue()
    revocation = writer.device_revocation(identity(issued))
    await write_and_wait(facade, writer, revocation)
    await write_and_wait(facade, writer, writer.device_lifting(revocation))
    lifted = await attacker.row(revocation.subject)
    await write_and_wait(facade, writer, writer.device_revocation(identity(issued)))
    await attacker.put(lifted)
    await until_refused(facade, revocation.subject, OLDER)
    assert await is_denied(facade.device(issued))


async def test_another_devices_lifting_put_in_place_lets_nobody_in(
    facade: Facade, writer: StatementWriter, issue: Callable[[], IssuedCertificate]
) -> None:
    """A lifting speaks of one device."""
    attacker = DatabaseWriter(writer.owner_url)
    issued, other = issue(), issue()
    revocation = writer.device_revocation(identity(issued))
    await write_and_wait(facade, writer, revocation)
    others = writer.device_revocation(identity(other))
    await write_and_wait(facade, writer, others)
    await write_and_wait(facade, writer, writer.device_lifting(others))
    lifted = await attacker.row(others.subject)
    await attacker.put(attrs.evolve(lifted, subject=revocation.subject))
    await until_refused(facade, revocation.subject, "the statement is about another subject")
    assert await is_denied(facade.device(issued))


async def test_a_lifting_that_is_tampered_with_counts_as_a_revocation(
    facade: Facade, writer: StatementWriter, issue: Callable[[], IssuedCertificate]
) -> None:
    """Where it is not known what was said last, the device stays out."""
    attacker = DatabaseWriter(writer.owner_url)
    issued = issue()
    revocation = writer.device_revocation(identity(issued))
    await write_and_wait(facade, writer, revocation)
    await write_and_wait(facade, writer, writer.device_lifting(revocation))
    assert not await is_denied(facade.device(issued))
    row = await attacker.row(revocation.subject)
    await attacker.put(attrs.evolve(row, signature=bytes(64)))
    await until_refused(facade, revocation.subject, NO_SIGNATURE)
    assert await is_denied(facade.device(issued))


async def test_revocations_outlive_a_restart_and_the_loss_of_their_rows(
    own_database: FacadeDatabase, own_writer: StatementWriter, start_facade: StartFacade
) -> None:
    """Also with Postgres away: the state folder has them."""
    attacker = DatabaseWriter(own_database.owner_url)
    facade = start_facade(own_writer, own_database.facade_url)
    issued = facade.files.device_ca.issue_device(device="press-8")
    revocation = own_writer.device_revocation(identity(issued))
    await write_and_wait(facade, own_writer, revocation)
    facade.child.kill()
    await attacker.delete(revocation.subject)
    facade.restart()
    await until_refused(facade, revocation.subject, GONE)
    assert await is_denied(facade.device(issued))
    facade.child.kill()
    facade.environment["FACADE_DATABASE_URL"] = "postgresql://nobody:nothing@127.0.0.1:1/none"
    facade.restart()
    assert await is_denied(facade.device(issued))
    assert not await is_denied(facade.device())
