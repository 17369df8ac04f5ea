"""A connection as it lies in the database: not yet believed."""

from datetime import datetime
from uuid import UUID

from attrs import field, frozen

from control_plane.proof.belief import Evidence, LoggedEntry
from shared.statement import AuditEntry


@frozen
class RecordedCheck:
    """What the registry said to a revision's credential when it was made."""

    outcome: str
    problem: str | None = None

    def details(self) -> dict[str, str]:
        """Return the form in an audit entry's details."""
        details = {"check": self.outcome}
        return details | {"check_problem": self.problem} if self.problem else details

    @classmethod
    def of_entry(cls, entry: AuditEntry | None) -> "RecordedCheck":
        """Return what an entry's details say."""
        details = entry.details if entry else {}
        return cls(details.get("check", "skipped"), details.get("check_problem"))


@frozen
class StoredRevision:
    """A revision as it lies in the database: not yet believed."""

    number: int
    document: bytes
    sealed_secret: bytes | None = field(repr=False)


@frozen
class StoredConnection:
    """A connection as it lies in the database, with all that can prove it."""

    id: UUID
    host: str
    repository_prefix: str
    description: str
    made_at: datetime | None  # its place in the order of lists; none where it has no row
    is_marked_revoked: bool
    evidence: Evidence
    newest: LoggedEntry | None  # the newest act upon its revisions
    approved: StoredRevision | None
    draft: StoredRevision | None
