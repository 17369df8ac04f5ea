"""A revision of a connection in two shapes: as it lies in the database, and as it is believed."""

from datetime import datetime
from functools import cached_property
from typing import Final

from attrs import field, frozen

from control_plane.operators.second_approver import Maker
from control_plane.reading.times import parse_time
from shared.canonical_json import format_time
from shared.connection import ConnectionDocument
from shared.connection import fingerprint as fingerprint_of
from shared.statement import AuditEntry

HOST: Final = "host"  # details of an audit entry
CREDENTIAL_END: Final = "credential_expires_at"


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
class RevisionLabels:
    """What the maker of a revision said of it: whose files made it, which secret, until when.

    They lie in the audit log's entries about the revision, which are signed, and nowhere else. So
    nobody who writes into the database can put a connection into a set, for `apply --prune` to end.
    """

    set_name: str | None = None
    secret_label: str | None = None
    credential_expires_at: datetime | None = None  # as the operator knows it

    def details(self) -> dict[str, str]:
        """Return the form in an audit entry's details."""
        ends = self.credential_expires_at
        named = {
            "set_name": self.set_name,
            "secret_label": self.secret_label,
            CREDENTIAL_END: format_time(ends) if ends else None,
        }
        return {name: value for name, value in named.items() if value}

    @classmethod
    def of_entry(cls, entry: AuditEntry | None) -> "RevisionLabels":
        """Return what an entry's details say."""
        details = entry.details if entry else {}
        ends = details.get(CREDENTIAL_END)
        return cls(
            details.get("set_name"),
            details.get("secret_label"),
            parse_time(ends) if ends else None,
        )


@frozen
class StoredRevision:
    """A revision as it lies in the database: not yet believed."""

    number: int
    document: bytes
    sealed_secret: bytes | None = field(repr=False)


@frozen
class Revision:
    """A revision that is made now, or that was verified to be what its maker made."""

    number: int
    document: ConnectionDocument
    check: RecordedCheck
    sealed_secret: bytes | None = field(default=None, repr=False)
    # The person behind the token that made it, for the rule of the second approver.
    maker_person: str | None = None
    labels: RevisionLabels = RevisionLabels()

    @property
    def maker(self) -> Maker:
        """Who made it."""
        return Maker.of(self.document.connected_by, self.maker_person)

    @cached_property
    def stored(self) -> StoredRevision:
        """The revision as it is stored; a document has one form in bytes alone."""
        return StoredRevision(self.number, self.document.to_bytes(), self.sealed_secret)

    @cached_property
    def fingerprint(self) -> str:
        """The fingerprint of its document."""
        return fingerprint_of(self.stored.document)

    @property
    def details(self) -> dict[str, str]:
        """What an audit entry says of it."""
        return {
            "revision": str(self.number),
            "fingerprint": self.fingerprint,
            HOST: str(self.document.host),
            **self.check.details(),
            **self.maker.details,
            **self.labels.details(),
        }
