"""A connection's history: who did what when, and what it changed. Pure.

An act is believed by its signed audit entry. What it changed is told by the documents of two
revisions: the one that it made or approved, and the one that it came upon. A document counts only
if its fingerprint is the one that a signed entry names.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from attrs import define, field, frozen

from control_plane.connections.revision import RevisionLabels
from control_plane.connections.view import document_view, labels_view
from control_plane.proof.actions import REVISION_ACTIONS, Action
from control_plane.reading.page import View
from shared.canonical_json import InvalidDocumentError, format_time
from shared.connection import ConnectionDocument, fingerprint
from shared.statement import AuditEntry

REVISION: Final = "revision"  # the detail of an entry that names the revision's number
APPROVING: Final = (Action.APPROVE.value, Action.ROTATE.value)
_DRAFTING: Final = frozenset({Action.CONNECT, Action.DRAFT})
_ACTING: Final = frozenset(REVISION_ACTIONS)
_DESCRIPTION: Final = "description"
_UNPROVEN: Final = "the revision that it names is not in the database as it was signed"
_MAX_REVISION_DIGITS: Final = 10


@frozen
class NamedRevision:
    """A revision as a signed entry names it."""

    number: int
    fingerprint: str
    labels: RevisionLabels

    def is_of(self, document: bytes) -> bool:
        """Tell whether these bytes are its document."""
        return fingerprint(document) == self.fingerprint


@define
class Revisions:
    """Which revision is approved, and which waits, as the acts of a connection follow another."""

    approved: NamedRevision | None = None
    draft: NamedRevision | None = None

    def take(self, entry: AuditEntry) -> NamedRevision | None:
        """Follow an act; return the revision that it came upon, and whose place its own takes."""
        named = named_revision(entry)
        if entry.action in _DRAFTING:
            before, self.draft = self.draft or self.approved, named
            return before
        if entry.action in APPROVING:
            before, self.approved, self.draft = self.approved, named, None
            return before
        if entry.action == Action.DISCARD:
            self.draft = None
        return None


@frozen
class HistoryAct:
    """A verified act about a connection, and the revision that it came upon."""

    entry: AuditEntry
    before: NamedRevision | None = None
    problem: str | None = None

    @property
    def after(self) -> NamedRevision | None:
        """The revision that it made or approved."""
        is_told = self.entry.action in _DRAFTING or self.entry.action in APPROVING
        return named_revision(self.entry) if is_told else None


@frozen
class UnprovenAct:
    """A row of the audit log that is not believed."""

    sequence: int
    problem: str

    def view(self) -> View:
        """Return the JSON form, as a list of the audit log has it."""
        return {"sequence": self.sequence, "problem": self.problem}


@define
class Documents:
    """Documents by the numbers of their revisions, as they lie in the database."""

    stored: Mapping[int, bytes]
    _views: dict[NamedRevision, View | None] = field(factory=dict)

    def view(self, revision: NamedRevision) -> View | None:
        """Return what an approver reads of a revision; None if its document is not as signed."""
        if revision not in self._views:
            self._views[revision] = self._view(revision)
        return self._views[revision]

    def _view(self, revision: NamedRevision) -> View | None:
        document = self.stored.get(revision.number)
        if document is None or not revision.is_of(document):
            return None
        try:
            view = document_view(ConnectionDocument.from_bytes(document), None)
        except InvalidDocumentError:
            return None  # of a later version of this program
        view |= labels_view(revision.labels)
        return {name: value for name, value in view.items() if name != "notes"}


def named_revision(entry: AuditEntry) -> NamedRevision | None:
    """Return the revision that an entry names."""
    number, named = entry.details.get(REVISION, ""), entry.details.get("fingerprint")
    is_number = number.isascii() and number.isdecimal() and len(number) <= _MAX_REVISION_DIGITS
    if named is None or not is_number:
        return None
    return NamedRevision(int(number), named, RevisionLabels.of_entry(entry))


def history_acts(
    entries: Sequence[tuple[AuditEntry, str | None]], before: Iterable[AuditEntry]
) -> Iterator[HistoryAct]:
    """Yield the acts of a page with the revisions that they came upon; all in order, first first.

    Beside an entry stands what is wrong with its row. `before` has the acts before the page that
    say which revision was approved then, and which waited.
    """
    revisions = Revisions()
    for entry in sorted(before, key=lambda each: each.generation):
        if entry.action in _ACTING:
            revisions.take(entry)
    for entry, problem in entries:
        yield HistoryAct(entry, revisions.take(entry), problem)


def history_view(act: HistoryAct, documents: Documents) -> View:
    """Return the JSON form of an act."""
    entry, after = act.entry, act.after
    changes, problem = _changes(act.before, after, documents)
    if entry.details.get(_DESCRIPTION) is not None:
        changes.append({"field": _DESCRIPTION, "after": entry.details[_DESCRIPTION]})
    named = named_revision(entry)
    return {
        "sequence": entry.generation,
        "at": format_time(entry.at),
        "actor": entry.actor,
        "action": entry.action,
        REVISION: named.number if named else None,
        "fingerprint": entry.details.get("fingerprint"),
        "details": entry.details,
        "changes": changes,
        "problem": act.problem or problem,
    }


def _changes(
    before: NamedRevision | None, after: NamedRevision | None, documents: Documents
) -> tuple[list[View], str | None]:
    """Return what differs between two revisions, field by field; or why nobody knows."""
    if before is None or after is None:
        return [], None
    was, became = documents.view(before), documents.view(after)
    if was is None or became is None:
        return [], _UNPROVEN
    return [
        {"field": name, "before": was[name], "after": became[name]}
        for name in became
        if was[name] != became[name]
    ], None
