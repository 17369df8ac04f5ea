"""Connections counted at any moment, against counting them one by one."""

import datetime as dt
from collections import Counter
from typing import Any

import attrs
from hypothesis import given
from hypothesis import strategies as st

from facade.approvals.connection_census import ConnectionCensus, counted, sealed_to
from shared.approved_connection import ApprovedConnection, approved_connection
from tests.support.statement_writer import StatementWriter

NOW = dt.datetime(2026, 11, 29, tzinfo=dt.UTC)
WRITERS = [StatementWriter("") for _ in range(2)]  # each seals to a key of its own
ENDS = [None, *(NOW + dt.timedelta(seconds=seconds) for seconds in (-2, -1, 0, 1, 2))]


def connection(end: dt.datetime | None, sealed_by: int | None) -> ApprovedConnection:
    """Return an approved connection; with no secret if nobody sealed one."""
    secret: dict[str, Any] = {} if sealed_by is None else {"username": "robot", "token": "token"}
    writer = WRITERS[sealed_by or 0]
    approval = writer.approval("registry.example", **secret)
    return attrs.evolve(approved_connection(approval), expires_at=end)


POOL = [connection(end, sealed_by) for end in ENDS for sealed_by in (None, 0, 1)]


@given(st.lists(st.tuples(st.sampled_from(POOL), st.booleans())), st.sampled_from(ENDS[1:]))
def test_it_counts_what_was_added_and_not_removed(
    steps: list[tuple[ApprovedConnection, bool]], moment: dt.datetime | None
) -> None:
    """Those that have ended apart, at whatever moment it is asked."""
    assert moment is not None
    census, present = ConnectionCensus(), list[ApprovedConnection]()
    for each, is_added in steps:
        if is_added:
            census.add(counted(each))
            present.append(each)
        elif each in present:
            census.remove(counted(each))
            present.remove(each)
    serving = [each for each in present if each.expires_at is None or each.expires_at > moment]
    assert +Counter(census.serving(moment)) == Counter(map(sealed_to, serving))
    assert census.ended(moment) == len(present) - len(serving)
    ends = [each.expires_at for each in serving if each.expires_at is not None]
    assert census.next_end(moment) == min(ends, default=None)
    soon = moment + dt.timedelta(seconds=1)
    assert census.ending(moment, soon) == sum(1 for end in ends if end <= soon)
