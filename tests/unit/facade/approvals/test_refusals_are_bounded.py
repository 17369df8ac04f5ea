"""Rows that are not believed cost memory and lines for so many of them, and are counted beyond."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facade.approvals.refusal_lines import LINES_A_MINUTE, RefusalLines
from facade.approvals.refused_rows import MAX_STRANGERS, MAX_STRANGERS_BYTES, WhyRefused
from facade.approvals.row_change import RowOutcome
from facade.approvals.snapshot import Snapshot
from facade.approvals.verified_row import RefusedRow, StatementRow, verify_row
from shared.keys import key_id
from shared.statement import ConnectionApproval, StoredStatement
from tests.support.clock import Clock
from tests.support.statement_writer import StatementWriter

FORGED = StoredStatement("device-revocation/1", "0" * 16, b"{}", bytes(64))
WRITER = StatementWriter("")
KEYS = {key_id(WRITER.statement_key.public_key()): WRITER.statement_key.public_key()}


def read(snapshot: Snapshot, subject: str, stored: StoredStatement = FORGED) -> RowOutcome:
    """Have the snapshot read a row."""
    return snapshot.apply(verify_row(StatementRow(subject, stored), KEYS)).outcome


@given(
    st.text(max_size=80),
    st.builds(
        StoredStatement,
        st.sampled_from(["", "connection-approval/1", "device-revocation/1", "operator/1"]),
        st.sampled_from(["", *KEYS]),
        st.binary(max_size=200) | st.just(b"{}"),
        st.binary(max_size=70),
    ),
)
def test_any_row_is_refused_in_words(subject: str, stored: StoredStatement) -> None:
    """Nobody who has no key is believed, and nothing else is ever raised."""
    candidate = verify_row(StatementRow(subject, stored), KEYS)
    assert isinstance(candidate, RefusedRow)
    assert candidate.reason


@pytest.mark.parametrize(
    "length, known", [(20, MAX_STRANGERS), (4000, MAX_STRANGERS_BYTES // 4000)]
)
def test_strangers_beyond_the_bound_are_counted_and_not_kept(length: int, known: int) -> None:
    """Whoever writes in the database invents as many as he likes."""
    snapshot = Snapshot()
    rows = snapshot.refused_rows
    rows.begin_comparison()
    for number in range(known + 7):
        read(snapshot, f"device/{number:0{length - len('device/')}}")
    rows.end_comparison(nameless=3)
    assert rows.of_devices.total() == len(rows.subjects()) == known
    assert rows.beyond == {WhyRefused.UNKNOWN_KEY: 7, WhyRefused.MALFORMED: 3}
    assert rows.lacks_key
    for subject in list(rows.subjects()):
        snapshot.vanish(subject)
    rows.begin_comparison()
    rows.end_comparison(nameless=0)
    assert rows.beyond.total() == rows.of_devices.total() == 0
    assert read(snapshot, "device/new") is RowOutcome.REFUSED  # there is room again


def test_what_was_believed_is_withdrawn_however_many_strangers_there_are() -> None:
    """Else a flood would keep a revoked connection served."""
    snapshot = Snapshot()
    approval: ConnectionApproval = WRITER.approval("registry.example")
    assert read(snapshot, approval.subject, WRITER.sign(approval)) is RowOutcome.ACCEPTED
    for number in range(MAX_STRANGERS + 1):
        read(snapshot, f"device/{number}")
    assert read(snapshot, approval.subject) is RowOutcome.REFUSED
    assert snapshot.serving(approval.subject) is None


def test_a_minute_has_so_many_lines_and_then_one_for_the_rest() -> None:
    """The disk of the log is not filled; nobody is left to believe that there were no more."""
    clock = Clock()
    lines = RefusalLines(clock)
    told = sum(lines.may_tell() for _ in range(LINES_A_MINUTE + 50))
    assert told == LINES_A_MINUTE
    assert lines.take_untold() == 0
    clock.advance(60)
    assert lines.take_untold() == 50
    assert lines.take_untold() == 0
    assert lines.may_tell()
