"""A writer in Postgres can take service away, and nothing else: no forged row is ever believed."""

from collections.abc import Callable
from uuid import uuid4

import attrs
import orjson
import pytest

from shared.statement import (
    MAX_GENERATION,
    AuditEntry,
    Operator,
    Statement,
    StoredStatement,
    signed_bytes,
)
from tests.support.database_writer import DatabaseWriter, Row
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
from tests.support.simulators.login import BasicLogin
from tests.support.simulators.registry import RegistrySimulator
from tests.support.statement_writer import StatementWriter
from tests.system.facade.conftest import StartFacade
from tests.system.facade.tampering import GONE, NO_SIGNATURE, OLDER, Scene, refusals, until_refused

UNKNOWN_TYPE = "of an unknown type or version"
UNKNOWN_KEY = "signed with an unknown key"
OTHER_SUBJECT = "the statement is about another subject"
TOO_LONG = "a part of it is longer than that of any statement"
NOT_OURS = "a statement of this type is not for the facade"


def flip(content: bytes, position: int) -> bytes:
    """Return the bytes with one bit of one byte changed."""
    changed = bytearray(content)
    changed[position] ^= 1
    return bytes(changed)


TAMPERED: dict[str, tuple[Callable[[Row], Row], str]] = {
    "payload, first byte": (
        lambda row: attrs.evolve(row, payload=flip(row.payload, 0)),
        NO_SIGNATURE,
    ),
    "payload, a byte in the middle": (
        lambda row: attrs.evolve(row, payload=flip(row.payload, len(row.payload) // 2)),
        NO_SIGNATURE,
    ),
    "payload, last byte": (
        lambda row: attrs.evolve(row, payload=flip(row.payload, -1)),
        NO_SIGNATURE,
    ),
    "payload, longer": (
        lambda row: attrs.evolve(row, payload=row.payload + b" "),
        NO_SIGNATURE,
    ),
    "payload, shorter": (
        lambda row: attrs.evolve(row, payload=row.payload[:-1]),
        NO_SIGNATURE,
    ),
    "payload, empty": (lambda row: attrs.evolve(row, payload=b""), NO_SIGNATURE),
    "payload, the same JSON in other bytes": (
        lambda row: attrs.evolve(row, payload=row.payload.replace(b'":', b'": ', 1)),
        NO_SIGNATURE,
    ),
    "payload, another approver": (
        lambda row: attrs.evolve(row, payload=row.payload.replace(b'"bob"', b'"eve"')),
        NO_SIGNATURE,
    ),
    "signature, first byte": (
        lambda row: attrs.evolve(row, signature=flip(row.signature, 0)),
        NO_SIGNATURE,
    ),
    "signature, last byte": (
        lambda row: attrs.evolve(row, signature=flip(row.signature, -1)),
        NO_SIGNATURE,
    ),
    "signature, shorter": (
        lambda row: attrs.evolve(row, signature=row.signature[:-1]),
        NO_SIGNATURE,
    ),
    "signature, longer": (
        lambda row: attrs.evolve(row, signature=row.signature + b"\0"),
        TOO_LONG,
    ),
    "signature, empty": (lambda row: attrs.evolve(row, signature=b""), NO_SIGNATURE),
    "signature, zeros": (lambda row: attrs.evolve(row, signature=bytes(64)), NO_SIGNATURE),
    "key id of nobody": (lambda row: attrs.evolve(row, key_id="0" * 16), UNKNOWN_KEY),
    "key id in upper case": (
        lambda row: attrs.evolve(row, key_id=f"{row.key_id}A".upper()),
        UNKNOWN_KEY,
    ),
    "key id, empty": (lambda row: attrs.evolve(row, key_id=""), UNKNOWN_KEY),
    "type of a revocation": (
        lambda row: attrs.evolve(row, type="connection-revocation/1"),
        NO_SIGNATURE,
    ),
    "type of another version": (
        lambda row: attrs.evolve(row, type="connection-approval/2"),
        UNKNOWN_TYPE,
    ),
    "type without a version": (
        lambda row: attrs.evolve(row, type="connection-approval"),
        UNKNOWN_TYPE,
    ),
    "type, empty": (lambda row: attrs.evolve(row, type=""), UNKNOWN_TYPE),
}


async def test_any_changed_column_is_refused_and_the_genuine_row_serves_again(
    scene: Scene, subtests: pytest.Subtests
) -> None:
    """Only the subject that was touched suffers, and its log line says why."""
    for times, (name, (tamper, reason)) in enumerate(TAMPERED.items(), start=1):
        with subtests.test(changed=name):
            changed = tamper(scene.row)
            assert changed != scene.row
            await scene.attacker.put(changed)
            await scene.until_refused(reason, times=times)
            await scene.until_restored()


@pytest.mark.parametrize("generation", [2**62, 0, -1])
async def test_an_unsigned_generation_moves_nothing(scene: Scene, generation: int) -> None:
    """A huge one would otherwise lock every later statement out."""
    await scene.attacker.put(attrs.evolve(scene.row, generation=generation))
    rotated = await connect(
        scene.facade,
        scene.writer,
        scene.upstream,
        connection_id=scene.approval.connection_id,
        secret_version=2,
    )
    assert await scene.status() == 200
    assert refusals(scene.facade, scene.row.subject) == []
    await write_and_wait(scene.facade, scene.writer, scene.writer.revocation(rotated.connection_id))
    assert await scene.status() == 404


async def test_a_generation_far_ahead_is_not_taken_and_keeps_nothing_newer_out(
    scene: Scene,
) -> None:
    """The highest number that there is, signed: one of today is served again."""
    ahead = attrs.evolve(scene.approval, generation=MAX_GENERATION)
    await scene.writer.write(ahead)
    await scene.until_refused("of a time more than a year ahead of this clock")
    today = attrs.evolve(scene.approval, generation=scene.writer.generation())
    await write_and_wait(scene.facade, scene.writer, today)
    assert await scene.status() == 200


async def test_a_row_copied_to_another_subject_is_refused(scene: Scene) -> None:
    """What was approved for one connection was approved for it alone."""
    copied = attrs.evolve(scene.row, subject=f"connection/{uuid4()}")
    await scene.attacker.put(copied)
    await until_refused(scene.facade, copied.subject, OTHER_SUBJECT)
    assert await scene.status() == 200
    assert refusals(scene.facade, scene.row.subject) == []


async def test_a_row_moved_to_another_subject_is_refused_there_and_missing_here(
    scene: Scene,
) -> None:
    """The projection's subject decides nothing."""
    elsewhere = f"connection/{uuid4()}"
    await scene.attacker.sql(
        "UPDATE statements SET subject = $1 WHERE subject = $2", elsewhere, scene.row.subject
    )
    await until_refused(scene.facade, elsewhere, OTHER_SUBJECT)
    await scene.until_refused(GONE)
    await scene.until_restored()


async def test_a_row_over_another_subjects_is_refused(
    scene: Scene, facade: Facade, writer: StatementWriter
) -> None:
    """Swapping two connections would show the secret of one to the registry of the other."""
    async with RegistrySimulator() as other:
        approval = await connect(facade, writer, other, username=None, token=None)
        row = await scene.attacker.row(approval.subject)
    await scene.attacker.put(attrs.evolve(row, subject=scene.row.subject))
    await scene.until_refused(OTHER_SUBJECT)
    assert other.requests == []
    await scene.until_restored()


async def test_a_draft_dressed_up_as_approved_is_refused(
    facade: Facade, writer: StatementWriter, upstream: RegistrySimulator
) -> None:
    """A writer in Postgres knows the draft, and every column of what an approval looks like."""
    path = pull_path(upstream, upstream.blob(b"content"))
    attacker = DatabaseWriter(writer.owner_url)
    draft = writer.approval(
        str(upstream.host), username=USERNAME, token=CANARY_TOKEN, plain_http=True
    )
    foreign = StatementWriter(writer.owner_url)  # another key
    own_key = Row.of(foreign.sign(draft), draft)
    await attacker.put(own_key)
    await until_refused(facade, draft.subject, UNKNOWN_KEY)
    genuine = Row.of(writer.sign(draft), draft)
    await attacker.put(attrs.evolve(own_key, key_id=genuine.key_id))
    await until_refused(facade, draft.subject, NO_SIGNATURE, times=2)
    device = facade.device()
    assert (await device.get(path)).status == 404
    assert upstream.connections_made == 0
    await attacker.put(genuine)  # approved after all: what was refused leaves nothing behind
    await until_accepted(facade, draft)
    assert (await device.get(path)).status == 200


async def test_an_older_approval_put_back_after_a_rotation_is_refused(scene: Scene) -> None:
    """The old secret may be known to whoever made them rotate it: it is never used again."""
    scene.upstream.login = BasicLogin(USERNAME, "second token")
    await connect(
        scene.facade,
        scene.writer,
        scene.upstream,
        connection_id=scene.approval.connection_id,
        token="second token",
        secret_version=2,
    )
    rotated = await scene.attacker.row(scene.row.subject)
    assert await scene.status() == 200
    await scene.attacker.put(scene.row)
    await scene.until_refused(OLDER)
    await scene.attacker.put(attrs.evolve(scene.row, generation=rotated.generation + 1))
    assert await scene.status() == 404
    scene.row = rotated
    await scene.until_restored()


async def test_an_older_sealed_secret_put_into_a_newer_approval_is_refused(scene: Scene) -> None:
    """The payload carries the sealed bytes, and the signature covers the payload."""
    await connect(
        scene.facade,
        scene.writer,
        scene.upstream,
        connection_id=scene.approval.connection_id,
        secret_version=2,
    )
    rotated = await scene.attacker.row(scene.row.subject)
    payload = orjson.loads(rotated.payload)
    payload["sealed_secret"] = orjson.loads(scene.row.payload)["sealed_secret"]
    mixed = orjson.dumps(payload, option=orjson.OPT_SORT_KEYS)
    await scene.attacker.put(attrs.evolve(rotated, payload=mixed))
    await scene.until_refused(NO_SIGNATURE)
    scene.row = rotated
    await scene.until_restored()


async def test_an_approval_put_back_after_the_revocation_is_refused(scene: Scene) -> None:
    """A revocation is final."""
    revocation = scene.writer.revocation(scene.approval.connection_id)
    await write_and_wait(scene.facade, scene.writer, revocation)
    assert await scene.status() == 404
    await scene.attacker.put(scene.row)
    await scene.until_refused(OLDER)
    await scene.attacker.delete(scene.row.subject)
    await scene.attacker.put(scene.row)
    assert await scene.status() == 404


async def test_a_deleted_row_counts_as_revoked(scene: Scene) -> None:
    """Only a statement ends anything, so its absence is said and not taken for an end."""
    await scene.attacker.delete(scene.row.subject)
    await scene.until_refused(GONE)
    await scene.until_restored()


async def test_another_statement_of_the_same_generation_is_refused(scene: Scene) -> None:
    """Two control planes that sign as one would otherwise serve in turns."""
    other = attrs.evolve(scene.approval, approved_by="mallory")
    await scene.attacker.put(Row.of(scene.writer.sign(other), other))
    await scene.until_refused("another statement of a generation that was seen before")
    await scene.until_restored()


def signed(writer: StatementWriter, statement: Statement, **changed: object) -> StoredStatement:
    """Return an envelope that the genuine key signed, of a payload with other fields."""
    stored = writer.sign(statement)
    payload = orjson.dumps(orjson.loads(stored.payload) | changed, option=orjson.OPT_SORT_KEYS)
    return _signed_as(writer, stored.type, stored.key_id, payload)


def _signed_as(
    writer: StatementWriter, statement_type: str, key_id: str, payload: bytes
) -> StoredStatement:
    signature = writer.statement_key.sign(signed_bytes(statement_type, payload))
    return StoredStatement(statement_type, key_id, payload, signature)


async def test_a_genuine_signature_over_what_the_facade_does_not_know_is_refused(
    scene: Scene,
) -> None:
    """A newer control plane may sign what an older facade must not guess at."""
    approval, writer = scene.approval, scene.writer
    approval = attrs.evolve(approval, generation=writer.generation())
    stored = writer.sign(approval)
    not_an_approval = "the document is not a ConnectionApproval"
    unknown = {
        UNKNOWN_TYPE: _signed_as(writer, "connection-approval/2", stored.key_id, stored.payload),
        not_an_approval: signed(writer, approval, allowed_everything=True),
        "the document is not the one of the fingerprint": signed(
            writer, approval, fingerprint="sha256:" + "0" * 64
        ),
        "the sealed secret is not the one that the document names": signed(
            writer, approval, sealed_secret="AAAA"
        ),
        NO_SIGNATURE: attrs.evolve(stored, signature=writer.statement_key.sign(stored.payload)),
    }
    for times, (reason, envelope) in enumerate(unknown.items(), start=1):
        await scene.attacker.put(Row.of(envelope, approval))
        await scene.until_refused(reason, times=times)
        await scene.until_restored()


async def test_statements_that_are_not_for_the_facade_are_refused(scene: Scene) -> None:
    """The same key signs operators and audit entries: the type alone tells them apart."""
    now = scene.approval.approved_at
    generation = scene.writer.generation()
    operator = Operator("eve", "admin", "0" * 64, "eve", now, generation=generation)
    entry = AuditEntry(generation, "", now, "eve", "connection.approve", scene.row.subject)
    statements: tuple[Statement, ...] = (operator, entry)
    for times, statement in enumerate(statements, start=1):
        stored = scene.writer.sign(statement)
        smuggled = attrs.evolve(Row.of(stored, statement), subject=scene.row.subject)
        await scene.attacker.put(smuggled)
        await scene.until_refused(NOT_OURS, times=times)
        await scene.until_restored()
        await scene.attacker.put(Row.of(stored, statement))  # under its own name
    assert await scene.status() == 200
    assert refusals(scene.facade, operator.subject) == []


@pytest.mark.parametrize(
    "subject",
    [
        "connection/not-a-uuid",
        "connection/",
        "connection/{id}/more",
        "device/",
        "certificate/",
        'connection/"}\n{"level":"error","event":"forged"}',
        "connection/" + "x" * 4000,
    ],
)
async def test_a_row_with_an_odd_subject_is_refused_and_forges_no_log_line(
    scene: Scene, subject: str
) -> None:
    """Everything that the log shows of it is one bounded text of one line."""
    odd = attrs.evolve(scene.row, subject=subject)
    before = len(scene.facade.log_lines(event="statement refused"))
    await scene.attacker.put(odd)
    await eventually(lambda: len(scene.facade.log_lines(event="statement refused")) > before)
    (line,) = scene.facade.log_lines(event="statement refused")[before:]
    assert line["reason"] == OTHER_SUBJECT
    assert "\n" not in line["subject"]
    assert scene.facade.log_lines(event="forged") == []
    assert await scene.status() == 200


async def test_a_flood_of_notifications_disturbs_nothing(scene: Scene) -> None:
    """Every role of a database may NOTIFY."""
    await scene.attacker.sql(
        "SELECT pg_notify('registry_statements', 'connection/' || i)"
        " FROM generate_series(1, 5000) AS i"
    )
    await scene.attacker.sql("SELECT pg_notify('registry_statements', repeat('x', 7999))")
    await scene.attacker.delete(scene.row.subject)
    await scene.until_refused(GONE)
    await scene.until_restored()
    assert scene.facade.log_lines(level="error") == []


async def test_truncate_withdraws_everything_and_nothing_else_brings_it_back(
    own_database: FacadeDatabase,
    own_writer: StatementWriter,
    start_facade: StartFacade,
    upstream: RegistrySimulator,
) -> None:
    """The whole table gone is a thousand rows gone."""
    facade = start_facade(own_writer, own_database.facade_url)
    attacker = DatabaseWriter(own_database.owner_url)
    path = pull_path(upstream, upstream.blob(b"content"))
    approval = await connect(facade, own_writer, upstream)
    row = await attacker.row(approval.subject)
    device = facade.device()
    assert (await device.get(path)).status == 200
    await attacker.sql("TRUNCATE statements")
    await until_refused(facade, approval.subject, GONE)
    assert (await device.get(path)).status == 404
    await attacker.put(row)

    async def serves() -> bool:
        return (await device.get(path)).status == 200

    await eventually(serves)
