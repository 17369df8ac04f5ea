"""Several ranges as RFC 9110 section 14.2 has them, against slow and obvious oracles."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facade.values.byte_range import (
    MAX_ELEMENTS,
    MAX_OVERLAPPING,
    MAX_RANGES,
    MAX_SMALL_DESCENTS,
    SMALL_BYTES,
    ByteRanges,
    Span,
    TooManyRangesError,
    UnsatisfiableRangeError,
)

LENGTH = 100
GIB = 1024**3


def parsed(header: str) -> ByteRanges:
    """Return the ranges of a header that is not ignored."""
    ranges = ByteRanges.parse(header)
    assert ranges is not None
    return ranges


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
        ("bytes=,5-6 ,", 5, 2),
    ],
)
def test_one_range_is_one_span(header: str, first: int, count: int) -> None:
    """What is behind the end is cut off; empty elements of the list do not count."""
    (span,) = parsed(header).spans(LENGTH)
    assert (span.first, span.count, span.length) == (first, count, LENGTH)


@pytest.mark.parametrize(
    "header",
    ["", "bytes", "bytes=", "bytes=-", "bytes=5-4", "items=0-1", "bytes=a-b", "bytes =0-1",
     "bytes=0x1-2", "bytes=+1-2", "bytes=1--2", "bytes=٣-", "bytes=" + "9" * 19 + "-",
     "bytes=0-1;3-4", "bytes=0-1 3-4", "bytes=,", "bytes=0-1,x", "bytes=x,0-1", "bytes=0-1,5-4",
     "bytes=0-1,bytes=3-4", "bytes=1 -2"],
)  # fmt: skip
def test_what_is_no_range_is_ignored(header: str) -> None:
    """One malformed range makes the whole header malformed: the answer is the whole blob."""
    assert ByteRanges.parse(header) is None


def test_each_range_is_a_span_of_its_own_in_the_order_asked() -> None:
    """Neighbours and gaps of one byte, too: clients count the parts."""
    spans = parsed("bytes=50-59, 0-1,2-3 ,\t-5").spans(LENGTH)
    assert [(span.first, span.count) for span in spans] == [(50, 10), (0, 2), (2, 2), (95, 5)]
    assert len(spans) == 4
    assert not spans.is_wasteful


def test_which_of_them_name_no_end_is_known() -> None:
    """Of each, by its place among those that are answered: another one may have the same bytes."""
    spans = parsed("bytes=200-,0-1,90-,90-99").spans(LENGTH)
    assert [span.is_open for span in spans] == [False, True, False]
    assert spans.some(1, 2) == list(spans)[1:]
    assert not any(span.is_open for span in parsed("bytes=0-1,-10").spans(LENGTH))


def test_what_is_behind_the_end_is_left_out() -> None:
    """The others are answered; if there are none, it is 416."""
    ranges = parsed("bytes=0-1,100-,-0,200-300,99-")
    assert [span.first for span in ranges.spans(LENGTH)] == [0, 99]
    with pytest.raises(UnsatisfiableRangeError):
        ranges.spans(0)


def test_as_many_as_clients_ask_for_are_served_and_no_more() -> None:
    """A client that is told 400 asks again for half as many."""
    specs = [f"{first}-{first}" for first in range(0, 2 * MAX_RANGES, 2)]
    most = parsed("bytes=" + ",".join(specs)).spans(GIB)
    assert len(most) == MAX_RANGES
    assert not most.is_wasteful
    with pytest.raises(TooManyRangesError):
        ByteRanges.parse("bytes=" + ",".join([*specs, "5000-5000"]))
    assert len(parsed("bytes=" + ",,".join(specs)).asked) == MAX_RANGES


def test_too_many_are_refused_before_any_is_read() -> None:
    """So a header costs at most so many ranges, whatever it holds."""
    for element in ("x,", "1-1,", ",", " ,"):
        with pytest.raises(TooManyRangesError):
            ByteRanges.parse("bytes=" + element * MAX_ELEMENTS)
    with pytest.raises(TooManyRangesError):
        ByteRanges.parse("bytes=" + "x," * (MAX_RANGES + 1))


@pytest.mark.parametrize(
    "header",
    [
        "bytes=0-9,5-14",  # two: a client that fetched its footer before
        "bytes=0-,-10",
        "bytes=0-9,10-19,20-29",
    ],
)
def test_two_may_overlap(header: str) -> None:
    """Neighbours do not."""
    assert not parsed(header).spans(LENGTH).is_wasteful


@pytest.mark.parametrize(
    "header",
    [
        "bytes=0-9,5-14,12-20",
        "bytes=0-9,5-14,20-29,25-34",
        "bytes=0-,0-,0-",
        "bytes=0-99,1-1,3-3",
    ],
)
def test_more_than_two_that_overlap_are_wasteful(header: str) -> None:
    """They could ask for each byte of a blob a thousand times."""
    assert parsed(header).spans(LENGTH).is_wasteful


def descending(count: int, each: int) -> str:
    """Return so many ranges of `each` bytes in descending order."""
    step = 2 * each
    return "bytes=" + ",".join(
        f"{at * step}-{at * step + each - 1}" for at in range(count - 1, -1, -1)
    )


def test_many_small_ones_in_descending_order_are_wasteful() -> None:
    """A few are not, and large ones are not."""
    few, many = MAX_SMALL_DESCENTS + 1, MAX_SMALL_DESCENTS + 2  # the first one does not descend
    assert not parsed(descending(few, 1)).spans(GIB).is_wasteful
    assert parsed(descending(many, 1)).spans(GIB).is_wasteful
    assert parsed(descending(many, SMALL_BYTES - 1)).spans(GIB).is_wasteful
    assert not parsed(descending(many, SMALL_BYTES)).spans(GIB).is_wasteful


BOUNDS = st.none() | st.integers(0, 60)
RANGES = st.lists(st.tuples(BOUNDS, BOUNDS), min_size=1, max_size=30)


def bytes_of(first: int | None, last: int | None, length: int) -> list[int]:
    """Return which bytes a range names, looking at every one."""
    if first is None:
        return [at for at in range(length) if at >= length - (last or 0)]
    return [at for at in range(length) if at >= first and (last is None or at <= last)]


@given(asked=RANGES, length=st.integers(0, 50))
def test_spans_are_what_slicing_gives(
    asked: list[tuple[int | None, int | None]], length: int
) -> None:
    """The oracle walks over every byte of every range."""
    header = "bytes=" + ",".join(
        f"{'' if first is None else first}-{'' if last is None else last}" for first, last in asked
    )
    is_malformed = any(
        (first is None and last is None)
        or (first is not None and last is not None and last < first)
        for first, last in asked
    )
    ranges = ByteRanges.parse(header)
    assert (ranges is None) is is_malformed
    if ranges is None:
        return
    wanted = [found for each in asked if (found := bytes_of(*each, length))]
    if not wanted:
        with pytest.raises(UnsatisfiableRangeError):
            ranges.spans(length)
        return
    spans = ranges.spans(length)
    assert [list(range(span.first, span.end)) for span in spans] == wanted
    assert len(spans) == len(wanted)
    assert {span.length for span in spans} == {length}
    overlapping = [
        one
        for one, mine in enumerate(wanted)
        if any(one != other and set(mine) & set(theirs) for other, theirs in enumerate(wanted))
    ]
    descents = [after for before, after in pairwise(wanted) if after[0] < before[0]]
    assert spans.is_wasteful is (
        len(overlapping) > MAX_OVERLAPPING or len(descents) > MAX_SMALL_DESCENTS
    )


@given(asked=st.lists(st.tuples(st.integers(0, 10**18 - 1), st.integers(0, 10**18 - 1))))
def test_what_is_not_wasteful_is_at_most_twice_the_blob(asked: list[tuple[int, int]]) -> None:
    """Whoever asks for more than two overlapping ranges gets the blob once."""
    header = "bytes=" + ",".join(f"{min(each)}-{max(each)}" for each in asked)
    ranges = ByteRanges.parse(header)
    if ranges is not None:
        spans = ranges.spans(10**18)
        assert spans.is_wasteful or sum(span.count for span in spans) <= 2 * 10**18


@given(st.text() | st.text(alphabet="bytes=0123456789-, \t").map(lambda rest: f"bytes={rest}"))
def test_any_header_is_ranges_or_ignored_or_too_many(header: str) -> None:
    """A device may send what it likes."""
    try:
        ranges = ByteRanges.parse(header)
    except TooManyRangesError:
        assert header.count(",") >= MAX_RANGES
        return
    if ranges is not None:
        assert header.lower().startswith("bytes=")
        assert 1 <= len(ranges.asked) <= header.count(",") + 1


def test_content_range_counts_from_zero_and_includes_the_last() -> None:
    """RFC 9110 section 14.4."""
    assert Span(10, 5, 100).content_range == "bytes 10-14/100"
