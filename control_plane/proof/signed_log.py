"""What the chain of signed audit entries says: its end, and the newest acts by subject. Pure.

Each entry is signed and bears the hash of the one before it. So the last entry's signature and the
hashes prove all of them: their bytes, their order, and that none is missing. The columns beside an
entry prove nothing, and nothing here is found by them.

A `SignedLog` never changes. Whoever reads a snapshot of the database has the log of that snapshot,
while other calls go on with newer ones.
"""

import hashlib
from collections.abc import Iterator
from datetime import datetime
from typing import Final

from attrs import define, evolve, field, frozen

from control_plane.proof.actions import ACCEPT_RESTORE, REVISION_ACTIONS, SEND_BACK
from control_plane.proof.layers import Layers
from control_plane.proof.session_endings import SessionEnding, endings_of
from control_plane.proof.signer import Verifier
from shared.statement import (
    AuditEntry,
    Statement,
    StatementRefusedError,
    StoredStatement,
    signed_bytes,
)

_UPON_REVISIONS: Final = frozenset(REVISION_ACTIONS)


@frozen
class Place:
    """An entry of the chain: its place from 1, and the hexadecimal SHA-256 of its signed bytes."""

    sequence: int
    hash: str


BEGINNING: Final = Place(0, "")  # what the first entry follows


@frozen
class Made:
    """The newest act that made a statement about a subject."""

    generation: int  # of the statement
    place: Place


@frozen
class LoggedAct:
    """What of a proven entry decides which act about a subject is the newest, and who is out."""

    place: Place
    previous: str
    action: str
    about: str
    about_generation: int | None
    ends: tuple[SessionEnding, ...] = ()


@define
class NewestActs:
    """Collects the newest act of each kind about each subject; acts are added newest first."""

    made: dict[str, Made] = field(factory=dict)
    upon_revisions: dict[str, Place] = field(factory=dict)
    sent_back: dict[str, Place] = field(factory=dict)
    restores: set[str] = field(factory=set)
    session_endings: dict[str, datetime] = field(factory=dict)  # until when, by what they name

    def add(self, act: LoggedAct) -> None:
        """Add an act that is older than all that were added."""
        if act.about_generation is not None:
            self.made.setdefault(act.about, Made(act.about_generation, act.place))
        if act.action in _UPON_REVISIONS:
            self.upon_revisions.setdefault(act.about, act.place)
        if act.action == SEND_BACK:
            self.sent_back.setdefault(act.about, act.place)
        if act.action == ACCEPT_RESTORE:
            self.restores.add(act.place.hash)
        for each in act.ends:
            _end(self.session_endings, each.what, each.began_by)


@frozen
class SignedLog:
    """The chain up to one entry."""

    end: Place = BEGINNING
    restores: frozenset[str] = frozenset()  # hashes of the entries that accepted a restore
    _made: Layers[Made] = field(factory=Layers[Made])
    _upon_revisions: Layers[Place] = field(factory=Layers[Place])
    _sent_back: Layers[Place] = field(factory=Layers[Place])
    _session_endings: Layers[datetime] = field(factory=Layers[datetime])
    root: object = field(factory=object, eq=False)  # shared by all logs that follow the same one

    def made(self, subject: str) -> Made | None:
        """Return the newest act that made a statement about the subject."""
        return self._made.get(subject)

    def generation(self, subject: str) -> int:
        """Return the generation of the newest statement about the subject, or 0."""
        made = self._made.get(subject)
        return made.generation if made else 0

    def upon_revisions(self, subject: str) -> Place | None:
        """Return the place of the newest act upon a connection's revisions."""
        return self._upon_revisions.get(subject)

    def sent_back(self, subject: str) -> Place | None:
        """Return the place of the act that sent back what the newest act upon revisions made."""
        place, upon = self._sent_back.get(subject), self._upon_revisions.get(subject)
        return place if place and upon and place.sequence > upon.sequence else None

    def connections(self) -> Iterator[str]:
        """Yield the subject of every connection that was ever made."""
        return (subject for subject, _ in self._upon_revisions.items())

    @property
    def subjects_count(self) -> int:
        """How many subjects have a statement."""
        return len(self._made)

    def all_made(self) -> Iterator[tuple[str, Made]]:
        """Yield each subject, and the newest act that made a statement about it."""
        return self._made.items()

    def all_upon_revisions(self) -> Iterator[tuple[str, Place]]:
        """Yield each connection's subject, and the newest act upon its revisions."""
        return self._upon_revisions.items()

    def all_sent_back(self) -> Iterator[tuple[str, Place]]:
        """Yield each connection's subject whose draft is sent back, and the act that did it."""
        for subject, place in self._sent_back.items():
            if self.sent_back(subject) is not None:
                yield subject, place

    def session_ending(self, what: str) -> datetime | None:
        """Return by when sessions had to begin for an ending of this name to end them."""
        return self._session_endings.get(what)

    def all_session_endings(self) -> Iterator[tuple[str, datetime]]:
        """Yield what each ending names, and by when sessions had to begin for it to end them."""
        return self._session_endings.items()

    def without_endings_before(self, at: datetime) -> "SignedLog":
        """Return the log without the endings of sessions that have ended by themselves since."""
        kept = {what: ended for what, ended in self.all_session_endings() if ended >= at}
        return evolve(self, session_endings=Layers(kept))

    def followed_by(self, end: Place, newest: NewestActs) -> "SignedLog":
        """Return the log that ends at `end`, with these acts after its own."""
        endings = dict(newest.session_endings)
        for what in endings:
            if (known := self.session_ending(what)) is not None:
                _end(endings, what, known)
        return SignedLog(
            end,
            self.restores | newest.restores,
            self._made.under(newest.made),
            self._upon_revisions.under(newest.upon_revisions),
            self._sent_back.under(newest.sent_back),
            self._session_endings.under(endings),
            self.root,
        )

    def is_before(self, place: Place) -> bool:
        """Tell whether a place comes after this log's end."""
        return place.sequence > self.end.sequence

    def goes_on_from(self, other: "SignedLog") -> bool:
        """Tell whether this and the other log both follow the same one that was read."""
        return self.root is other.root


def logged_act(entry: AuditEntry, hash_of_it: str) -> LoggedAct:
    """Return what decides, of a verified entry."""
    return LoggedAct(
        Place(entry.generation, hash_of_it),
        entry.previous,
        entry.action,
        entry.about,
        entry.about_generation,
        endings_of(entry.action, entry.about, entry.details, entry.at),
    )


def _end(endings: dict[str, datetime], what: str, began_by: datetime) -> None:
    """Note an ending; of the same name the later one holds."""
    endings[what] = max(began_by, endings.get(what, began_by))


def require_entry(sequence: int, stored: StoredStatement, verifier: Verifier) -> AuditEntry:
    """Return the verified entry of this place, or raise `StatementRefusedError`."""
    return entry_of(verifier.verify(stored), sequence)


def entry_of(statement: Statement, sequence: int) -> AuditEntry:
    """Return a verified statement that is the entry of this place; else `StatementRefusedError`."""
    if not isinstance(statement, AuditEntry):
        raise StatementRefusedError("of another type than is wanted here")
    if statement.generation != sequence:
        raise StatementRefusedError("it belongs in another place of the log")
    return statement


def entry_hash(stored: StoredStatement) -> str:
    """Return what the next entry bears: the hexadecimal SHA-256 of this one's signed bytes."""
    return hashlib.sha256(signed_bytes(stored.type, stored.payload)).hexdigest()
