"""How the load generators read the head of an answer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.bench.load.answer import MAX_HEAD_BYTES, Head, WrongAnswerError

ANSWER = b"HTTP/1.1 200 OK\r\nServer: x\r\nCONTENT-length:  12\r\n\r\n"


def test_a_head_says_where_the_body_begins() -> None:
    """What was read behind it is body."""
    assert Head.parse(ANSWER + b"body") == Head(200, 12, len(ANSWER))


@given(st.integers(min_value=0, max_value=len(ANSWER) - 1))
def test_a_head_that_is_not_whole_is_waited_for(count: int) -> None:
    """Wherever it breaks off."""
    assert Head.parse(ANSWER[:count]) is None


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 two\r\nContent-Length: 1\r\n\r\n",
        b"HTTP/1.1\r\nContent-Length: 1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length\r\n\r\n",
        b" " * (MAX_HEAD_BYTES + 1),
    ],
)
def test_what_cannot_be_measured_is_refused(head: bytes) -> None:
    """An answer without a length could not be checked."""
    with pytest.raises(WrongAnswerError):
        Head.parse(head)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_head_or_not_yet_or_refused(received: bytes) -> None:
    """A server that speaks nonsense ends a measure with words."""
    try:
        head = Head.parse(received + b"\r\n\r\n")
    except WrongAnswerError:
        return
    assert head is None or head.size <= len(received) + 4


@pytest.mark.parametrize("head", [Head(404, 12, 0), Head(200, 11, 0), Head(206, 12, 0)])
def test_only_the_whole_content_is_right(head: Head) -> None:
    """A short answer is no fast answer."""
    Head(200, 12, 0).require(12)
    with pytest.raises(WrongAnswerError):
        head.require(12)
