"""What notifications name is bounded in bytes, whatever they name and however often."""

import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from facade.approvals.noted_subjects import (
    DEVICES,
    MAX_NOTED_BYTES,
    MAX_PENDING_SUBJECTS,
    NotedSubjects,
)
from facade.approvals.statement_rows import MAX_SUBJECT_BYTES

NAMES = st.one_of(
    st.text(max_size=60), st.none(), st.integers(), st.just("x" * (MAX_SUBJECT_BYTES + 1))
)


def test_a_storm_costs_some_mib() -> None:
    """A hundred thousand names of 4 KB were kept: 428 MiB."""
    noted = NotedSubjects()
    tracemalloc.start()
    try:
        for number in range(30_000):
            noted.note(f"{number:0{MAX_SUBJECT_BYTES}}")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2 * MAX_NOTED_BYTES
    assert noted.is_too_much


@given(st.lists(NAMES, max_size=20))
def test_a_name_is_read_or_everything_is_compared(names: list[object]) -> None:
    """Nothing that was named is lost."""
    noted = NotedSubjects()
    for name in names:
        noted.note(name)
    usable = {each for each in names if isinstance(each, str) and 0 < len(each.encode()) <= 4096}
    if usable == set(names):
        assert not noted.is_too_much
        assert set(noted.take() or []) == usable
        assert noted.take() == []
    else:
        assert noted.is_too_much


def test_of_too_much_devices_are_read_and_the_rest_is_left_to_the_comparison() -> None:
    """A revocation does not wait for it."""
    noted = NotedSubjects()
    for number in range(MAX_PENDING_SUBJECTS):
        noted.note(f"connection/{number}")
    noted.note("device/revoked")
    assert noted.is_too_much
    taken = noted.take()
    assert taken == ["device/revoked"]
    assert all(name.startswith(DEVICES) for name in taken)
    for number in range(MAX_PENDING_SUBJECTS + 1):
        noted.note(f"device/{number}")
    assert noted.take() is None
    noted.clear()
    assert noted.take() == []
