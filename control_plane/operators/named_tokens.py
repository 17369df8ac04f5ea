"""Which tokens are named by their operators' rows: a cheap question about many tokens at once.

A login reads and verifies several rows. Once many logins from an address, or from everywhere, were
refused, this question comes first. There is one query at a time, however many logins wait. Nothing
is believed because of the answer: it only decides whose token is verified.
"""

import asyncio
from typing import Final

from attrs import define, field

from control_plane.database.database import Database
from control_plane.operators.operator_token import OperatorToken
from control_plane.proof.statement_store import fetch_subjects_that_say
from shared.statement import operator_subject

MAX_TOKENS_AT_ONCE: Final = 1000  # some ms for Postgres; further tokens wait for the next query

_Said = tuple[str, str]  # a subject, and the hash that its row has to have


@define(eq=False)
class NamedTokens:
    """Asks the database, with one query at a time."""

    _database: Database
    # No more than there are open connections.
    _waiting: dict[_Said, asyncio.Future[bool | Exception]] = field(factory=dict, init=False)
    _asking: asyncio.Task[None] | None = field(default=None, init=False)

    async def has(self, token: OperatorToken) -> bool:
        """Tell whether the row of the token's operator names it; raise what `Database` raises."""
        said = operator_subject(token.name.value), token.sha256
        waiting = self._waiting.get(said)
        if waiting is None:
            waiting = asyncio.get_running_loop().create_future()
            self._waiting[said] = waiting
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask_all())
        answer = await asyncio.shield(waiting)
        if isinstance(answer, Exception):
            raise answer.with_traceback(None)
        return answer

    async def _ask_all(self) -> None:
        try:
            while self._waiting:
                await self._ask_some()
        finally:
            self._asking = None

    async def _ask_some(self) -> None:
        batch = list(self._waiting)[:MAX_TOKENS_AT_ONCE]
        asked = {said: self._waiting.pop(said) for said in batch}
        try:
            async with self._database.connection() as connection:
                named = await fetch_subjects_that_say(connection, batch)
        except Exception as error:  # noqa: BLE001  # whatever it was, each who waits raises it
            for waiting in asked.values():
                waiting.set_result(error)
            return
        for said, waiting in asked.items():
            waiting.set_result(said in named)
