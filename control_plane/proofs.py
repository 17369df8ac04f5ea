"""What proves something about subjects: rows of the database, found by the signed log alone."""

from collections.abc import Collection, Mapping

from attrs import frozen

from control_plane.belief import Evidence, LoggedEntry
from control_plane.chain_store import fetch_entries_at
from control_plane.database import DatabaseConnection
from control_plane.signed_log import SignedLog
from control_plane.statement_store import fetch_statement
from shared.statement import StoredStatement


@frozen
class Proofs:
    """One state of the database, and the signed log of just that state."""

    connection: DatabaseConnection
    log: SignedLog
    highest_generation: int  # that is taken at this time

    async def evidence(self, subject: str, *, lock: bool = False) -> Evidence:
        """Return the evidence about a subject; with `lock`, its statement's row is locked."""
        stored = await fetch_statement(self.connection, subject, lock=lock)
        return (await self.evidences({subject: stored}))[subject]

    async def evidences(self, stored: Mapping[str, StoredStatement | None]) -> dict[str, Evidence]:
        """Return the evidence about subjects whose statements were fetched."""
        made = {subject: self.log.made(subject) for subject in stored}
        places = [each.place for each in made.values() if each]
        entries = await fetch_entries_at(self.connection, places)
        return {
            subject: Evidence(
                subject,
                stored[subject],
                LoggedEntry(each.generation, entries.get(each.place)) if each else None,
                self.highest_generation,
            )
            for subject, each in made.items()
        }

    async def upon_revisions(self, subjects: Collection[str]) -> dict[str, LoggedEntry | None]:
        """Return the newest act upon the revisions of each connection."""
        places = {subject: self.log.upon_revisions(subject) for subject in subjects}
        entries = await fetch_entries_at(
            self.connection, [each for each in places.values() if each]
        )
        return {
            subject: LoggedEntry(None, entries.get(place)) if place else None
            for subject, place in places.items()
        }
