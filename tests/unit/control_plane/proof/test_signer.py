"""What is signed is never newer than its readers were said to be."""

from datetime import UTC, datetime
from uuid import UUID

import pytest
from attrs import field, frozen
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from control_plane.errors import StatementLevelError
from control_plane.proof.signer import Signer
from shared.canonical_json import InvalidDocumentError
from shared.statement import ConnectionApproval, OperatorRemoval, Statement
from shared.statement_level import OLDEST_LEVEL, since

AT = datetime(2030, 1, 1, tzinfo=UTC)
SIGNER = Signer(Ed25519PrivateKey.generate())
REMOVAL = OperatorRemoval(name="alice", removed_by="root", removed_at=AT, generation=1)


@frozen
class Newer:
    """What came with level 3."""

    said: bool = field(default=False, metadata=since(3))


def approval(document: str) -> ConnectionApproval:
    """Return an approval of these bytes."""
    return ConnectionApproval(
        connection_id=UUID(int=1),
        document=document,
        fingerprint="",
        approved_by="alice",
        approved_at=AT,
        generation=1,
    )


@pytest.mark.parametrize("statement", [REMOVAL, approval("{}")])
def test_nothing_is_signed_that_readers_do_not_understand(statement: Statement) -> None:
    """It would be refused by a facade, which then withdraws what it served."""
    with pytest.raises(StatementLevelError, match="CONTROL_PLANE_STATEMENT_LEVEL=1 once every"):
        SIGNER.writing(OLDEST_LEVEL - 1).sign(statement)


def test_the_document_of_an_approval_is_read_for_its_level() -> None:
    """It stands in the statement as bytes, and a facade reads them too."""
    with pytest.raises(InvalidDocumentError):
        SIGNER.sign(approval("{}"))


def test_what_is_allowed_is_signed() -> None:
    """The level that was said, and those below it."""
    signer = SIGNER.writing(OLDEST_LEVEL)
    assert signer.verify(signer.sign(REMOVAL)) == REMOVAL
    signer.writing(3).require_level(Newer(said=True))
    signer.writing(2).require_level(Newer())
    with pytest.raises(StatementLevelError, match="level 3"):
        signer.writing(2).require_level(Newer(said=True))


def test_a_signer_keeps_its_level_with_further_keys() -> None:
    """Whoever follows another key writes no newer statements by it."""
    signer = SIGNER.writing(OLDEST_LEVEL - 1).believing({})
    with pytest.raises(StatementLevelError):
        signer.sign(REMOVAL)
