"""The SQL of webhooks: positions, and which process sends. Nothing is believed."""

from typing import Final
from uuid import UUID

from attrs import frozen

from control_plane.database.database import Database
from control_plane.proof.envelope_columns import envelope_columns, envelope_of_form
from control_plane.webhooks.sender_lease import LeaseClaim
from shared.statement import StoredStatement

_POSITION: Final = f"SELECT {envelope_columns()} FROM public.webhook_positions WHERE target = $1"  # noqa: S608 - constants
_PUT: Final = """
INSERT INTO public.webhook_positions (target, type, key_id, payload, signature)
VALUES ($1, $2, $3, $4, $5) ON CONFLICT (target) DO UPDATE
    SET type = excluded.type, key_id = excluded.key_id, payload = excluded.payload,
        signature = excluded.signature
"""
_BEAT: Final = "SELECT beat, released FROM public.webhook_sender"
_CLAIM: Final = """
INSERT INTO public.webhook_sender (beat, released) VALUES ($1, false)
ON CONFLICT (the_only) DO UPDATE SET beat = excluded.beat, released = false
    WHERE webhook_sender.beat = $2
RETURNING true
"""
_RELEASE: Final = "UPDATE public.webhook_sender SET released = true WHERE beat = $1"


@frozen
class FoundBeat:
    """The row of whoever sends."""

    beat: UUID | None
    is_released: bool = False


async def fetch_position(database: Database, target: str) -> StoredStatement | None:
    """Return a target's stored position."""
    async with database.connection(tells=False) as connection:
        return envelope_of_form(await connection.fetchrow(_POSITION, target))


async def put_position(database: Database, target: str, stored: StoredStatement) -> None:
    """Write a target's position in place of the one before."""
    async with database.connection(tells=False) as connection:
        await connection.execute(
            _PUT, target, stored.type, stored.key_id, stored.payload, stored.signature
        )


async def fetch_beat(database: Database) -> FoundBeat:
    """Return the present beat."""
    async with database.connection(tells=False) as connection:
        row = await connection.fetchrow(_BEAT)
    if row is None or not isinstance(row["beat"], UUID):
        return FoundBeat(None)
    return FoundBeat(row["beat"], row["released"] is True)


async def write_claim(database: Database, claim: LeaseClaim) -> bool:
    """Write a new beat over the one that was seen; tell whether that one was still there."""
    async with database.connection(tells=False) as connection:
        return await connection.fetchval(_CLAIM, claim.beat, claim.over) is True


async def release(database: Database, beat: UUID) -> None:
    """Have another process send at once."""
    async with database.connection(tells=False) as connection:
        await connection.execute(_RELEASE, beat)
