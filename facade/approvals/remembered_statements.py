"""What is remembered of each subject, and what the database should hold of it. Pure.

A comparison asks here which rows differ, and which are missing.
"""

from collections.abc import Container, Iterable

from attrs import define, evolve, field, frozen

from facade.approvals.refused_rows import RefusedRows
from shared.statement import ConnectionApproval, StoredStatement


@frozen
class RememberedStatement:
    """The newest statement that was verified for a subject, and whether it is served."""

    stored: StoredStatement
    generation: int
    withdrawn: bool = False
    verified: bool = True  # false if the state folder's bytes do not verify, or were not yet


@define
class RememberedStatements:
    """Those of one snapshot, whose refused rows are counted beside them. For one event loop."""

    _refused_rows: RefusedRows
    _by_subject: dict[str, RememberedStatement] = field(factory=dict, init=False)
    _vanished: set[str] = field(factory=set, init=False)  # approved connections without a row
    # Restored as withdrawn, or withdrawn because what was restored does not verify; not read since.
    _to_be_read: set[str] = field(factory=set, init=False)

    def get(self, subject: str) -> RememberedStatement | None:
        """Return what is remembered of a subject, if anything is."""
        return self._by_subject.get(subject)

    def __getitem__(self, subject: str) -> RememberedStatement:
        """Return what is remembered of a subject; raise `KeyError` if nothing is."""
        return self._by_subject[subject]

    def __setitem__(self, subject: str, statement: RememberedStatement) -> None:
        """Remember this of a subject, instead of what was remembered."""
        self._by_subject[subject] = statement

    def __contains__(self, subject: object) -> bool:
        """Tell whether anything is remembered of a subject."""
        return subject in self._by_subject

    def withdraw(self, subject: str) -> None:
        """Note that what is remembered of a subject is not served."""
        known = self._by_subject.get(subject)
        if known is not None:
            self._by_subject[subject] = evolve(known, withdrawn=True)

    def note_present(self, subject: str) -> None:
        """Note that a subject has a row, whatever is in it."""
        self._vanished.discard(subject)
        self._to_be_read.discard(subject)

    def note_absent(self, subject: str) -> None:
        """Note that a subject has no row."""
        self._to_be_read.discard(subject)
        known = self._by_subject.get(subject)
        if known is not None and known.stored.type == ConnectionApproval.TYPE:
            self._vanished.add(subject)

    def read_again(self, subject: str) -> None:
        """Have the row of a subject read, although what is remembered of it is withdrawn."""
        self._to_be_read.add(subject)

    def is_to_be_read(self, subject: str) -> bool:
        """Tell whether the row of such a subject was not read since."""
        return subject in self._to_be_read

    @property
    def all_read(self) -> bool:
        """Whether the rows of such subjects were all read since."""
        return not self._to_be_read

    @property
    def vanished_connections(self) -> int:
        """How many approved connections have left the database without a statement."""
        return len(self._vanished)

    def subjects(self) -> list[str]:
        """Return every subject that is remembered, or whose row is refused.

        This includes tombstones and what is withdrawn.
        """
        return [*self._by_subject, *(self._refused_rows.subjects() - self._by_subject.keys())]

    def knows(self, subject: str) -> bool:
        """Tell whether a subject is remembered, or its row is refused."""
        return subject in self._by_subject or subject in self._refused_rows

    def differs(self, subject: str, signature: bytes | None) -> bool:
        """Tell whether a row with this signature differs from the one that is served."""
        known = self._by_subject.get(subject)
        return known is None or known.withdrawn or known.stored.signature != signature

    def absent(self, subjects: Iterable[str], present: Container[str]) -> list[str]:
        """Return the subjects that should have a row, but are not among those present."""
        return [subject for subject in subjects if subject not in present and self._stands(subject)]

    def _stands(self, subject: str) -> bool:
        if subject in self._refused_rows or subject in self._to_be_read:
            return True
        known = self._by_subject.get(subject)
        return known is not None and not known.withdrawn
