"""What a row claims before it is verified, against what it says once it is."""

from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import orjson
from hypothesis import example, given
from hypothesis import strategies as st

from facade.approvals.claims import ClaimedPlace, EndClaim, RowClaim, ServingClaim, claim_of
from facade.approvals.connection_census import ConnectionCensus, counted
from facade.approvals.connection_index import WHOLE_HOST
from facade.approvals.verified_row import StatementRow, VerifiedRow, verify_row
from shared.keys import key_id
from shared.oci import RepositoryName
from shared.statement import ConnectionApproval, Statement, StoredStatement
from tests.support.statement_writer import StatementWriter

WRITER = StatementWriter("")
KEYS = {key_id(WRITER.statement_key.public_key()): WRITER.statement_key.public_key()}
WITH_SECRET: dict[str, Any] = {"username": "robot", "token": "token"}


def row_of(statement: Statement) -> StatementRow:
    """Return the statement's row."""
    return StatementRow(statement.subject, WRITER.sign(statement))


@given(
    host=st.sampled_from(["registry.example", "registry.example:5000", "10.0.0.1"]),
    prefix=st.sampled_from([None, "team", "team/models"]),
    expires_in=st.sampled_from([None, timedelta(seconds=-1), timedelta(days=3)]),
    secret=st.sampled_from([{}, WITH_SECRET]),
)
def test_what_a_genuine_approval_claims_is_what_it_says(
    host: str, prefix: str | None, expires_in: timedelta | None, secret: dict[str, Any]
) -> None:
    """Otherwise a pull would not find it before it is verified, or the census would jump."""
    scope = None if prefix is None else RepositoryName.parse(prefix)
    approval = WRITER.approval(host, expires_in=expires_in, repository_prefix=scope, **secret)
    place = ClaimedPlace(host, WHOLE_HOST if prefix is None else prefix)
    row = row_of(approval)
    verified = verify_row(row, KEYS)
    assert isinstance(verified, VerifiedRow)
    assert verified.connection is not None
    assert claim_of(row, KEYS) == ServingClaim(place, counted(verified.connection))


def test_only_what_ends_something_claims_nothing() -> None:
    """A lifting waits for nothing: until it is believed, a device is cut off."""
    approval = WRITER.approval("registry.example")
    assert claim_of(row_of(WRITER.revocation(approval.connection_id)), KEYS) == EndClaim()
    revocation = WRITER.device_revocation("press-7")
    assert claim_of(row_of(revocation), KEYS) == EndClaim()
    assert claim_of(row_of(WRITER.device_lifting(revocation)), KEYS) is None


def test_a_row_of_an_unknown_key_does_not_wait() -> None:
    """So a facade that has a wrong statement key says so as soon as it is ready."""
    assert claim_of(row_of(WRITER.approval("registry.example")), set()) is None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["document", "expires_at", "host", "secret", "key_id", "suite"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)


@given(
    outer=json_values,
    inner=json_values,
    expires_at=st.sampled_from([None, 7, "", "0001-01-01T00:00:00Z", "9999-12-31", "2026-13-01"]),
)
def test_any_json_claims_something_or_nothing(
    outer: object, inner: object, expires_at: object
) -> None:
    """And nothing is ever raised."""
    approval = {"document": orjson.dumps(inner).decode(), "expires_at": expires_at}
    for value in (outer, approval):
        read(orjson.dumps(value))


@given(moment=st.datetimes(timezones=st.just(UTC)), hours=st.integers(-23, 23))
@example(moment=datetime(9999, 12, 31, 23, tzinfo=UTC), hours=-23)
@example(moment=datetime(1, 1, 1, tzinfo=UTC), hours=23)
def test_whatever_end_is_claimed_can_be_counted(moment: datetime, hours: int) -> None:
    """By a clock west of ours, the year 9999 ends in a year that has no name."""
    said = f"{moment.replace(tzinfo=None).isoformat()}{hours:+03}:00"
    document = orjson.dumps({"host": "registry.example"}).decode()
    claim = read(orjson.dumps({"document": document, "expires_at": said}))
    census = ConnectionCensus()
    if isinstance(claim, ServingClaim):
        census.add(claim.counted)
    for now in (datetime(1970, 1, 1, tzinfo=UTC), datetime(2026, 11, 30, tzinfo=UTC)):
        end = census.next_end(now)
        assert end is None or end > now


@given(st.binary(max_size=200))
def test_any_bytes_claim_something_or_nothing(payload: bytes) -> None:
    """A disk that rots, or whoever writes in the folder."""
    read(payload)


def read(payload: bytes) -> RowClaim | None:
    """Return what an approval with this payload claims; a row of another type claims nothing."""
    stored = attrs.evolve(WRITER.sign(WRITER.approval("registry.example")), payload=payload)
    approval, *others = (
        StatementRow("connection/x", StoredStatement(kind, stored.key_id, payload, b""))
        for kind in (ConnectionApproval.TYPE, "connection-approval/2", "")
    )
    assert [claim_of(each, KEYS) for each in others] == [None, None]
    return claim_of(approval, KEYS)
