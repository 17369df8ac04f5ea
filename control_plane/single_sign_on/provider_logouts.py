"""Whom the provider has logged out, and when: what was issued before that holds no longer.

Rows can only end something. Whoever writes into the database may log people out; whoever deletes a
row lets a token of before go on for as long as it would have without the logout, and only at those
processes that did not get the logout themselves. Nobody can make a login there.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote

from attrs import define, field

from control_plane.database.database import Database
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
    _database: Database
    _told: BoundedMap[str, float] = field(init=False)

    @_told.default
    def _nobody_yet(self) -> BoundedMap[str, float]:
        return BoundedMap(REMEMBERED_LOGOUTS, seconds=KEPT_SECONDS)

    async def note(self, logout: ProviderLogout, at: datetime) -> datetime:
        """Keep a logout that came at this time; return until when what began is ended by it.

        Raises what `Database` raises.

        Tokens are of the provider's clock, sessions of ours, so the later of both counts; but a
        logout that is sent again later ends nothing that came after it.
        """
        latest = logout.issued_at + CLOCK_SKEW_SECONDS
        ended_at = max(logout.issued_at, min(at.timestamp(), latest))
        person = str(logout.person) if logout.person else None
        # A logout that names the person and a session ends what the person holds: access tokens
        # need not say of which session they are.
        ended = [person or self._session(logout.session_id or "")]
        for each in ended:
            self._told.set(each, max(ended_at, self._told.get(each) or 0.0))
        async with self._database.connection() as connection:
            await connection.execute(_FORGET, KEPT_SECONDS)
            await connection.execute(_NOTE, ended, datetime.fromtimestamp(ended_at, UTC))
        return datetime.fromtimestamp(ended_at, UTC)

    async def is_logged_out(
        self, person: str, issued_at: float, provider_session: str | None
    ) -> bool:
        """Tell whether the person was logged out since something was issued to them.

        A token says its second alone, so a logout of the same second counts. Raises what `Database`
        raises.
        """
        ended = [person, *([self._session(provider_session)] if provider_session else [])]
        return issued_at <= await self._last(ended)

    async def _last(self, ended: Sequence[str]) -> float:
        told = max(self._told.get(each) or float("-inf") for each in ended)
        async with self._database.connection() as connection:
            row = await connection.fetchrow(_LAST, ended)
        return max(told, row["at"].timestamp() if row and row["at"] else told)

    def _session(self, session_id: str) -> str:
        return f"sid:{quote(self._issuer, safe='')}:{quote(session_id, safe='')}"
