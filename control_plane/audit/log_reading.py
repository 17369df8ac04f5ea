"""Reading the audit log: a page of it, or the whole chain. Nothing is repaired."""

from collections.abc import AsyncIterator, Sequence
from typing import Final

import orjson
from attrs import define, evolve, field, frozen

from control_plane.audit.audit_columns import (
    checkpoint_place,
    entry_faults,
    entry_rows,
    row_faults,
    statements,
)
from control_plane.audit.expected_rows import ExpectedRows
from control_plane.audit.verifying import Verified, VerifiedEnvelope, Verifying, verify_one
from control_plane.database.database import Database, DatabaseConnection
from control_plane.proof.audit_filter import EVERY_ENTRY, AuditFilter
from control_plane.proof.signed_log import BEGINNING, Place, entry_hash, entry_of
from control_plane.proof.signer import Verifier, not_configured
from control_plane.proof.statement_store import (
    AUDIT_PAGE_ENTRIES,
    ListedEntry,
    fetch_entries,
    fetch_newest_entries,
)
from control_plane.slices import in_slices
from shared.canonical_json import format_time
from shared.importing import without_collecting
from shared.statement import AuditEntry, StatementRefusedError, StoredStatement

OTHER_COLUMNS: Final = (
    "its columns in the database are not what is signed: lists by actor, action, subject or time"
    " may leave it out"
)
MAX_REPORTED_FAULTS: Final = 100  # a log of another key is one fault, not a million lines


@frozen
class AuditLine:
    """An entry as it is shown: verified, or with the reason why it is not believed."""

    sequence: int
    stored: StoredStatement
    entry: AuditEntry | None
    problem: str | None = None
    is_of_missing_key: bool = False

    def view(self) -> dict[str, object]:
        """Return the JSON form; an unverified entry has only its place and what is wrong."""
        if self.entry is None:
            return {"sequence": self.sequence, "problem": self.problem}
        return {
            "sequence": self.sequence,
            "at": format_time(self.entry.at),
            "actor": self.entry.actor,
            "action": self.entry.action,
            "about": self.entry.about,
            "about_generation": self.entry.about_generation,
            "details": self.entry.details,
            "previous": self.entry.previous,
            "hash": entry_hash(self.stored),
            "problem": self.problem,
        }

    def export(self) -> bytes:
        """Return the envelope as a JSON line that can be verified without the database."""
        return orjson.dumps(
            {
                "sequence": self.sequence,
                "type": self.stored.type,
                "key_id": self.stored.key_id,
                "payload": self.stored.payload.decode(errors="replace"),
                "signature": self.stored.signature.hex(),
            },
            option=orjson.OPT_APPEND_NEWLINE,
        )


@define
class ChainReport:
    """What was found along the whole chain."""

    entries: int = 0
    faults: list[str] = field(factory=list)
    believed: int = 0  # of the entries
    _missing_keys: dict[str, int] = field(factory=dict)  # entries that are not believed, by why
    end: Place = BEGINNING  # of what was read
    _previous: str = ""
    _generations: dict[str, int] = field(factory=dict)

    def add(self, line: AuditLine) -> None:
        """Take in the next entry."""
        self.entries += 1
        if line.is_of_missing_key:
            said = not_configured(line.stored.key_id)
            self._missing_keys[said] = self._missing_keys.get(said, 0) + 1
        elif line.entry is None:
            self._fault(line.sequence, line.problem or "not believed")
        else:
            self.believed += 1
            if line.entry.previous != self._previous:
                self._fault(line.sequence, "does not follow the entry before it")
            if line.entry.about_generation is not None:
                self._generations[line.entry.about] = line.entry.about_generation
        if line.sequence != self.entries + self._missing:
            self._missing = line.sequence - self.entries
            self._fault(line.sequence, "entries before it are missing")
        self._previous = entry_hash(line.stored)
        self.end = Place(line.sequence, self._previous)

    _missing: int = 0

    @property
    def all_faults(self) -> list[str]:
        """What is wrong: each missing key once, however many entries it signed; then the rest."""
        missing = (f"{count} entries are {said}" for said, count in self._missing_keys.items())
        return [*missing, *self.faults]

    def fault(self, place: str, what: str) -> None:
        """Note what is wrong at a place."""
        self.faults.append(f"{place}: {what}")

    def compare(self, generations: dict[str, int | None]) -> None:
        """Compare the present statements: generations by subject, None if one is not believed."""
        for subject in sorted(generations.keys() | self._generations.keys()):
            present, audited = generations.get(subject), self._generations.get(subject)
            if present != audited or present is None:
                self.faults.append(f"{subject}: {_disagreement(generations, subject, audited)}")

    def _fault(self, sequence: int, what: str) -> None:
        self.fault(f"entry {sequence}", what)


def _disagreement(generations: dict[str, int | None], subject: str, audited: int | None) -> str:
    if subject not in generations:
        return "its statement has vanished"
    if generations[subject] is None:
        return "its statement is not believed"
    return "no audit entry" if audited is None else "its statement is not the newest of the log"


def read_line(sequence: int, stored: StoredStatement, verifier: Verifier) -> AuditLine:
    """Return the entry at a place, verified if it can be."""
    return line_of(sequence, stored, verify_one(verifier, stored))


def line_of(sequence: int, stored: StoredStatement, verified: Verified) -> AuditLine:
    """Return the entry at a place, whose envelope was verified or refused."""
    try:
        if verified.statement is None:
            raise StatementRefusedError(verified.problem)
        entry = entry_of(verified.statement, sequence)
    except StatementRefusedError as error:
        problem = f"not believed: {error}"
        return AuditLine(sequence, stored, None, problem, verified.is_of_missing_key)
    return AuditLine(sequence, stored, entry)


def _shown(row: ListedEntry, verifier: Verifier) -> AuditLine:
    """Return the entry of a row, with what is wrong with its columns."""
    line = read_line(row.sequence, row.stored, verifier)
    if line.entry is None or row.is_found_as(line.entry):
        return line
    return evolve(line, problem=OTHER_COLUMNS)


async def read_page(
    database: Database,
    verifier: Verifier,
    wanted: AuditFilter = EVERY_ENTRY,
    *,
    after: int,
    limit: int,
) -> tuple[list[AuditLine], int | None]:
    """Return the wanted entries after a place, and the place to go on from, if any."""
    async with database.connection() as connection:
        entries = await fetch_entries(connection, wanted, after=after, limit=limit + 1)
    return await _page(entries, verifier, wanted, limit)


async def read_newest_page(
    database: Database, verifier: Verifier, wanted: AuditFilter, *, before: int, limit: int
) -> tuple[list[AuditLine], int | None]:
    """Return the wanted entries before a place, the newest first, and where to go on, if at all."""
    async with database.connection() as connection:
        entries = await fetch_newest_entries(connection, wanted, before=before, limit=limit + 1)
    return await _page(entries, verifier, wanted, limit)


async def _page(
    entries: Sequence[ListedEntry], verifier: Verifier, wanted: AuditFilter, limit: int
) -> tuple[list[AuditLine], int | None]:
    """Return the wanted ones of the first `limit` entries, and where to go on if there are more."""
    lines = await in_slices(entries[:limit], lambda row: _shown(row, verifier))
    following = lines[-1].sequence if len(entries) > limit else None
    return [line for line in lines if line.entry is None or wanted.fits(line.entry)], following


async def exported_lines(database: Database) -> AsyncIterator[bytes]:
    """Yield every envelope as a line of an export, as many at once as a walk reads.

    No connection is held between them, because whoever reads may be slow. Nothing is verified:
    whoever has an export verifies it.
    """
    after = 0
    while True:
        async with database.connection() as connection:
            entries = await fetch_entries(connection, after=after, limit=AUDIT_PAGE_ENTRIES)
        if not entries:
            return
        yield b"".join(AuditLine(row.sequence, row.stored, None).export() for row in entries)
        after = entries[-1].sequence


async def walk(
    connection: DatabaseConnection, verifier: Verifier, wanted: AuditFilter = EVERY_ENTRY
) -> AsyncIterator[AuditLine]:
    """Yield the wanted entries, from the first on."""
    after = 0
    while entries := await fetch_entries(connection, wanted, after=after, limit=AUDIT_PAGE_ENTRIES):
        for row in entries:
            line = _shown(row, verifier)
            if line.entry is None or wanted.fits(line.entry):
                yield line
        after = entries[-1].sequence


async def verify_log(database: Database, verifier: Verifier) -> ChainReport:
    """Verify the chain, and compare every row and column of the database with it, in a snapshot.

    The collector is off meanwhile, so this is for a process that does nothing else.
    """
    with without_collecting():
        return await _verified(database, verifier)


async def _verified(database: Database, verifier: Verifier) -> ChainReport:
    report, expected = ChainReport(), ExpectedRows()
    async with Verifying.open(verifier) as verifying, database.snapshot() as connection:
        checkpoint, fault = await checkpoint_place(connection, verifier)
        async for each in verifying.rows(entry_rows(connection)):
            _add_entry(each, report, expected)
            if checkpoint is not None and report.end == checkpoint:
                checkpoint = None
        if checkpoint is not None:
            fault = f"checkpoint: entry {checkpoint.sequence} is not the one that it names"
        report.faults.extend([fault] if fault else [])
        if report.entries and not report.believed:
            return (
                report  # with another key nothing can be compared, so there is nothing more to say
            )
        generations: dict[str, int | None] = {}
        async for subject, generation, wrong in statements(connection, verifying):
            generations[subject] = generation
            report.faults.extend([wrong] if wrong else [])
        report.compare(generations)
        report.faults.extend([each async for each in row_faults(connection, expected)])
    return report


def _add_entry(each: VerifiedEnvelope, report: ChainReport, expected: ExpectedRows) -> None:
    """Take in the next row of the log, and what it says of other rows."""
    sequence = each.row["sequence"]
    if each.stored is None:
        report.fault(f"entry {sequence}", "it has not the form of an entry")
        return
    line = line_of(sequence, each.stored, each.verified)
    report.add(line)
    if line.entry is not None:
        report.faults.extend(entry_faults(each.row, line.entry))
        expected.add(line.entry)
