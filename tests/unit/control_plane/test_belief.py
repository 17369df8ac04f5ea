"""What is believed of a subject."""

from datetime import UTC, datetime

import attrs
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from control_plane.belief import Belief, Evidence, HighestGenerations, believe
from control_plane.signer import Signer
from shared.statement import AuditEntry, OperatorRemoval, StoredStatement

AT = datetime(2030, 1, 1, tzinfo=UTC)
SIGNER = Signer(Ed25519PrivateKey.generate())
OTHER = Signer(Ed25519PrivateKey.generate())
SUBJECT = "operator/alice"


def removal(generation: int, *, name: str = "alice", signer: Signer = SIGNER) -> StoredStatement:
    """Return a signed statement about an operator."""
    statement = OperatorRemoval(name=name, removed_by="root", removed_at=AT, generation=generation)
    return signer.sign(statement)


def entry(
    generation: int | None, *, about: str = SUBJECT, signer: Signer = SIGNER
) -> StoredStatement:
    """Return a signed audit entry about an operator."""
    return signer.sign(
        AuditEntry(
            generation=7,
            previous="",
            at=AT,
            actor="root",
            action="operator.remove",
            about=about,
            about_generation=generation,
        )
    )


def believed(
    stored: StoredStatement | None, newest: StoredStatement | None, highest_seen: int = 0
) -> Belief:
    """Return the belief about alice."""
    return believe(Evidence(SUBJECT, stored, newest, highest_seen), SIGNER)


def test_a_statement_and_its_entry_are_believed() -> None:
    """Both signed, about this subject, of one generation."""
    belief = believed(removal(5), entry(5), 5)
    assert belief.problem is None
    assert belief.statement is not None
    assert belief.highest_generation == 5


def test_nothing_is_believed_of_a_subject_that_nobody_spoke_of() -> None:
    """And that is no problem."""
    assert believed(None, None) == Belief(SUBJECT)


@pytest.mark.parametrize(
    "stored, newest, highest_seen",
    [
        (removal(5, signer=OTHER), entry(5), 0),
        (removal(5, name="bob"), entry(5), 0),
        (removal(5), None, 0),
        (removal(5), entry(5, signer=OTHER), 0),
        (removal(5), entry(5, about="operator/bob"), 0),
        (removal(5), entry(None), 0),
        (removal(5), removal(5), 0),
        (removal(5), entry(6), 0),
        (removal(6), entry(5), 0),
        (None, entry(5), 0),
        (None, None, 5),
        (removal(5), entry(5), 6),
        (attrs.evolve(removal(5), type="operator/1"), entry(5), 0),
        (attrs.evolve(removal(5), signature=b""), entry(5), 0),
        (attrs.evolve(removal(5), payload=b"{}"), entry(5), 0),
    ],
)
def test_anything_that_disagrees_is_not_believed(
    stored: StoredStatement | None, newest: StoredStatement | None, highest_seen: int
) -> None:
    """Another key, subject, type, byte or generation: no statement, and a reason."""
    belief = believed(stored, newest, highest_seen)
    assert belief.statement is None
    assert belief.problem


@pytest.mark.parametrize(
    "stored, newest, highest_seen, highest",
    [(removal(5), entry(9), 0, 9), (removal(9), entry(5), 0, 9), (None, None, 9, 9)],
)
def test_the_next_statement_goes_above_everything_that_was_verified(
    stored: StoredStatement | None,
    newest: StoredStatement | None,
    highest_seen: int,
    highest: int,
) -> None:
    """So that it mends what was rolled back, for readers that remember."""
    assert believed(stored, newest, highest_seen).highest_generation == highest


def test_the_highest_generation_only_grows() -> None:
    """A copy stays as it was taken."""
    highest = HighestGenerations()
    highest.remember(SUBJECT, 5)
    copy = highest.copy()
    highest.remember(SUBJECT, 3)
    highest.remember(SUBJECT, 7)
    assert (copy.of(SUBJECT), highest.of(SUBJECT), highest.of("x")) == (5, 7, 0)
