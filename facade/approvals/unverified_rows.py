"""The remembered rows that were not verified yet, by subject and by the place that they claim.

Pure. Verifying a row takes about 0.1 ms, which a start with 100,000 of them does not wait for.
"""

from collections.abc import Callable
from itertools import islice

from attrs import define, field, frozen

from facade.approvals.claims import ClaimedPlace, RowClaim, ServingClaim
from facade.approvals.verified_row import RefusedRow, StatementRow, VerifiedRow

Verify = Callable[[StatementRow], VerifiedRow | RefusedRow]


@frozen
class UnverifiedRow:
    """A row of the state file that may be verified later, and what it claims."""

    row: StatementRow
    claim: RowClaim
    _verify: Verify

    def verified(self) -> VerifiedRow | RefusedRow:
        """Return the verified row, or why it is refused. Safe in a thread."""
        return self._verify(self.row)


@define
class UnverifiedRows:
    """Those of one snapshot. For one event loop."""

    _by_subject: dict[str, UnverifiedRow] = field(factory=dict, init=False)
    # Subjects, in order.
    _by_place: dict[ClaimedPlace, dict[str, None]] = field(factory=dict, init=False)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._by_subject)

    def add(self, unverified: UnverifiedRow) -> None:
        """Add a row whose subject has none yet."""
        subject = unverified.row.subject
        self._by_subject[subject] = unverified
        if isinstance(unverified.claim, ServingClaim):
            self._by_place.setdefault(unverified.claim.place, {})[subject] = None

    def take(self, subject: str) -> UnverifiedRow | None:
        """Remove the row of a subject, and return it."""
        unverified = self._by_subject.pop(subject, None)
        if unverified is not None and isinstance(unverified.claim, ServingClaim):
            subjects = self._by_place[unverified.claim.place]
            del subjects[subject]
            if not subjects:
                del self._by_place[unverified.claim.place]
        return unverified

    def of(self, subject: str) -> UnverifiedRow | None:
        """Return the row of a subject; None if it has none that waits."""
        return self._by_subject.get(subject)

    def claiming(self, place: ClaimedPlace, at_most: int) -> list[UnverifiedRow]:
        """Return those that claim a place, so many at most."""
        return [self._by_subject[each] for each in islice(self._by_place.get(place, ()), at_most)]

    def some(self, at_most: int) -> list[UnverifiedRow]:
        """Return some of them, so many at most."""
        return list(islice(self._by_subject.values(), at_most))
