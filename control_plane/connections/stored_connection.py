"""A connection as it lies in the database: not yet believed."""

from datetime import datetime
from uuid import UUID

from attrs import frozen

from control_plane.connections.revision import StoredRevision
from control_plane.proof.belief import Evidence, LoggedEntry


@frozen
class StoredConnection:
    """A connection as it lies in the database, with all that can prove it."""

    id: UUID
    host: str
    repository_prefix: str
    description: str
    made_at: datetime | None  # its place in the order of lists; None if its row is gone
    is_marked_revoked: bool
    evidence: Evidence
    newest: LoggedEntry | None  # the newest act upon its revisions
    approved: StoredRevision | None
    draft: StoredRevision | None
    sent_back: LoggedEntry | None = None  # the act that sent the draft back
