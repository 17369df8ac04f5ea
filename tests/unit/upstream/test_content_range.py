"""What a registry says of the part that it sends is possible, or an error."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.upstream.answer import ContentRange
from shared.upstream.errors import RangeRefusedError, UnexpectedAnswerError

texts = st.one_of(
    st.text(max_size=40),
    st.from_regex(r"bytes [0-9]{1,30}-[0-9]{1,30}/([0-9]{1,30}|\*)"),
    st.tuples(st.integers(-9, 9), st.integers(-9, 9), st.integers(-9, 9)).map(
        lambda each: f"bytes {each[0]}-{each[1]}/{each[2]}"
    ),
)


@given(texts)
def test_any_text_is_a_range_or_an_error(text: str) -> None:
    """Its numbers fit each other, however long they are."""
    try:
        found = ContentRange.parse(text)
    except (RangeRefusedError, UnexpectedAnswerError):
        return
    assert 0 <= found.first <= found.last
    assert found.total is None or found.last < found.total
    assert found.length == found.last - found.first + 1


@pytest.mark.parametrize("digits", [19, 5000])
def test_a_number_of_any_length_is_bounded(digits: int) -> None:
    """Python refuses to read one of more than 4,300 digits."""
    with pytest.raises((RangeRefusedError, UnexpectedAnswerError)):
        ContentRange.parse(f"bytes 9-{'1' * digits}/5")
