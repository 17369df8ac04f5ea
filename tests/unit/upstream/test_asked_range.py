"""What of a content is asked for, as a request says it."""

import pytest

from shared.upstream.asked_range import THE_FIRST_BYTE, WHOLE, AskedRange


@pytest.mark.parametrize(
    "asked, header",
    [
        (WHOLE, None),
        (AskedRange(0, None), None),
        (THE_FIRST_BYTE, "bytes=0-0"),
        (AskedRange(0, 9), "bytes=0-9"),
        (AskedRange(5), "bytes=5-"),
        (AskedRange(5, 9), "bytes=5-9"),
        (AskedRange.of_the_end(1), "bytes=-1"),
    ],
)
def test_a_range_is_named_as_rfc_9110_has_it(asked: AskedRange, header: str | None) -> None:
    """Everything has no header, also where its first byte is named."""
    assert asked.header == header
    assert asked.is_whole is (header is None)


def test_where_a_range_begins_may_depend_on_the_length() -> None:
    """What begins with the first byte is one question, whoever asks it."""
    assert all(each.is_from_the_first_byte for each in (WHOLE, THE_FIRST_BYTE, AskedRange(0, 9)))
    behind = AskedRange(5), AskedRange(5, 9), AskedRange.of_the_end(1)
    assert not any(each.is_from_the_first_byte for each in behind)
