"""Somebody who writes in Postgres does the worst, while a device asks for a warm manifest."""

import asyncio
from typing import Final

import asyncpg
import pytest
from attrs import evolve

from shared.outside_bytes import Party
from shared.statement import MAX_GENERATION
from tests.adversary.watch import Target, Watch
from tests.support.facade_database import FacadeDatabase
from tests.support.facade_process import Facade
from tests.support.facade_states import write_and_wait
from tests.support.statement_writer import StatementWriter

pytestmark = pytest.mark.attack

LONG_ROWS: Final = 40
LONG_ROW_BYTES: Final = 90_000_000
STRANGERS: Final = 60_000
STRANGER_BYTES: Final = 3000
OTHERS: Final = "spiffe://example.com/fleet/line-a/device/other"
NOTIFICATIONS: Final = 5000  # in one transaction
STORM_GROWTH_BYTES: Final = 64 * 1024 * 1024


async def test_rows_of_90_megabytes(
    watch: Watch, target: Target, own_writer: StatementWriter
) -> None:
    """They were read whole, all at once."""
    async with watch("V10", "40 rows of 90 MB", Party.DATABASE, target, seconds=20) as attack:
        for number in range(LONG_ROWS):
            await own_writer.sql(
                f"INSERT INTO statements SELECT 'device/long-{number}', 'device-revocation/1', 'k',"
                f" convert_to(repeat('x', {LONG_ROW_BYTES}), 'UTF8'), 's', 1"
            )
        await attack.to_its_end()


async def test_sixty_thousand_subjects_of_3_kilobytes(
    watch: Watch, target: Target, own_writer: StatementWriter
) -> None:
    """Each was hashed on the loop and logged by itself, kept for ever, and read again each time."""
    async with watch("V10", "60,000 long subjects", Party.DATABASE, target, seconds=30) as attack:
        await own_writer.sql(
            f"INSERT INTO statements SELECT 'connection/' || repeat('x', {STRANGER_BYTES}) || i,"
            " 'connection-approval/1', 'k', 'p', decode(repeat('00', 64), 'hex'), 1"
            f" FROM generate_series(1, {STRANGERS}) AS i"
        )
        await attack.to_its_end()


async def test_a_view_that_gives_null(
    watch: Watch, target: Target, facade: Facade, own_writer: StatementWriter
) -> None:
    """It ended the process; the victim's own row is gone with all others, and others serve."""
    assert facade.is_alive()
    async with watch("V8", "NULL in a row", Party.DATABASE, target) as attack:
        await own_writer.sql("ALTER TABLE statements ALTER payload DROP NOT NULL")
        for number in range(1000):
            await own_writer.sql(
                f"INSERT INTO statements VALUES ('device/{number}', 't', 'k', NULL, 's', 1)"
            )
            if not attack.goes_on:
                break
        await attack.to_its_end()


async def test_generations_that_leave_no_room(
    watch: Watch, target: Target, facade: Facade, own_writer: StatementWriter
) -> None:
    """Of a control plane whose clock was wrong: nothing newer could be taken, for ever."""
    made = 0
    async with watch("W9", "generations of 2^53 - 1", Party.DATABASE, target) as attack:
        while attack.goes_on:
            revocation = own_writer.device_revocation(f"{OTHERS}-{made}")
            ahead = evolve(revocation, generation=MAX_GENERATION)
            await own_writer.write(ahead)
            made += 1
    assert not facade.log_lines(event="statement accepted", generation=MAX_GENERATION)
    await write_and_wait(facade, own_writer, own_writer.device_revocation(f"{OTHERS}-1"))


async def test_a_storm_of_notifications(
    watch: Watch, target: Target, own_database: FacadeDatabase
) -> None:
    """With the facade's own login, which cannot be kept from notifying."""
    stranger = await asyncpg.connect(own_database.facade_url)
    try:
        async with watch(
            "W16",
            "NOTIFY without end",
            Party.DATABASE,
            target,
            max_growth_bytes=STORM_GROWTH_BYTES,
        ) as attack:
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
