"""Makes an audit log long: appends signed entries, without an act for each."""

from datetime import UTC, datetime

import asyncpg

from control_plane.proof.signed_log import entry_hash
from control_plane.proof.signer import Signer
from shared.statement import AuditEntry, StoredStatement

ACTION = "connection.check"  # it makes no statement and no row


async def lengthen(owner_url: str, signer: Signer, count: int) -> None:
    """Append so many entries."""
    owner = await asyncpg.connect(owner_url)
    try:
        end = await owner.fetchrow(
            "SELECT sequence, type, key_id, payload, signature FROM audit_entries"
            " ORDER BY sequence DESC LIMIT 1"
        )
        assert end is not None
        sequence, stored = end[0], StoredStatement(*end[1:])
        now = datetime.now(UTC).replace(microsecond=0)
        rows = list[tuple[object, ...]]()
        for place in range(sequence + 1, sequence + count + 1):
            entry = AuditEntry(place, entry_hash(stored), now, "alice", ACTION, f"check/{place}")
            stored = signer.sign(entry)
            rows.append(
                (
                    place,
                    stored.type,
                    stored.key_id,
                    stored.payload,
                    stored.signature,
                    now,
                    entry.actor,
                    entry.action,
                    entry.about,
                    None,
                )
            )
        await owner.copy_records_to_table("audit_entries", records=rows)
    finally:
        await owner.close()
