"""A position is believed if the statement key signed it for this very target."""

from datetime import UTC, datetime

import pytest
from attrs import evolve
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from control_plane.proof.signer import Signer
from control_plane.webhooks.position import (
    MAX_GAPS,
    TYPE,
    TYPE_OFF,
    EventGap,
    GapReason,
    TargetOff,
    WebhookPosition,
    position_of,
    sign_position,
)
from control_plane.webhooks.standing import Standing
from shared.statement import (
    AuditEntry,
    StatementRefusedError,
    StoredStatement,
    UnknownTypeError,
    verify,
)

SIGNER = Signer(Ed25519PrivateKey.generate())
AT = datetime(2026, 11, 29, tzinfo=UTC)
GAP = EventGap(0, 7, GapReason.NEW)
POSITION = WebhookPosition("pager", 7, "ab" * 32, AT, {"3": "cd" * 32, "10": "ef" * 32}, (GAP,))


def test_a_position_comes_back_whole() -> None:
    """With what waits, in the order of the log, and what nobody was told of."""
    read = position_of(sign_position(POSITION, SIGNER), "pager", SIGNER)
    assert read == POSITION
    assert [place.sequence for place in read.waiting_places] == [3, 10]


def test_a_position_of_a_target_that_is_off_is_of_a_type_of_its_own() -> None:
    """Programs that know no target that is off do not take it for one that is on."""
    off = evolve(POSITION, off=TargetOff(Standing.GONE, AT))
    stored = sign_position(off, SIGNER)
    read = position_of(stored, "pager", SIGNER)
    assert read == off
    assert read.off is not None
    assert read.off.standing.is_off
    assert {stored.type, sign_position(POSITION, SIGNER).type} == {TYPE_OFF, TYPE}
    with pytest.raises(StatementRefusedError):
        position_of(evolve(stored, type=TYPE), "pager", SIGNER)


def test_a_position_of_another_target_or_key_is_refused() -> None:
    """Whoever copies rows has gained nothing."""
    stored = sign_position(POSITION, SIGNER)
    with pytest.raises(StatementRefusedError):
        position_of(stored, "other", SIGNER)
    with pytest.raises(StatementRefusedError):
        position_of(stored, "pager", Signer(Ed25519PrivateKey.generate()))


def test_a_position_is_no_statement_and_a_statement_no_position() -> None:
    """The same key signs both; the type is part of what is signed."""
    stored = sign_position(POSITION, SIGNER)
    with pytest.raises(UnknownTypeError):
        verify(stored, SIGNER.public_keys)
    entry = AuditEntry(7, "", AT, "alice", "connection.approve", "connection/x")
    signed = SIGNER.sign(entry)
    forged = StoredStatement(stored.type, signed.key_id, stored.payload, signed.signature)
    for each in (signed, forged):
        with pytest.raises(StatementRefusedError):
            position_of(each, "pager", SIGNER)


@given(st.integers(0, 10_000), st.integers(0, 255))
def test_any_changed_byte_is_refused(place: int, byte: int) -> None:
    """The payload's and the signature's."""
    stored = sign_position(POSITION, SIGNER)
    for name in ("payload", "signature"):
        whole = bytearray(getattr(stored, name))
        if whole[place % len(whole)] == byte:
            continue
        whole[place % len(whole)] = byte
        with pytest.raises(StatementRefusedError):
            position_of(
                StoredStatement(
                    stored.type,
                    stored.key_id,
                    bytes(whole) if name == "payload" else stored.payload,
                    bytes(whole) if name == "signature" else stored.signature,
                ),
                "pager",
                SIGNER,
            )


@given(st.binary(max_size=300))
def test_any_signed_bytes_are_a_position_or_refused(payload: bytes) -> None:
    """A version of this program that comes later may write other fields."""
    stored = SIGNER.sign_record("webhook-position/1", payload)
    with pytest.raises(StatementRefusedError):
        position_of(stored, "pager", SIGNER)


@given(
    st.lists(
        st.tuples(st.integers(0, 1000), st.integers(1, 50), st.sampled_from(GapReason)),
        max_size=40,
    )
)
def test_gaps_are_bounded_and_none_is_forgotten(gaps: list[tuple[int, int, GapReason]]) -> None:
    """With too many, one says more than is missing, and never less."""
    position = evolve(POSITION, gaps=())
    for after, count, reason in gaps:
        position = position.with_gap(EventGap(after, after + count, reason))
    assert len(position.gaps) <= MAX_GAPS
    for after, count, _ in gaps:
        assert any(each.after <= after and after + count <= each.up_to for each in position.gaps)
    for each in position.gaps:
        position = position.without_gap(each)
    assert position.gaps == ()
