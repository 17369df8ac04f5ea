"""Ranges as RFC 9110 section 14 has them, against a slow and obvious oracle."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facade.values.byte_range import ByteRange, Span, UnsatisfiableRangeError

LENGTH = 100


@pytest.mark.parametrize(
    "header,first,count",
    [
        ("bytes=0-", 0, 100),
        ("bytes=0-0", 0, 1),
        ("bytes=10-19", 10, 10),
        ("bytes=90-200", 90, 10),
        ("bytes=99-", 99, 1),
        ("bytes=-1", 99, 1),
        ("bytes=-100", 0, 100),
        ("bytes=-999", 0, 100),
        ("BYTES= 5-6 ", 5, 2),
    ],
)
def test_one_range_is_a_span(header: str, first: int, count: int) -> None:
    """What is behind the end is cut off."""
    asked = ByteRange.parse(header)
    assert asked is not None
    assert asked.span(LENGTH) == Span(first, count, LENGTH)


@pytest.mark.parametrize(
    "header",
    ["", "bytes", "bytes=", "bytes=-", "bytes=5-4", "bytes=0-1,3-4", "items=0-1", "bytes=a-b",
     "bytes=0x1-2", "bytes=+1-2", "bytes=1--2", "bytes=٣-", "bytes=" + "9" * 19 + "-"],
)  # fmt: skip
def test_what_is_no_single_range_is_ignored(header: str) -> None:
    """The answer is then the whole blob (RFC 9110 section 14.2)."""
    assert ByteRange.parse(header) is None


@pytest.mark.parametrize("header", ["bytes=100-", "bytes=100-200", "bytes=-0"])
def test_a_range_behind_the_end_is_unsatisfiable(header: str) -> None:
    """It is answered 416."""
    asked = ByteRange.parse(header)
    assert asked is not None
    with pytest.raises(UnsatisfiableRangeError):
        asked.span(LENGTH)


def test_content_range_counts_from_zero_and_includes_the_last() -> None:
    """RFC 9110 section 14.4."""
    assert Span(10, 5, 100).content_range == "bytes 10-14/100"


@given(
    first=st.none() | st.integers(0, 40),
    last=st.none() | st.integers(0, 40),
    length=st.integers(0, 30),
)
def test_a_span_is_what_slicing_gives(first: int | None, last: int | None, length: int) -> None:
    """The oracle walks over every byte."""
    asked = ByteRange.parse(
        f"bytes={'' if first is None else first}-{'' if last is None else last}"
    )
    if asked is None:
        assert (first is None and last is None) or (
            first is not None and last is not None and last < first
        )
        return
    if first is None:
        wanted = [at for at in range(length) if at >= length - (last or 0)]
    else:
        wanted = [at for at in range(length) if at >= first and (last is None or at <= last)]
    try:
        span = asked.span(length)
    except UnsatisfiableRangeError:
        assert not wanted
    else:
        assert list(range(span.first, span.end)) == wanted


@given(st.text())
def test_any_header_is_a_range_or_ignored(header: str) -> None:
    """A device may send what it likes."""
    assert ByteRange.parse(header) is None or header.lower().startswith("bytes=")
