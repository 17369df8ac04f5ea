"""What proves something about subjects: rows of the database that the signed log leads to."""

from collections.abc import Collection, Iterable, Mapping

from attrs import define, field

from control_plane.database.database import DatabaseConnection
from control_plane.database.one_trip import Part, Row, fetch_parts
from control_plane.proof.belief import Evidence, LoggedEntry
from control_plane.proof.chain_store import entries_at, entry_rows_of
from control_plane.proof.signed_log import Place, SignedLog, entry_hash
from control_plane.proof.statement_store import statement_rows, statements_of
from control_plane.proof.walk_back import EntryRow
from shared.statement import StoredStatement


@define(eq=False)
class Proofs:
    """One state of the database, and the signed log of that state.

    An entry of the log never changes, so missing ones may be fetched later: the hash tells whether
    an entry is the right one.
    """

    connection: DatabaseConnection
    log: SignedLog
    highest_generation: int  # that is believed at this time
    _rows: Mapping[Part, list[Row]] = field(factory=dict)  # what was read together with the log
    _statements: dict[str, StoredStatement | None] = field(factory=dict)
    _entries: dict[Place, StoredStatement | None] = field(factory=dict)

    def rows(self, part: Part) -> list[Row]:
        """Return the rows of a part that was read together with the log."""
        return self._rows[part]

    def note_entries(self, places: Iterable[Place], rows: Iterable[EntryRow]) -> None:
        """Note the entries that were found at these places; one with another hash is missing."""
        found = {row.sequence: row.stored for row in rows}
        for place in places:
            stored = found.get(place.sequence)
            is_it = stored is not None and entry_hash(stored) == place.hash
            self._entries[place] = stored if is_it else None

    async def evidence(self, subject: str) -> Evidence:
        """Return the evidence about a subject."""
        return (await self.evidences_of([subject]))[subject]

    async def evidences_of(self, subjects: Collection[str]) -> dict[str, Evidence]:
        """Return the evidence about subjects; what is missing is fetched."""
        missing = [each for each in subjects if each not in self._statements]
        if missing:
            places = self._unknown(missing, with_revisions=False)
            wanted = [statements_of(missing), entries_at(places)]
            statements, entries = await fetch_parts(self.connection, wanted)
            self._statements |= dict.fromkeys(missing) | statement_rows(statements)
            self.note_entries(places, entry_rows_of(entries))
        return await self.evidences({each: self._statements[each] for each in subjects})

    async def evidences(self, stored: Mapping[str, StoredStatement | None]) -> dict[str, Evidence]:
        """Return the evidence about subjects whose statements are given."""
        made = {subject: self.log.made(subject) for subject in stored}
        await self.fetch_entries(stored, with_revisions=False)
        return {
            subject: Evidence(
                subject,
                stored[subject],
                LoggedEntry(each.generation, self._entries[each.place]) if each else None,
                self.highest_generation,
            )
            for subject, each in made.items()
        }

    def upon_revisions(self, subject: str) -> LoggedEntry | None:
        """Return the newest act upon a connection's revisions; its entry has been fetched."""
        place = self.log.upon_revisions(subject)
        return LoggedEntry(None, self._entries[place]) if place else None

    def sent_back(self, subject: str) -> LoggedEntry | None:
        """Return the act that sent a connection's draft back; its entry has been fetched."""
        place = self.log.sent_back(subject)
        return LoggedEntry(None, self._entries[place]) if place else None

    async def fetch_entries(
        self, subjects: Collection[str], *, with_revisions: bool = True
    ) -> None:
        """Fetch the missing entries of the newest acts about subjects, in one round trip."""
        if places := self._unknown(subjects, with_revisions=with_revisions):
            (rows,) = await fetch_parts(self.connection, [entries_at(places)])
            self.note_entries(places, entry_rows_of(rows))

    def _unknown(self, subjects: Iterable[str], *, with_revisions: bool) -> list[Place]:
        places = newest_acts(self.log, subjects, with_revisions=with_revisions)
        return [each for each in places if each not in self._entries]


def newest_acts(
    log: SignedLog, subjects: Iterable[str], *, with_revisions: bool = True
) -> list[Place]:
    """Return the places in the log of the newest acts about subjects."""
    places = list[Place]()
    for subject in subjects:
        if (made := log.made(subject)) is not None:
            places.append(made.place)
        if with_revisions:
            places += [
                each for each in (log.upon_revisions(subject), log.sent_back(subject)) if each
            ]
    return places
