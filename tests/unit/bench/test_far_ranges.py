"""Which ranges a lazy puller asks for."""

from hypothesis import given
from hypothesis import strategies as st

from tests.bench.measures.far_ranges import FAR_BYTES, FAR_RANGES, cases


@given(st.integers(min_value=100, max_value=2**40))
def test_far_ranges_lie_apart_and_within_the_blob(length: int) -> None:
    """None of them at its beginning; and two bytes, which are."""
    two, five = cases(length)
    assert two.ranges == [(0, 1)]
    assert len(five.ranges) == FAR_RANGES
    ends = [0, *(last + 1 for _, last in five.ranges)]
    assert all(first >= end for (first, _), end in zip(five.ranges, ends, strict=False))
    assert five.ranges[0][0] > 0
    assert five.ranges[-1][1] < length
    assert all(last - first + 1 <= FAR_BYTES for first, last in five.ranges)
