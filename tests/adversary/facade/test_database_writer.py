"""Somebody who writes in Postgres does the worst, while a device asks for a warm manifest."""

import asyncio
from typing import Final

import asyncpg
import pytest
from attrs import evolve

from shared.outside_bytes import Party
from shared.statement import MAX_GENERATION
from tests.adversary.bounds import Allowed
from tests.adversary.facade.attacked import AttackedFacade
from tests.adversary.guards import bounds, check
from tests.support.facade_states import write_and_wait
from tests.support.memory import MIB

pytestmark = pytest.mark.attack

LONG_ROWS: Final = 40
LONG_ROW_BYTES: Final = 90_000_000
STRANGERS: Final = 60_000
STRANGER_BYTES: Final = 3000
OTHERS: Final = "spiffe://example.com/fleet/line-a/device/other"
NOTIFICATIONS: Final = 5000  # in one transaction
STORM: Final = Allowed(growth_bytes=64 * MIB)


@bounds("shared.canonical_json.MAX_DOCUMENT_BYTES")
async def test_rows_of_90_megabytes(attacked: AttackedFacade) -> None:
    """They were read whole, all at once."""
    watched = attacked.watched("40 rows of 90 MB", Party.DATABASE, Allowed(seconds=20.0))
    async with watched as attack:
        for number in range(LONG_ROWS):
            await attacked.writer.sql(
                f"INSERT INTO statements SELECT 'device/long-{number}', 'device-revocation/1', 'k',"
                f" convert_to(repeat('x', {LONG_ROW_BYTES}), 'UTF8'), 's', 1"
            )
        await attack.to_its_end()


@bounds(
    "facade.approvals.refused_rows.MAX_STRANGERS",
    "facade.approvals.refused_rows.MAX_STRANGERS_BYTES",
)
async def test_sixty_thousand_subjects_of_3_kilobytes(attacked: AttackedFacade) -> None:
    """Each was hashed on the loop and logged by itself, kept for ever, and read again each time."""
    watched = attacked.watched("60,000 long subjects", Party.DATABASE, Allowed(seconds=30.0))
    async with watched as attack:
        await attacked.writer.sql(
            f"INSERT INTO statements SELECT 'connection/' || repeat('x', {STRANGER_BYTES}) || i,"
            " 'connection-approval/1', 'k', 'p', decode(repeat('00', 64), 'hex'), 1"
            f" FROM generate_series(1, {STRANGERS}) AS i"
        )
        await attack.to_its_end()


@check(
    "facade/approvals/statement_rows.py",
    "    elif is_due and _are_parts(parts):\n",
    "    elif fits is not False:\n",
)
async def test_a_view_that_gives_null(attacked: AttackedFacade) -> None:
    """It ended the process; the victim's own row is gone with all others, and others serve."""
    async with attacked.watched("NULL in a row", Party.DATABASE) as attack:
        await attacked.writer.sql("ALTER TABLE statements ALTER payload DROP NOT NULL")
        for number in range(1000):
            await attacked.writer.sql(
                f"INSERT INTO statements VALUES ('device/{number}', 't', 'k', NULL, 's', 1)"
            )
            if not attack.goes_on:
                break
        await attack.to_its_end()
    assert not attacked.facade.log_lines(level="error")
    await write_and_wait(
        attacked.facade, attacked.writer, attacked.writer.device_revocation(OTHERS)
    )


@check(
    "shared/generation_bound.py",
    "MAX_AHEAD_SECONDS: Final = 366 *",
    "MAX_AHEAD_SECONDS: Final = 366_000_000 *",
)
async def test_generations_that_leave_no_room(attacked: AttackedFacade) -> None:
    """Of a control plane whose clock was wrong: nothing newer could be taken, for ever."""
    made = 0
    async with attacked.watched("generations of 2^53 - 1", Party.DATABASE) as attack:
        while attack.goes_on:
            revocation = attacked.writer.device_revocation(f"{OTHERS}-{made}")
            ahead = evolve(revocation, generation=MAX_GENERATION)
            await attacked.writer.write(ahead)
            made += 1
    assert not attacked.facade.log_lines(event="statement accepted", generation=MAX_GENERATION)
    await write_and_wait(
        attacked.facade, attacked.writer, attacked.writer.device_revocation(f"{OTHERS}-1")
    )


@bounds(
    "facade.approvals.notifications.NOTIFIED_BYTES_AT_ONCE",
    "facade.approvals.notifications.NOTIFIED_BYTES_PER_SECOND",
)
async def test_a_storm_of_notifications(attacked: AttackedFacade) -> None:
    """With the facade's own login, which cannot be kept from notifying."""
    stranger = await asyncpg.connect(attacked.database.facade_url)
    try:
        async with attacked.watched("NOTIFY without end", Party.DATABASE, STORM) as attack:
            number = 0
            while attack.goes_on:
                await stranger.execute(
                    "SELECT pg_notify('registry_statements', 'connection/' || repeat('x', 3900)"
                    f" || i) FROM generate_series({number}, {number + NOTIFICATIONS}) AS i"
                )
                number += NOTIFICATIONS
                await asyncio.sleep(0)
    finally:
        await stranger.close()
