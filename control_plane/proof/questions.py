"""What a read or an act asks the database at its beginning, in one round trip."""

from collections.abc import Collection, Mapping

from attrs import frozen

from control_plane.database.database import DatabaseConnection
from control_plane.database.one_trip import Part, Row, fetch_parts
from control_plane.proof.chain_store import entries_at, entry_rows_of
from control_plane.proof.proofs import Proofs, newest_acts
from control_plane.proof.signed_log import Place, SignedLog
from control_plane.proof.statement_store import statement_rows, statements_of
from control_plane.proof.walk_back import EntryRow
from shared.statement import StoredStatement


@frozen
class Answered:
    """What was found, in one state of the database."""

    rows: Mapping[Part, list[Row]]
    _statements: dict[str, StoredStatement | None]
    _places: list[Place]
    _entries: list[EntryRow]

    def proofs(
        self, connection: DatabaseConnection, log: SignedLog, highest_generation: int
    ) -> Proofs:
        """Return the proofs, by the log of that state."""
        proofs = Proofs(connection, log, highest_generation, self.rows, self._statements)
        proofs.note_entries(self._places, self._entries)
        return proofs


@frozen
class Questions:
    """Parts, and subjects: `about` asks for statements and entries, `entries_about` for entries."""

    parts: Collection[Part] = ()
    about: Collection[str] = ()
    entries_about: Collection[str] = ()

    @property
    def subjects(self) -> tuple[str, ...]:
        """All of them."""
        return (*self.about, *self.entries_about)

    async def fetch(self, connection: DatabaseConnection, log: SignedLog, *more: Part) -> Answered:
        """Return the answers; entries are read from the places that the log names."""
        places = newest_acts(log, self.subjects)
        entries, statements = entries_at(places), statements_of(self.about)
        needed = [each for each, wanted in ((entries, places), (statements, self.about)) if wanted]
        parts = [*more, *needed, *self.parts]
        answers = await fetch_parts(connection, parts) if parts else []
        rows = dict(zip(parts, answers, strict=True))
        return Answered(
            rows,
            dict.fromkeys(self.about) | statement_rows(rows.get(statements, ())),
            places,
            entry_rows_of(rows.get(entries, ())),
        )
