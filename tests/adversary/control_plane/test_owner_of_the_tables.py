"""Somebody who owns the tables of the control plane, while an operator lists connections."""

import asyncpg
import pytest

from shared.outside_bytes import Party
from tests.adversary.control_plane.attacked import AttackedPlane
from tests.adversary.guards import bounds

HUGE_ROWS = 4000
# Nobody signed them; they stand behind the end of the log. What is moved are the acts after those
# that made the four operators: without them the victim would not be let in.
_ROWS = """
INSERT INTO audit_entries (sequence, type, key_id, payload, signature, at, actor, action, about)
SELECT first + number, 'audit-entry/1', 'k', convert_to(repeat(md5(number::text), 8000), 'UTF8'),
       's', now(), 'x', 'x', 'x'
FROM generate_series(1, $1) AS number, (SELECT max(sequence) AS first FROM audit_entries) AS log
"""
_FORGET = "DELETE FROM audit_entries WHERE actor = 'x'"
_MOVE = "UPDATE audit_entries SET sequence = sequence + $1 WHERE sequence > 4 AND actor <> 'x'"


@pytest.mark.attack
@bounds(
    "control_plane.proof.chain_store.FOLLOWED_ENTRIES",
    "control_plane.proof.chain_store.BATCH_BYTES",
)
async def test_a_log_that_is_written_into(attacked: AttackedPlane) -> None:
    """Rows of 250 KB behind the end of the chain, and acts in other places of it, by turns.

    Reads go on with what is known; acts are refused; and the log is taken again when it agrees.
    """
    owner = await asyncpg.connect(attacked.plane.owner_url)
    try:
        await owner.execute("SET session_replication_role = replica")
        async with attacked.watched("an audit log written into", Party.DATABASE) as attack:
            while attack.goes_on:
                await owner.execute(_ROWS, HUGE_ROWS)
                await attacked.plane.client("alice").connect("refused.example", expect=503)
                await owner.execute(_FORGET)
                await owner.execute(_MOVE, HUGE_ROWS)
                await attacked.plane.client("alice").connect("refused.example", expect=503)
                await owner.execute(_MOVE.replace("> 4", f"> {HUGE_ROWS}"), -HUGE_ROWS)
            await attacked.plane.wait_until_ready()
        await attacked.plane.client("alice").connect("taken.example")
    finally:
        await owner.close()
