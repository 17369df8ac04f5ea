"""Which entries of the audit log are asked for. Pure.

Rows are found by columns, which are not signed. So each entry that was found is compared with the
filter itself. An entry whose columns were changed may not be found; `audit verify` reads all.
"""

from datetime import datetime
from typing import Final

from attrs import frozen

from control_plane.reading.query_reader import QueryReader
from control_plane.reading.times import parse_time
from shared.statement import AuditEntry

MAX_FILTER_CHARACTERS: Final = 4096  # a subject, which may be a certificate's issuer


@frozen
class AuditFilter:
    """What an entry must have; None allows anything."""

    actor: str | None = None
    action: str | None = None  # or how it begins: `connection.`
    about: str | None = None  # or how it begins: `connection/3f2a`
    since: datetime | None = None
    until: datetime | None = None  # this moment itself is outside

    def fits(self, entry: AuditEntry) -> bool:
        """Tell whether a verified entry is one that was asked for."""
        return (
            self.actor in (None, entry.actor)
            and entry.action.startswith(self.action or "")
            and entry.about.startswith(self.about or "")
            and (self.since is None or self.since <= entry.at)
            and (self.until is None or entry.at < self.until)
        )


EVERY_ENTRY: Final = AuditFilter()


def read_audit_filter(query: QueryReader) -> AuditFilter:
    """Return what a query asks for; wrong parameters are noted in it."""
    actor, action, about = (query.text(name, _parse_text) for name in ("actor", "action", "about"))
    since, until = (query.text(name, parse_time) for name in ("since", "until"))
    return AuditFilter(actor, action, about, since, until)


def _parse_text(text: str) -> str:
    if not 0 < len(text) <= MAX_FILTER_CHARACTERS or "\0" in text:
        raise ValueError(f"expected 1 to {MAX_FILTER_CHARACTERS} characters")
    return text
