"""What is believed of a subject."""

from datetime import UTC, datetime

import attrs
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from control_plane.proof.belief import (
    ACTED,
    TOO_FAR_AHEAD,
    Belief,
    Evidence,
    HighestGenerations,
    LoggedEntry,
    believe,
)
from control_plane.proof.signer import Signer
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
    stored: StoredStatement | None,
    newest: StoredStatement | None,
    logged: int | None = 5,
    highest: int = 100,
) -> Belief:
    """Return the belief about alice; of the chain's newest act there is this entry, or none."""
    made = None if logged is None else LoggedEntry(logged, newest)
    return believe(Evidence(SUBJECT, stored, made, highest), SIGNER)


def test_a_statement_and_its_entry_are_believed() -> None:
    """Both signed, about this subject, of one generation."""
    belief = believed(removal(5), entry(5))
    assert belief.problem is None
    assert belief.statement is not None
    assert belief.highest_generation == 5


def test_nothing_is_believed_of_a_subject_that_nobody_spoke_of() -> None:
    """And that is no problem."""
    assert believed(None, None, None) == Belief(SUBJECT)


@pytest.mark.parametrize(
    "stored, newest, logged",
    [
        (removal(5, signer=OTHER), entry(5), 5),
        (removal(5, name="bob"), entry(5), 5),
        (removal(5), None, None),
        (removal(5), None, 5),
        (removal(5), entry(5, signer=OTHER), 5),
        (removal(5), entry(5, about="operator/bob"), 5),
        (removal(5), entry(None), 5),
        (removal(5), removal(5), 5),
        (removal(5), entry(5), 6),
        (removal(5), entry(6), 6),
        (removal(6), entry(5), 5),
        (None, entry(5), 5),
        (attrs.evolve(removal(5), type="operator/1"), entry(5), 5),
        (attrs.evolve(removal(5), signature=b""), entry(5), 5),
        (attrs.evolve(removal(5), payload=b"{}"), entry(5), 5),
    ],
)
def test_anything_that_disagrees_is_not_believed(
    stored: StoredStatement | None, newest: StoredStatement | None, logged: int | None
) -> None:
    """Another key, subject, type, byte or generation: no statement, and a reason."""
    belief = believed(stored, newest, logged)
    assert belief.statement is None
    assert belief.problem


def test_an_act_whose_entry_is_not_there_is_not_believed() -> None:
    """What the chain says was done, the database must have as it was signed."""
    assert believed(removal(5), None).problem == ACTED


@pytest.mark.parametrize(
    "stored, newest, logged, highest",
    [(removal(5), entry(9), 9, 9), (removal(9), entry(5), 5, 9), (None, None, 9, 9)],
)
def test_the_next_statement_goes_above_everything_that_was_verified(
    stored: StoredStatement | None, newest: StoredStatement | None, logged: int, highest: int
) -> None:
    """So that it mends what was rolled back, for readers that remember."""
    assert believed(stored, newest, logged).highest_generation == highest


def test_a_statement_of_a_time_far_ahead_is_not_believed_and_not_gone_on_from() -> None:
    """Otherwise nothing newer could be signed about the subject."""
    belief = believed(removal(101), entry(101), 101)
    assert (belief.statement, belief.problem) == (None, TOO_FAR_AHEAD)
    assert belief.highest_generation == 0
    assert believed(removal(100), entry(100), 100).problem is None


def test_the_highest_generation_only_grows() -> None:
    """What was seen before counts; only what is higher is a change."""
    highest = HighestGenerations({"operator/bob": 5})
    for subject, generation in ((SUBJECT, 5), (SUBJECT, 3), (SUBJECT, 7), ("operator/bob", 4)):
        highest.remember(subject, generation)
    assert highest.everything() == {SUBJECT: 7, "operator/bob": 5}
    assert (highest.ever(SUBJECT), highest.ever("x")) == (7, 0)
    assert (highest.take_changes(), highest.take_changes()) == ({SUBJECT: 7}, {})
