"""Statements that were signed with a key that is not configured: they are not believed until it is.

A control plane sees them if it was given a new statement key without the public half of the old
one. Operators are then refused, and connections are shown with a problem.
"""

import time
from collections.abc import Mapping
from typing import Final

from attrs import define, field

from control_plane.proof.audit_chain import AuditChain
from control_plane.proof.signed_log import Place
from control_plane.proof.signer import PUBLIC_KEYS
from control_plane.proof.statement_store import count_other_keys
from control_plane.troubles import ControlPlanePart, Trouble

LOOK_SECONDS: Final = 30.0  # between two counts, and only after an act: it reads every statement
MAX_NAMED_KEYS: Final = (
    3  # an installation has one or two; whoever writes in the database may invent more
)


@define(eq=False)
class MissingKeys:
    """Which keys are missing, as far as the present statements tell."""

    _chain: AuditChain
    _counts: Mapping[str, int] = field(factory=dict, init=False)  # statements by their key's id
    _looked_at: Place | None = field(default=None, init=False)
    _next_look: float = field(default=0.0, init=False)

    async def look(self) -> None:
        """Count again if the log has gone on. Raises what `Database` raises."""
        log = self._chain.log
        if log is None or log.end == self._looked_at or time.monotonic() < self._next_look:
            return
        async with self._chain.database.connection() as connection:
            self._counts = await count_other_keys(
                connection, self._chain.signer.public_keys, at_most=MAX_NAMED_KEYS
            )
        self._looked_at, self._next_look = log.end, time.monotonic() + LOOK_SECONDS

    def trouble(self) -> Trouble | None:
        """Return how many statements each missing key has signed, and what to do."""
        if not self._counts:
            return None
        said = "; ".join(_count(key, count) for key, count in self._counts.items())
        words = (
            f"{said}: nothing that they say is believed, so operators are refused and connections"
            f" have a problem. Put the key's public half into {PUBLIC_KEYS}, and restart"
        )
        return Trouble(
            ControlPlanePart.STATEMENT_KEYS, words, stops=False, kind=", ".join(self._counts)
        )


def _count(key: str, count: int) -> str:
    statements = "1 statement is" if count == 1 else f"{count} statements are"
    return f"{statements} signed with the statement key {key}, which is not configured"
