"""Whoever owns the tables fills them with anything: its cost is bounded, and others are served."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import asyncpg

from facade.approvals.notifications import CHANNEL
from facade.approvals.statement_rows import BATCH_BYTES, MAX_PAYLOAD_BYTES, found_rows
from tests.support.eventually import eventually
from tests.support.facade_database import FACADE_ROLE, FacadeDatabase
from tests.support.facade_process import Facade
from tests.support.facade_states import connect, pull_path, write_and_wait
from tests.support.memory import MIB, Memory
from tests.support.simulators.registry import RegistrySimulator
from tests.support.statement_writer import StatementWriter
from tests.system.facade.conftest import StartFacade
from tests.system.facade.tampering import refusals

POLLS: Final = {"FACADE_POLL_INTERVAL": "500ms"}
MISSING: Final = "a part of it is missing, or of another type"
TOO_LONG: Final = "a part of it is longer than that of any statement"
# What the view gives in place of one column, for one subject or for all, and what is said of it.
VIEWS: Final = {
    "NULL for a type": ("NULLIF(type, type)", "type", MISSING),
    "NULL for a key": ("NULLIF(key_id, key_id)", "key_id", MISSING),
    "NULL for a payload": ("NULLIF(payload, payload)", "payload", MISSING),
    "NULL for a signature": ("NULLIF(signature, signature)", "signature", MISSING),
    "a long type": ("repeat(type, 10)", "type", TOO_LONG),
    "a long payload": ("payload || decode(repeat('00', 300000), 'hex')", "payload", TOO_LONG),
    "bytes for a type": ("convert_to(type, 'UTF8')", "type", MISSING),
    "text for a payload": ("convert_from(payload, 'UTF8')", "payload", MISSING),
    "text for a signature": ("left(encode(signature, 'hex'), 60)", "signature", MISSING),
}
COLUMNS: Final = ("subject", "type", "key_id", "payload", "signature")


@asynccontextmanager
async def view_with(writer: StatementWriter, column: str, expression: str) -> AsyncIterator[None]:
    """Have the facade's view give something else for a column."""
    await make_view(writer, *(expression if each == column else each for each in COLUMNS))
    yield
    await make_view(writer, *COLUMNS)


async def notify(writer: StatementWriter, subject: str) -> None:
    """Have the facade look at a subject."""
    await writer.sql(f"DO $$ BEGIN PERFORM pg_notify('{CHANNEL}', '{subject}'); END $$")


async def make_view(writer: StatementWriter, *expressions: str) -> None:
    """Make the view anew."""
    columns = ", ".join(
        f"{expression} AS {column}" for expression, column in zip(expressions, COLUMNS, strict=True)
    )
    await writer.sql(
        "DO $$ BEGIN DROP VIEW facade_statements;"
        f" CREATE VIEW facade_statements AS SELECT {columns} FROM statements;"
        f" GRANT SELECT ON facade_statements TO {FACADE_ROLE}; END $$"
    )


async def test_a_row_of_another_form_is_refused_and_ends_nothing(
    own_database: FacadeDatabase, own_writer: StatementWriter, start_facade: StartFacade
) -> None:
    """NULL, another type, text for bytes: each ended the process, and ended it at each start."""
    facade = start_facade(own_writer, own_database.facade_url, POLLS)
    approval = await own_writer.approve("registry.example")
    await eventually(lambda: facade.log_lines(event="statement accepted") != [])
    for times, (expression, column, reason) in enumerate(VIEWS.values(), start=1):
        async with view_with(own_writer, column, expression):
            await notify(own_writer, approval.subject)
            await eventually(
                lambda times=times: len(refusals(facade, approval.subject)) >= times  # type: ignore[misc]
            )
            assert refusals(facade, approval.subject)[-1] == reason, expression
        await notify(own_writer, approval.subject)
        await eventually(
            lambda times=times: len(facade.log_lines(event="statement accepted")) > times  # type: ignore[misc]
        )
    assert facade.child.running
    async with view_with(own_writer, "subject", "17"):
        await eventually(lambda: "cannot be read" in facade.operations("/readyz")[1])
    async with view_with(own_writer, "subject", "NULLIF(subject, subject)"):
        facade.child.kill()
        facade.restart(wait=False)  # it is not ready: its one connection has no row
        await eventually(lambda: refused_rows(facade) == 1)
    await eventually(lambda: refused_rows(facade) == 0)


async def test_rows_of_any_length_and_number_cost_a_bounded_amount_of_memory(
    own_database: FacadeDatabase,
    own_writer: StatementWriter,
    start_facade: StartFacade,
    upstream: RegistrySimulator,
) -> None:
    """Long ones were read whole, and every refused one was kept and had a line of its own."""
    facade = start_facade(own_writer, own_database.facade_url, POLLS)
    path = pull_path(upstream, upstream.blob(b"content"))
    await connect(facade, own_writer, upstream)
    await own_writer.sql("ALTER TABLE statements DISABLE TRIGGER ALL")
    before = Memory.of(facade.child.pid)
    await own_writer.sql(
        "INSERT INTO statements SELECT 'device/long-' || i, 'device-revocation/1', 'k',"
        " convert_to(repeat('x', 40000000), 'UTF8'), 's', 1 FROM generate_series(1, 4) AS i"
    )
    await own_writer.sql(
        "INSERT INTO statements SELECT 'connection/' || repeat('x', 2900) || i,"
        " 'connection-approval/1', 'k', 'p', 's', 1 FROM generate_series(1, 3000) AS i"
    )
    await eventually(lambda: refused_rows(facade) == 3004)
    compared = len(facade.log_lines(event="database read"))
    # Served meanwhile: what is approved now is read, beside all of that and before it is through.
    await own_writer.sql("ALTER TABLE statements ENABLE TRIGGER ALL")
    later = await connect(facade, own_writer, upstream, repository_prefix="later")
    assert (await facade.device().get(path)).status == 200
    memory = Memory.of(facade.child.pid)
    assert memory.peak - before.now < 96 * MIB
    lines = facade.log_lines(event="statement refused")
    assert len(lines) <= 200
    assert compared == 1
    await write_and_wait(facade, own_writer, own_writer.revocation(later.connection_id))
    await own_writer.sql("DELETE FROM statements WHERE signature = 's'")
    await eventually(lambda: refused_rows(facade) == 0)


def refused_rows(facade: Facade) -> int:
    """Return how many rows are not believed, as the metric says."""
    text = facade.operations("/metrics")[1]
    lines = [line for line in text.splitlines() if line.startswith("facade_refused_rows{")]
    return sum(int(float(line.split()[-1])) for line in lines)


async def test_rows_are_read_in_batches_of_so_many_bytes(
    own_database: FacadeDatabase, own_writer: StatementWriter
) -> None:
    """And each of them is read, the longest that a statement may be included."""
    await own_writer.sql(
        "INSERT INTO statements SELECT 'device/' || i, 'device-revocation/1', 'k',"
        f" decode(repeat('00', {MAX_PAYLOAD_BYTES}), 'hex'), 's', 1"
        " FROM generate_series(1, 40) AS i"
    )
    wanted = {f"device/{number}" for number in range(1, 43)}
    connection = await asyncpg.connect(own_database.facade_url)
    try:
        batches = [found async for found in found_rows(connection, sorted(wanted))]
    finally:
        await connection.close()
    sizes = [sum(len(row.stored.payload) for row in found.rows) for found in batches]
    assert sum(sizes) == 40 * MAX_PAYLOAD_BYTES
    assert max(sizes) <= BATCH_BYTES + MAX_PAYLOAD_BYTES
    assert len(sizes) > 1
    assert {row.subject for found in batches for row in found.rows} == {
        f"device/{number}" for number in range(1, 41)
    }
    assert set.union(*(found.absent for found in batches)) == {"device/41", "device/42"}


async def test_a_revocation_among_a_storm_of_notifications_is_heard(
    own_database: FacadeDatabase,
    own_writer: StatementWriter,
    start_facade: StartFacade,
) -> None:
    """Whoever may log in may notify, as often as he likes; names of any length are dropped."""
    facade = start_facade(own_writer, own_database.facade_url)
    await own_writer.write(own_writer.device_revocation("device-1"))
    await eventually(lambda: facade.log_lines(event="statement accepted") != [])
    before = Memory.of(facade.child.pid)
    stranger = await asyncpg.connect(own_database.facade_url)
    try:
        for batch in range(2):
            await stranger.execute(
                "SELECT pg_notify('registry_statements', 'connection/' || repeat('x', 3900)"
                f" || i) FROM generate_series({batch * 2000}, {batch * 2000 + 1999}) AS i"
            )
        await stranger.execute(
            "SELECT pg_notify('registry_statements', repeat('x', 7000) || i)"
            " FROM generate_series(1, 2000) AS i"
        )
    finally:
        await stranger.close()
    await write_and_wait(facade, own_writer, own_writer.device_revocation("device-2"))
    assert Memory.of(facade.child.pid).peak - before.now < 48 * MIB
