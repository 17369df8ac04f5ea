"""Whether the database went back: it holds older statements than a control plane has seen.

That is what a restored backup looks like. Facades remember what they have seen, and refuse the
older statements; so what is shown here as approved is not served. Signing each again, which takes
a generation above all before, brings both sides together. A removed operator may be back, too.

What is remembered is believed about nothing: a statement counts as older only if it is signed, and
nothing is refused here because of it.
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

from attrs import define, field

from control_plane.acts import AUDIT_SUBJECT
from control_plane.belief import HighestGenerations
from control_plane.database import Database
from control_plane.signer import Verifier
from control_plane.statement_store import (
    fetch_newer_statements,
    fetch_newest_entry,
    fetch_older_statements,
)
from control_plane.troubles import Part, Trouble
from shared.statement import StatementRefusedError, StoredStatement
from shared.structured_log import get_logger

MAX_OLDER_STATEMENTS: Final = 10_000  # looked at; more than that is the same news
CATCH_UP_STATEMENTS: Final = 500  # at once: each is a signature to verify, a tenth of a ms
MAX_LOGGED_SUBJECTS: Final = 100
OLDER: Final = (
    "the database went back: a newer statement was seen here, so facades refuse this one;"
    " approve it again, or revoke it"
)
_CONNECTIONS: Final = ("connection/",)
_DEVICES: Final = ("device/", "certificate/")
_OPERATORS: Final = ("operator/",)
_WAYS_ON: Final = (
    (_CONNECTIONS, "of connections, which facades refuse: approve or revoke each again"),
    (_DEVICES, "of devices, of which facades know what came later: revoke or lift each again"),
    (_OPERATORS, "of operators, whose older token or role holds: rotate or remove each again"),
)

_log = get_logger(__name__)


@define(eq=False)
class History:
    """What the database lost, as far as this control plane remembers."""

    _database: Database
    _verifier: Verifier
    _highest: HighestGenerations
    _older: dict[str, int] = field(factory=dict, init=False)  # what was seen, by subject
    _missing_entries: int = field(default=0, init=False)
    _caught_up: str = field(default="", init=False)  # the subject behind which it goes on

    async def look(self) -> None:
        """Hold the database against what is remembered.

        Raises `DatabaseUnavailableError` or `SchemaOutdatedError`.
        """
        ever = self._highest.everything()  # before reading: what is read is not older
        told = {subject: seen for subject, seen in ever.items() if subject != AUDIT_SUBJECT}
        async with self._database.connection() as connection:
            older = await fetch_older_statements(connection, told, at_most=MAX_OLDER_STATEMENTS)
            newer = await fetch_newer_statements(
                connection, ever, after=self._caught_up, limit=CATCH_UP_STATEMENTS
            )
            newest = await fetch_newest_entry(connection)
        await self._catch_up(newer)
        found = {
            subject: told[subject]
            for subject, stored in older.items()
            if self._is_older(subject, stored, told[subject])
        }
        self._tell(found, ever.get(AUDIT_SUBJECT, 0) - (newest[0] if newest else 0))
        self._older = found

    async def _catch_up(self, newer: Mapping[str, StoredStatement]) -> None:
        """See what other processes signed, and what was signed before anything was kept."""
        for subject, generation in (await asyncio.to_thread(self._signed, newer)).items():
            self._highest.remember(subject, generation)
        is_the_end = len(newer) < CATCH_UP_STATEMENTS
        self._caught_up = "" if is_the_end else list(newer)[-1]

    def _signed(self, newer: Mapping[str, StoredStatement]) -> dict[str, int]:
        signed = dict[str, int]()
        for subject, stored in newer.items():
            with suppress(StatementRefusedError):
                statement = self._verifier.verify(stored)
                if statement.subject == subject:
                    signed[subject] = statement.generation
        return signed

    def _is_older(self, subject: str, stored: StoredStatement | None, seen: int) -> bool:
        if stored is None:
            # A connection or an operator that is gone is gone for everybody.
            return subject.startswith(_DEVICES)
        try:
            statement = self._verifier.verify(stored)
        except StatementRefusedError:
            return False  # its view says so
        return statement.subject == subject and statement.generation < seen

    def _tell(self, found: dict[str, int], missing_entries: int) -> None:
        if missing_entries > 0 and missing_entries != self._missing_entries:
            _log.warning("audit entries are missing", count=missing_entries)
        self._missing_entries = missing_entries
        for subject in sorted(found.keys() - self._older.keys())[:MAX_LOGGED_SUBJECTS]:
            _log.warning("statement went back", subject=subject, generation=found[subject])

    def is_older(self, subject: str) -> bool:
        """Tell whether a newer statement of the subject was seen than the database has now."""
        return subject in self._older and self._highest.ever(subject) <= self._older[subject]

    def trouble(self) -> Trouble | None:
        """Return what went back and is not signed again yet: how much, and what to do."""
        subjects = [subject for subject in self._older if self.is_older(subject)]
        counts = ((sum(each.startswith(of) for each in subjects), say) for of, say in _WAYS_ON)
        said = "; ".join(f"{count} {words}" for count, words in counts if count)
        if not said:
            return None
        words = f"the database went back, as after a restored backup. Older than was seen: {said}"
        return Trouble(Part.HISTORY, words, stops=False, kind="went back")
