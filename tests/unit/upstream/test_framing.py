"""What is counted of a host's framing."""

from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.upstream.framing import (
    CHUNKED_SLICE_BYTES,
    FRAMED_SLICE_BYTES,
    MAX_FRAMING_BYTES,
    MAX_HEADS_BYTES,
    MAX_INTERIM_ANSWERS,
    ChunkedBody,
    Heads,
    PlainBody,
    TooMuchFramingError,
)

# Slices of a body: how many bytes each has, and how many of them are payload.
SLICES = st.lists(
    st.integers(1, 40_000).flatmap(lambda size: st.tuples(st.just(size), st.integers(0, size))),
    max_size=30,
)


@given(slices=SLICES)
def test_a_body_has_at_most_so_much_more_framing_than_payload(
    slices: list[tuple[int, int]],
) -> None:
    """Whatever the slices: at the first one that is too much, and not before."""
    body = ChunkedBody(0)
    payloads = list(accumulate(payload for _, payload in slices))
    framings = list(accumulate(size - payload for size, payload in slices))
    for (size, _), payload, framing in zip(slices, payloads, framings, strict=True):
        body.take(size)
        if framing > payload + MAX_FRAMING_BYTES:
            with pytest.raises(TooMuchFramingError):
                body.account(payload)
            return
        body.account(payload)


@given(slices=SLICES, beginning=st.integers(0, 1_000_000), every=st.integers(1, 5))
def test_all_framing_is_told_once(
    slices: list[tuple[int, int]], beginning: int, every: int
) -> None:
    """Also if several slices were taken meanwhile, and some payload was there at the beginning."""
    body = ChunkedBody(beginning)
    told, payload, framing = 0, beginning, 0
    for index, (size, of_it) in enumerate(slices, start=1):
        body.take(size)
        payload, framing = payload + of_it, framing + size - of_it
        if index % every == 0 and framing <= MAX_FRAMING_BYTES:
            told += body.account(payload)
            assert told == framing


def test_slices_are_small_as_long_as_much_of_them_is_framing() -> None:
    """A slice is parsed in one go."""
    body = ChunkedBody(0)
    assert body.slice_bytes == FRAMED_SLICE_BYTES
    body.take(4096)
    body.account(4080)
    assert body.slice_bytes == CHUNKED_SLICE_BYTES
    body.take(16_000)
    body.account(4080 + 14_000)
    assert body.slice_bytes == FRAMED_SLICE_BYTES
    body.account(4080 + 14_000)  # nothing new
    assert body.slice_bytes == FRAMED_SLICE_BYTES


@given(sizes=st.lists(st.integers(1, 20_000), max_size=50))
def test_heads_have_at_most_so_many_bytes(sizes: list[int]) -> None:
    """All of them together, up to the final one."""
    heads = Heads()
    for size, received in zip(sizes, accumulate(sizes), strict=True):
        if received > MAX_HEADS_BYTES:
            with pytest.raises(TooMuchFramingError):
                heads.take(size)
            return
        heads.take(size)


def test_so_many_interim_answers_are_taken_and_no_more() -> None:
    """Of one request."""
    heads = Heads()
    for _ in range(MAX_INTERIM_ANSWERS):
        heads.take_interim()
    with pytest.raises(TooMuchFramingError):
        heads.take_interim()


def test_a_plain_body_is_parsed_as_it_comes() -> None:
    """Nothing of it is framing."""
    body = PlainBody(10)
    body.take(4)
    assert body.slice_bytes == 6
    assert PlainBody.until_closed().slice_bytes == float("inf")
