"""Whom the provider has logged out, and when: what was issued before that holds no longer.

Rows can only end something. Whoever writes into the database may log people out, and nobody can
make a login there. Whoever deletes a row revives nothing: a logout is in the signed audit log too
(`proof.session_endings`), which is read together with the rows.
"""

import math
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote

from attrs import define, field

from control_plane.database.one_trip import Part
from control_plane.proof.audit_chain import AuditChain
from control_plane.proof.session_endings import (
    OF_EVERYBODY,
    of_provider,
    of_subject,
    of_tokens,
)
from control_plane.single_sign_on.claims import CLOCK_SKEW_SECONDS, ProviderLogout
from shared.bounded_map import BoundedMap

KEPT_SECONDS: Final = 2 * 24 * 3600.0  # longer than any token or session goes on
REMEMBERED_LOGOUTS: Final = 4096  # that this process was told; some 500 bytes each

_NOTE: Final = """
INSERT INTO public.provider_logouts AS known (ended, logged_out_at)
SELECT unnest($1::text[]), $2
ON CONFLICT (ended) DO UPDATE
    SET logged_out_at = greatest(known.logged_out_at, excluded.logged_out_at)
"""
_FORGET: Final = """
DELETE FROM public.provider_logouts
WHERE logged_out_at < clock_timestamp() - make_interval(secs => $1)
"""
_LAST: Final = """
SELECT max(logged_out_at) AS at FROM public.provider_logouts
WHERE ended = ANY($1) AND logged_out_at BETWEEN '2000-01-01Z' AND '9000-01-01Z'
"""


@define(eq=False)
class ProviderLogouts:
    """Notes logouts, and tells whether there was one since something was issued."""

    _issuer: str
    _chain: AuditChain
    _monotonic: Callable[[], float] = time.monotonic
    _told: BoundedMap[str, float] = field(init=False)
    _ended_by: BoundedMap[tuple[str | None, float], float] = field(init=False)  # by token and time

    @_told.default
    def _nobody_yet(self) -> BoundedMap[str, float]:
        return BoundedMap(REMEMBERED_LOGOUTS, seconds=KEPT_SECONDS, clock=self._monotonic)

    @_ended_by.default
    def _no_token_yet(self) -> BoundedMap[tuple[str | None, float], float]:
        return BoundedMap(REMEMBERED_LOGOUTS, seconds=KEPT_SECONDS, clock=self._monotonic)

    async def note(self, logout: ProviderLogout, at: datetime) -> datetime:
        """Keep a logout that came at this time; return until when what began is ended by it.

        Raises what `Database` raises.

        Tokens are of the provider's clock, sessions of ours, so the later of both counts; but a
        logout that is told again ends nothing that came after it.
        """
        ended_at = self._ended_at(logout, at)
        person = str(logout.person) if logout.person else None
        # A logout that names the person and a session ends what the person holds: access tokens
        # need not say of which session they are.
        ended = [person or self._session(logout.session_id or "")]
        for each in ended:
            self._told.set(each, max(ended_at, self._told.get(each) or 0.0))
        async with self._chain.database.connection() as connection:
            await connection.execute(_FORGET, KEPT_SECONDS)
            await connection.execute(_NOTE, ended, datetime.fromtimestamp(ended_at, UTC))
        return datetime.fromtimestamp(ended_at, UTC)

    async def is_logged_out(
        self, person: str, issued_at: float, provider_session: str | None
    ) -> bool:
        """Tell whether the person was logged out since something was issued to them.

        A token says its second alone, so a logout of the same second counts. Raises what
        `AuditChain.reading` raises.
        """
        ended = [person, *([self._session(provider_session)] if provider_session else [])]
        signed = [of_tokens(of_subject(person)), OF_EVERYBODY]
        if provider_session:
            signed.append(of_tokens(of_provider(provider_session)))
        return issued_at <= await self._last(ended, signed)

    def _ended_at(self, logout: ProviderLogout, at: datetime) -> float:
        token = (logout.token_id, logout.issued_at)
        known = self._ended_by.get(token) if logout.token_id else None
        if known is not None:
            return known
        latest = logout.issued_at + CLOCK_SKEW_SECONDS
        ended_at = max(logout.issued_at, min(at.timestamp(), latest))
        self._ended_by.set(token, ended_at)
        return ended_at

    async def _last(self, ended: Sequence[str], signed: Sequence[str]) -> float:
        """Return when the last of these endings was: as told here, by a row, or by the log."""
        rows = Part(("at",), _LAST, (ended,))
        async with self._chain.reading(rows) as proofs:
            times: list[datetime | None] = [row["at"] for row in proofs.rows(rows)]
            times += [proofs.log.session_ending(each) for each in signed]
        told = [self._told.get(each) or -math.inf for each in ended]
        return max([*told, *(time.timestamp() for time in times if time is not None)])

    def _session(self, session_id: str) -> str:
        return f"sid:{quote(self._issuer, safe='')}:{quote(session_id, safe='')}"
