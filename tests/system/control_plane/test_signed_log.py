"""What somebody gets who owns the tables: nothing but that a thing is believed no longer.

Each control plane here starts on the database as it is, and remembers nothing.
"""

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta

import asyncpg
import attrs
import pytest
import uvloop

from control_plane.audit.accepted_restore import accept_restore
from control_plane.audit.log_reading import verify_log
from control_plane.clock import now
from control_plane.database.database import Database as OpenDatabase
from control_plane.database.migrate import migrate
from control_plane.errors import (
    AuditDamagedError,
    ClockError,
    ConflictError,
    NotAuthenticatedError,
    SchemaOutdatedError,
)
from control_plane.operators.authenticator import Authenticator
from control_plane.operators.operator_token import OperatorName
from control_plane.operators.operators import Operators
from control_plane.operators.permissions import Role
from control_plane.proof.audit_chain import AuditChain, SeenChain
from control_plane.proof.belief import TOO_FAR_AHEAD, believe
from control_plane.proof.history import History
from control_plane.serving.health import why_not_ready
from deploy.dev.postgres import Postgres
from shared.postgres.database_url import read_database_url
from tests.support.control_plane import LOGIN_PASSWORD, LOGIN_ROLE
from tests.support.database import Database
from tests.support.signed_installation import TABLES, Believed, SignedInstallation

ENTRIES = "audit_entries"
STATEMENTS = ("operator/rotated", "device/revoked", "certificate/ab12/")
NO_ACT_MAKES_THEM = {"alembic_version", "audit_lock", "schema_compatibility"}
ONE_VALUE_ALONE = {
    ("audit_checkpoint", "the_only"),
    ("audit_exports", "the_only"),
    ("webhook_sender", "the_only"),
}
# An export is noted for metrics: nothing is decided by it.
OF_EXPORTS = {("audit_exports", "sequence"), ("audit_exports", "exported_at")}
# Who called and when; sessions are in cookies, under seal, and logouts only end what the provider
# signed. `console/test_sessions.py` writes into the tables of sessions.
OF_CALLERS = {
    *(("provider_logouts", each) for each in ("ended", "logged_out_at")),
    *(("operator_uses", each) for each in ("name", "used_at")),
    *(("session_uses", each) for each in ("session_id", "subject", "began_at", "ends_at")),
    ("session_uses", "last_used_at"),
    *(("session_endings", each) for each in ("what", "ended_at")),
}
# No act makes them. What a change of them costs: `test_webhooks.py`.
OF_WEBHOOKS = {
    *(("webhook_positions", each) for each in ("target", "type", "key_id", "payload", "signature")),
    *(("webhook_sender", each) for each in ("beat", "released")),
}
NOTHING_SIGNED = {
    ("statements", "stored_at"),
    *ONE_VALUE_ALONE,
    *OF_EXPORTS,
    *OF_CALLERS,
    *OF_WEBHOOKS,
}
CHANGES = {
    "text": ("{column} || 'x'", "(SELECT {column} FROM {table} ORDER BY ctid DESC LIMIT 1)"),
    "bytea": (
        "set_byte({column}, 0, get_byte({column}, 0) # 1)",
        "(SELECT {column} FROM {table} ORDER BY ctid DESC LIMIT 1)",
    ),
    "bigint": ("{column} + 1000000", f"{2**53 - 1}", "NULL"),
    "integer": ("{column} + 7", "NULL"),
    "timestamp with time zone": ("{column} - interval '1 day'", "NULL", "now()"),
    "uuid": ("gen_random_uuid()",),
    "boolean": ("NOT {column}",),
}

# What takes an entry out of sight of a query by columns: another value, none, one of long ago.
HIDING = {
    "text": ("'x'", "'operator/kept'"),
    "bytea": ("'x'",),
    "bigint": ("1000000", "NULL"),
    "timestamp with time zone": ("'2000-01-01'",),
}


async def _made(url: str, owner_url: str) -> SignedInstallation:
    owner = await asyncpg.connect(owner_url)
    try:
        await owner.execute("SET session_replication_role = replica")
        async with OpenDatabase.open(read_database_url(url)) as opened:
            made = SignedInstallation(opened, owner)
            await made.act()
            await made.keep("now")
    finally:
        await owner.close()
    return made


@pytest.fixture(scope="module")
def made_once(postgres: Postgres, template: str) -> Iterator[tuple[Database, SignedInstallation]]:
    """A database with acts of every kind, which others are copied from, and its keys."""
    database = Database(postgres, "signed_installation")
    postgres.sql(f'CREATE DATABASE "{database.name}" TEMPLATE "{template}"')
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        url = database.url(LOGIN_ROLE, LOGIN_PASSWORD)
        made = runner.run(_made(url, database.superuser_url))
    yield database, made
    postgres.sql(f'DROP DATABASE "{database.name}" WITH (FORCE)')


@pytest.fixture
def database(
    postgres: Postgres, made_once: tuple[Database, SignedInstallation]
) -> Iterator[Database]:
    """A copy of the test's own."""
    copy = Database(postgres, f"signed_{uuid.uuid4().hex}")
    postgres.sql(f'CREATE DATABASE "{copy.name}" TEMPLATE "{made_once[0].name}"')
    yield copy
    postgres.sql(f'DROP DATABASE "{copy.name}" WITH (FORCE)')


@pytest.fixture
async def installation(
    database: Database, made_once: tuple[Database, SignedInstallation]
) -> AsyncIterator[SignedInstallation]:
    """An installation with acts of every kind. No trigger and no foreign key stops the owner."""
    owner = await asyncpg.connect(database.superuser_url)
    try:
        await owner.execute("SET session_replication_role = replica")
        url = read_database_url(database.url(LOGIN_ROLE, LOGIN_PASSWORD))
        async with OpenDatabase.open(url) as opened:
            yield attrs.evolve(made_once[1], database=opened, owner=owner)
    finally:
        await owner.close()


async def faults(installation: SignedInstallation) -> list[str]:
    """Return what `audit verify` finds."""
    return (await verify_log(installation.database, installation.signer)).all_faults


async def columns(installation: SignedInstallation) -> list[tuple[str, str, str]]:
    """Return every column of every table: table, name, type."""
    rows = await installation.owner.fetch(
        "SELECT table_name, column_name, data_type FROM information_schema.columns"
        " JOIN information_schema.tables USING (table_schema, table_name)"
        " WHERE table_schema = 'public' AND table_type = 'BASE TABLE'"
        " AND NOT starts_with(table_name, 'kept_') ORDER BY 1, ordinal_position"
    )
    return [tuple(row) for row in rows if row[0] not in NO_ACT_MAKES_THEM]


async def changed(installation: SignedInstallation, table: str, to: str, column: str) -> bool:
    """Change a column of every row; tell whether that could be, and was a change."""
    value = to.format(column=column, table=table)
    try:
        done = await installation.owner.execute(
            f"UPDATE {table} SET {column} = {value} WHERE {column} IS DISTINCT FROM {value}"
        )
    except asyncpg.IntegrityConstraintViolationError:
        return False
    return done != "UPDATE 0"


async def believed_at_most(installation: SignedInstallation) -> Believed | None:
    """Return what is believed; nothing where the whole log is refused."""
    try:
        return await installation.believed()
    except AuditDamagedError:
        return None


async def is_refused(chain: AuditChain) -> bool:
    """Tell whether a control plane that runs refuses the log as it is now."""
    await chain.look_after()
    return chain.problem is not None


def gains(before: Believed, after: Believed | None) -> Iterator[str]:
    """Yield what is believed that was not believed before."""
    for what, found in (after or {}).items():
        was = before.get(what)
        if what.startswith("view "):
            (status, *document, draft), known = found, was or ()
            if status != "pending" and (status, *document) != known[:2]:
                yield what
            if draft is not None and draft not in known[2:]:
                yield what
        elif found not in (None, was):
            yield what


async def test_the_log_of_every_act_verifies(installation: SignedInstallation) -> None:
    """Before anybody changes it, and it says what was done."""
    assert await faults(installation) == []
    believed = await installation.believed()
    assert {each: believed[f"token of {each}"] for each in installation.tokens} == {
        "kept": "admin",
        "removed": None,
        "rotated before": None,
        "newest before": None,
        "rotated": "admin",
    }
    assert {
        name: believed[f"view {installation.names[name]}"][0]
        for name in ("approved", "revoked", "drafted", "discarded", "edited")
    } == {
        "approved": "approved",
        "revoked": "revoked",
        "drafted": "pending",
        "discarded": "revoked",
        "edited": "approved",
    }
    assert believed["list again/None"] == believed["list None/ab12"] == "bob"
    assert "list lifted/None" not in believed


async def test_no_column_of_any_table_is_believed(installation: SignedInstallation) -> None:
    """Changed one by one: nothing more is believed than before, and `audit verify` says which."""
    before, tried = await installation.believed(), set[tuple[str, str]]()
    for table, column, kind in await columns(installation):
        for to in CHANGES[kind]:
            if not await changed(installation, table, to, column):
                continue
            after = await believed_at_most(installation)
            assert [*gains(before, after)] == [], (table, column, to)
            if (table, column) not in tried | NOTHING_SIGNED:
                assert await faults(installation), (table, column, to)
            tried.add((table, column))
            await installation.restore("now", table)
    every = {(table, column) for table, column, _ in await columns(installation)}
    assert every - tried == ONE_VALUE_ALONE
    assert {table for table, _ in every} == set(TABLES)
    assert await faults(installation) == []


PUT_BACK = (
    ("early", "operator/removed"),
    ("late", "operator/newest"),
    ("late", "operator/rotated"),
    ("approved", "connection/revoked"),
    ("lifted", "device/again"),
)


async def test_an_older_statement_put_back_is_not_believed_whatever_hides_what_came_later(
    installation: SignedInstallation,
) -> None:
    """A removed operator, a replaced token, a revoked connection, a lifted device: not again.

    The newest entry about each is changed in each of its columns, or deleted.
    """
    before, owner = await installation.believed(), installation.owner
    kinds = [(name, kind) for table, name, kind in await columns(installation) if table == ENTRIES]
    hidings = [
        f"UPDATE {ENTRIES} SET {column} = {to}"
        for column, kind in kinds
        for to in HIDING[kind]
        if (column, to) != ("sequence", "NULL")
    ]
    for kept, subject in PUT_BACK:
        kind, _, name = subject.partition("/")
        about = f"{kind}/{installation.names.get(name, name)}"
        for hiding in (*hidings, f"DELETE FROM {ENTRIES}"):
            await owner.execute(
                f"DELETE FROM statements WHERE subject = '{about}';"
                f"INSERT INTO statements SELECT * FROM kept_{kept}_statements"
                f" WHERE subject = '{about}';"
                "UPDATE connections SET revoked_at = NULL;"
                f"{hiding} WHERE sequence = (SELECT max(sequence) FROM {ENTRIES}"
                f" WHERE about = '{about}' AND about_generation IS NOT NULL)"
            )
            after = await believed_at_most(installation)
            assert [*gains(before, after)] == [], (about, hiding)
            await installation.restore("now", ENTRIES, "statements", "connections")


ENDS = {
    "deleted in the middle": "DELETE FROM {e} WHERE sequence = {n} - 1",
    "deleted at its beginning": "DELETE FROM {e} WHERE sequence = 1",
    "re-ordered": "UPDATE {e} SET sequence = CASE sequence WHEN {n} THEN {n} - 1 WHEN {n} - 1"
    " THEN {n} ELSE sequence END",
    "duplicated": "INSERT INTO {e} SELECT {n} + 1, type, key_id, payload, signature, at, actor,"
    " action, about, about_generation FROM {e} WHERE sequence = {n}",
    "duplicated below": "INSERT INTO {e} SELECT 0, type, key_id, payload, signature, at, actor,"
    " action, about, about_generation FROM {e} WHERE sequence = 1",
    "replaced": "DELETE FROM {e} WHERE sequence = {n} - 1; INSERT INTO {e} SELECT {n} - 1, type,"
    " key_id, payload, signature, at, actor, action, about, about_generation FROM {e}"
    " WHERE sequence = {n}",
}


async def test_a_chain_that_is_not_whole_is_refused(installation: SignedInstallation) -> None:
    """Behind the checkpoint, at each start; before it, by `audit verify`."""
    owner = installation.owner
    end = await owner.fetchval(f"SELECT max(sequence) FROM {ENTRIES}")
    await owner.execute(
        f"ALTER TABLE {ENTRIES} DROP CONSTRAINT audit_entries_pkey CASCADE;"
        f"ALTER TABLE {ENTRIES} DROP CONSTRAINT audit_entries_sequence_check"
    )
    before = await installation.believed()
    for what, change in ENDS.items():
        await owner.execute(change.format(e=ENTRIES, n=end))
        assert await faults(installation), what
        if "beginning" not in what and "below" not in what:
            with pytest.raises(AuditDamagedError):
                await installation.believed()
        assert [*gains(before, await believed_at_most(installation))] == [], what
        await owner.execute("DELETE FROM audit_checkpoint")
        with pytest.raises(AuditDamagedError):
            await installation.believed()
        await installation.restore("now", ENTRIES, "audit_checkpoint")
    assert await installation.believed() == before


async def test_an_end_that_was_cut_off_shows_to_who_has_seen_it(
    installation: SignedInstallation,
) -> None:
    """And to nobody else: nothing in the database tells that from a log that ended there."""
    chain = installation.chain()
    end, before = (await chain.load()).end, await installation.believed()
    await installation.restore("late", ENTRIES, "statements")
    assert (await installation.believed())["token of newest before"] == "admin"
    for seen in (SeenChain(end), SeenChain(attrs.evolve(end, hash=""))):
        with pytest.raises(AuditDamagedError, match="entries have vanished"):
            await installation.believed(seen)
    # A process that runs goes on with what it knows, and says so; no act follows.
    async with chain.reading() as proofs:
        assert proofs.log.end == end
    assert await is_refused(chain)
    with pytest.raises(AuditDamagedError):
        await Operators(chain).remove(OperatorName.parse("kept"), actor="root")
    # Others may write on: the log is longer then, and it still is not the one that was seen.
    for name in ("another", "one-more", "a-third"):
        await Operators(installation.chain()).add(
            OperatorName.parse(name), Role.VIEWER, lifetime=None, actor="root"
        )
    with pytest.raises(AuditDamagedError, match="entries have vanished"):
        await installation.believed(SeenChain(end))
    assert await is_refused(chain)
    await installation.restore("now")
    assert not await is_refused(chain)
    assert await installation.believed(SeenChain(end)) == before


async def test_an_accepted_restore_is_gone_on_with_once(installation: SignedInstallation) -> None:
    """By each process that has seen more, running or not; a cut afterwards is one again."""
    running = installation.chain()
    seen = SeenChain((await running.load()).end)
    await installation.restore("late")
    restored = (await installation.chain().load()).end
    for wrong in (seen.end.hash, "", "empty"):
        with pytest.raises(ConflictError, match=restored.hash):
            await accept_restore(installation.chain(), wrong, actor="shell:root")
    accepted = await accept_restore(installation.chain(), restored.hash, actor="shell:root")
    assert accepted.sequence == restored.sequence + 1
    assert await faults(installation) == []
    later = installation.chain(seen)
    assert (await later.load()).end == accepted
    await running.look_after()
    assert running.log is not None
    assert (running.problem, running.log.end) == (None, accepted)
    # What went back is known by the generations that were seen, and signed again above them.
    history = History(running)
    history.look()
    assert history.is_older("operator/rotated")
    await Operators(running).rotate(OperatorName.parse("rotated"), lifetime=None, actor="root")
    assert not history.is_older("operator/rotated")
    assert running.log.generation("operator/rotated") > 0
    knows = SeenChain(running.log.end, running.log.restores)
    await installation.owner.execute(
        f"DELETE FROM {ENTRIES} WHERE sequence = {running.log.end.sequence}"
    )
    with pytest.raises(AuditDamagedError, match="entries have vanished"):
        await installation.believed(knows)


async def test_several_control_planes_follow_one_another(installation: SignedInstallation) -> None:
    """Each act of one is the other's next read, and its next act goes behind it."""
    one, other = installation.chain(), installation.chain()
    await one.load()
    await other.load()
    for turn in range(3):
        name = OperatorName.parse(f"turn-{turn}")
        token = await Operators(one).add(name, Role.VIEWER, lifetime=None, actor="root")
        assert (await Authenticator(other).authenticate(token)).role is Role.VIEWER
        await Operators(other).remove(name, actor="root")
        with pytest.raises(NotAuthenticatedError):
            await Authenticator(one).authenticate(token)
        one, other = other, one
    names = [OperatorName.parse(f"at-once-{number}") for number in range(6)]
    await asyncio.gather(
        *(
            Operators((one, other)[number % 2]).add(name, Role.VIEWER, lifetime=None, actor="root")
            for number, name in enumerate(names)
        )
    )
    assert await faults(installation) == []
    assert (one.problem, other.problem) == (None, None)


async def test_a_database_of_the_version_before_is_read_whole_once(
    installation: SignedInstallation, database: Database
) -> None:
    """It has no checkpoint; until it is migrated, that is said."""
    before = await installation.believed()
    await installation.owner.execute(
        "DROP TABLE audit_checkpoint; UPDATE alembic_version SET version_num = '0003'"
    )
    with pytest.raises(SchemaOutdatedError):
        await installation.believed()
    assert await why_not_ready(installation.chain()) is not None
    await migrate(read_database_url(database.superuser_url))
    assert await installation.believed() == before
    assert await why_not_ready(installation.chain()) is None
    chain = installation.chain()
    chain.checkpoint_entries = 1
    await chain.look_after()
    assert await installation.owner.fetchval("SELECT count(*) FROM audit_checkpoint") == 1
    assert await faults(installation) == []


async def test_a_checkpoint_that_is_not_believed_or_gone_is_walked_without(
    installation: SignedInstallation,
) -> None:
    """It makes a start quicker, and proves nothing that the chain does not."""
    before = await installation.believed()
    for change in (
        "DELETE FROM audit_checkpoint",
        "UPDATE audit_checkpoint SET heads = heads || ' '",
        "UPDATE audit_checkpoint SET signature = ''",
        "ALTER TABLE audit_checkpoint ALTER heads TYPE text USING ''",
    ):
        await installation.owner.execute(change)
        assert await installation.believed() == before, change
        if "ALTER" not in change:
            await installation.restore("now", "audit_checkpoint")


async def test_a_start_walks_from_the_checkpoint_and_one_is_written_when_it_is_due(
    installation: SignedInstallation,
) -> None:
    """So many entries behind the last one, and not before."""
    chain = installation.chain()
    chain.checkpoint_entries = 100
    await chain.look_after()
    first = await installation.owner.fetchval("SELECT payload FROM audit_checkpoint")
    assert chain.log is not None
    await installation.owner.execute("DELETE FROM audit_entries WHERE sequence = 1")
    assert (await installation.chain().load()).end == chain.log.end  # it was not walked
    chain.checkpoint_entries = 1
    await chain.look_after()
    second = await installation.owner.fetchval("SELECT payload FROM audit_checkpoint")
    assert first != second
    assert await installation.chain().load() == chain.log
    await chain.look_after()
    assert second == await installation.owner.fetchval("SELECT payload FROM audit_checkpoint")


@pytest.mark.parametrize("column", ["type", "key_id", "payload", "signature"])
async def test_a_row_of_another_form_is_refused_in_words(
    installation: SignedInstallation, column: str
) -> None:
    """NULL, a value of another type, or one of a megabyte: no exception that nobody foresaw."""
    await installation.owner.execute(f"ALTER TABLE {ENTRIES} ALTER {column} DROP NOT NULL")
    huge = "repeat('x', 1000000)"
    if column in {"payload", "signature"}:
        huge += "::bytea"
    for value in ("NULL", huge):
        await installation.owner.execute(
            f"UPDATE {ENTRIES} SET {column} = {value}"
            f" WHERE sequence = (SELECT max(sequence) FROM {ENTRIES})"
        )
        with pytest.raises(AuditDamagedError, match="not the form"):
            await installation.believed()
    await installation.owner.execute(f"ALTER TABLE {ENTRIES} ALTER {column} TYPE bigint USING 7")
    with pytest.raises(SchemaOutdatedError, match="other types"):
        await installation.believed()


async def test_a_statement_of_another_form_is_none(installation: SignedInstallation) -> None:
    """It proves nothing, and nothing else is hurt by it."""
    before, owner = await installation.believed(), installation.owner
    for column in ("type", "key_id", "payload", "signature"):
        await owner.execute(f"ALTER TABLE statements ALTER {column} DROP NOT NULL")
        huge = "repeat('x', 1000000)" + ("::bytea" if column in {"payload", "signature"} else "")
        for value in ("NULL", huge):
            await owner.execute(
                f"UPDATE statements SET {column} = {value} WHERE subject <> 'operator/kept'"
            )
            after = await installation.believed()
            assert after["token of kept"] == "admin"
            assert [*gains(before, after)] == [], (column, value)
            assert not any(after[subject] for subject in STATEMENTS)
            await installation.restore("now", "statements")
    await owner.execute("ALTER TABLE connection_revisions ALTER document DROP NOT NULL")
    for value in ("NULL", "repeat('x', 1000000)::bytea"):
        await owner.execute(f"UPDATE connection_revisions SET document = {value}")
        assert [*gains(before, await installation.believed())] == [], value
    await owner.execute(
        "DROP VIEW facade_statements; ALTER TABLE statements ALTER payload TYPE bigint USING 7"
    )
    with pytest.raises(SchemaOutdatedError, match="other types"):
        await installation.believed()


async def test_a_generation_far_ahead_is_believed_no_more_than_it_is_made(
    installation: SignedInstallation,
) -> None:
    """By a clock of today; signed while the clock was years ahead. The next act mends it."""
    future = installation.chain(clock=lambda: now() + timedelta(days=800))
    await Operators(future).rotate(OperatorName.parse("kept"), lifetime=None, actor="root")
    chain = installation.chain()
    async with chain.reading() as proofs:
        belief = believe(await proofs.evidence("operator/kept"), installation.signer)
    assert (belief.statement, belief.problem) == (None, TOO_FAR_AHEAD)
    assert chain.highest.ever("operator/kept") < chain.highest_generation()
    token = await Operators(chain).add(
        OperatorName.parse("kept"), Role.VIEWER, lifetime=None, actor="root"
    )
    signed_in = await Authenticator(installation.chain()).authenticate(token)
    assert signed_in.role is Role.VIEWER
    assert await faults(installation) == []


async def test_no_generation_is_made_that_is_far_ahead(installation: SignedInstallation) -> None:
    """As when what was seen is as high as can be; the act is refused, and says why."""
    chain = installation.chain()
    await chain.load()
    chain.highest.remember("operator/kept", chain.highest_generation() + 1000)
    with pytest.raises(ClockError, match="set the clock right"):
        await Operators(chain).rotate(OperatorName.parse("kept"), lifetime=None, actor="root")
    assert await faults(installation) == []
