"""Takes in what the state folder remembers: most of it is verified after the start.

A start reads each row and what it claims, and verifies what cannot wait (`claims`). A device that
asks for a connection has it verified first. The rest is verified in the background.
"""

import asyncio
import gc
import time
from collections.abc import Callable, Mapping
from contextlib import aclosing
from typing import Final

from attrs import frozen
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from facade.approvals.claims import claim_of
from facade.approvals.refusal_lines import RefusalLines
from facade.approvals.remembering import Remembering
from facade.approvals.snapshot import Snapshot
from facade.approvals.state_file import StateRow
from facade.approvals.statement_rows import BATCH_ROWS
from facade.approvals.unverified_rows import UnverifiedRow
from facade.approvals.verified_row import RefusedRow, StatementRow, VerifiedRow, verify_row
from facade.loop.thread_work import in_access_thread
from facade.loop.worked_ahead import worked_ahead
from shared.generation_bound import highest_generation_at
from shared.structured_log import get_logger

# libsodium lets go of the interpreter: one batch is verified while others are read and taken in.
RESTORED_AT_ONCE: Final = 3

_Candidate = UnverifiedRow | VerifiedRow | RefusedRow
_log = get_logger("facade.restoring")


@frozen
class Restoring:
    """From the state folder into the snapshot."""

    _remembering: Remembering
    _snapshot: Snapshot
    _public_keys: Mapping[str, Ed25519PublicKey]
    _refusal_lines: RefusalLines

    async def restore(self) -> None:
        """Take in all of it, and verify what cannot wait. Raises `StateFileError`."""
        highest = _highest_generation()
        looked_into = worked_ahead(self._remembering.batches(), self._look_into, RESTORED_AT_ONCE)
        async with aclosing(looked_into) as batches:
            async for batch in batches:
                for remembered, candidate in batch:
                    self._take_in(remembered, candidate, highest)
                gc.freeze()

    async def verify_rest(self, look_at: Callable[[str], None]) -> None:
        """Verify what is left, and have the database looked at for what does not verify.

        It takes half of a core's time at most, because devices are served meanwhile.
        """
        count = self._snapshot.unverified
        while rows := self._snapshot.some_unverified(BATCH_ROWS):
            began = time.monotonic()
            for candidate in await in_access_thread(_verified, rows):
                self._snapshot.settle(candidate)
            self._tell_refusals(look_at)
            await asyncio.sleep(time.monotonic() - began)
        self._tell_refusals(look_at)  # of what was verified for a device
        if count:
            _log.info("remembered statements verified", count=count)

    def _take_in(self, remembered: StateRow, candidate: _Candidate, highest: int) -> None:
        # An older version may have kept a generation far ahead, which would keep out every newer
        # one.
        generation = remembered.generation if remembered.generation <= highest else 0
        withdrawn = remembered.withdrawn
        if isinstance(candidate, UnverifiedRow):
            self._snapshot.restore_unverified(candidate, generation, withdrawn=withdrawn)
        else:
            self._snapshot.restore(candidate, generation, withdrawn=withdrawn)
        if isinstance(candidate, RefusedRow):
            self._log_refused(candidate)

    def _tell_refusals(self, look_at: Callable[[str], None]) -> None:
        for refused in self._snapshot.take_late_refusals():
            self._log_refused(refused)
            look_at(refused.row.subject)

    def _log_refused(self, refused: RefusedRow) -> None:
        if self._refusal_lines.may_tell():
            _log.warning(
                "remembered statement refused", subject=refused.row.subject, reason=refused.reason
            )

    async def _look_into(self, batch: list[StateRow]) -> list[tuple[StateRow, _Candidate]]:
        return await in_access_thread(lambda: [(each, self._candidate(each.row)) for each in batch])

    def _candidate(self, row: StatementRow) -> _Candidate:
        claim = claim_of(row, self._public_keys)
        return self._verify(row) if claim is None else UnverifiedRow(row, claim, self._verify)

    def _verify(self, row: StatementRow) -> VerifiedRow | RefusedRow:
        return verify_row(row, self._public_keys, _highest_generation())


def _verified(rows: list[UnverifiedRow]) -> list[VerifiedRow | RefusedRow]:
    return [each.verified() for each in rows]


def _highest_generation() -> int:
    return highest_generation_at(time.time_ns() // 1_000_000)
