"""How the range-parallel client divides a blob, and which answers it takes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.bench.load.answer import Head, WrongAnswerError
from tests.bench.load.ranges import spans_of

ANSWER = (
    b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 4-15/20\r\nContent-Length: 12\r\n\r\n"
)


@given(st.integers(min_value=1, max_value=10_000), st.integers(min_value=1, max_value=10_000))
def test_the_ranges_of_a_blob_are_all_of_it(length: int, range_bytes: int) -> None:
    """In order, without a gap, and no byte twice."""
    spans = spans_of(length, range_bytes)
    assert [byte for each in spans for byte in range(each.first, each.last + 1)] == [*range(length)]
    assert all(each.length <= range_bytes for each in spans)


def test_a_range_that_was_asked_for_is_right() -> None:
    """Status, place and length."""
    head = Head.parse(ANSWER)
    assert head is not None
    head.require_range(4, 15, 20)


@pytest.mark.parametrize(
    "head",
    [
        ANSWER.replace(b"206", b"200"),
        ANSWER.replace(b"4-15", b"3-14"),
        ANSWER.replace(b"/20", b"/21"),
        ANSWER.replace(b"Length: 12", b"Length: 11"),
        ANSWER.replace(b"Content-Range: bytes 4-15/20\r\n", b""),
    ],
)
def test_another_range_counts_as_failed(head: bytes) -> None:
    """Its bytes would be put where they do not belong."""
    parsed = Head.parse(head)
    assert parsed is not None
    with pytest.raises(WrongAnswerError):
        parsed.require_range(4, 15, 20)
