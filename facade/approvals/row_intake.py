"""Takes rows of the database in: each is verified, has its effect, is written down, and is logged.

The order matters. What the log says is on disk, whenever the process is killed, unless the state
folder has a problem, which is said.
"""

import time
from collections.abc import Callable, Mapping
from typing import assert_never

from attrs import frozen
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from facade.approvals.refusal_lines import RefusalLines
from facade.approvals.remembering import Remembering
from facade.approvals.row_change import Change, RowOutcome
from facade.approvals.snapshot import Snapshot
from facade.approvals.statement_rows import FoundRows
from facade.approvals.verified_row import RefusedRow, StatementRow, VerifiedRow, verify_row
from facade.loop.thread_work import in_access_thread
from shared.generation_bound import highest_generation_at
from shared.structured_log import get_logger

OnChange = Callable[[Change], None]
_log = get_logger("facade.statement_feed")


@frozen
class RowIntake:
    """From the database into the snapshot and the state file."""

    _public_keys: Mapping[str, Ed25519PublicKey]
    _snapshot: Snapshot
    _remembering: Remembering
    _refusal_lines: RefusalLines
    _on_change: OnChange
    _effect_failed: Callable[[Exception], None]

    async def take_in(self, found: FoundRows) -> None:
        """Take in what there is of some subjects, and withdraw those that are gone."""
        candidates = [*await self._verify(found.rows), *found.refused]
        changes = list[Change]()
        try:
            changes.extend(self._snapshot.apply(candidate) for candidate in candidates)
            changes.extend(self._snapshot.vanish(subject) for subject in found.absent)
        finally:  # what was applied takes effect, even if the rest failed
            await self._keep(changes)

    async def _verify(self, rows: list[StatementRow]) -> list[VerifiedRow | RefusedRow]:
        highest = highest_generation_at(time.time_ns() // 1_000_000)
        return await in_access_thread(
            lambda: [verify_row(row, self._public_keys, highest) for row in rows]
        )

    async def _keep(self, changes: list[Change]) -> None:
        """Let changes take effect, write them to the state file, and log them, in this order."""
        changed = [change for change in changes if change.outcome is not RowOutcome.UNCHANGED]
        for change in changed:
            self._have_effect(change)
        if changed:
            await self._remembering.keep([change.subject for change in changed], None)
        for change in changed:
            if change.outcome is RowOutcome.ACCEPTED or self._refusal_lines.may_tell():
                _log_change(change)

    def _have_effect(self, change: Change) -> None:
        """Let a change take effect. If that fails, the others still have theirs."""
        try:
            self._on_change(change)
        except Exception as error:  # noqa: BLE001 - one connection that does not close must not keep the next revocation from cutting
            self._effect_failed(error)


def _log_change(change: Change) -> None:
    details = {"subject": change.subject, "generation": change.generation}
    match change.outcome:
        case RowOutcome.ACCEPTED:
            _log.info("statement accepted", statement_type=change.statement_type, **details)
        case RowOutcome.REFUSED:
            _log.warning("statement refused", reason=change.reason, **details)
        case RowOutcome.VANISHED:
            _log.warning("statement vanished, counted as revoked", reason=change.reason, **details)
        case RowOutcome.UNCHANGED:
            pass
        case _ as unreachable:
            assert_never(unreachable)
