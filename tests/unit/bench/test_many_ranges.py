"""How the benchmark's client takes answers with many parts apart, and which it refuses."""

from collections.abc import Iterator

import pytest

from tests.bench.load.answer import WrongAnswerError
from tests.bench.load.many_ranges import Answer, parts_of

BODY = (
    b"--b\r\nContent-Type: x/y\r\nContent-Range: bytes 0-2/9\r\n\r\n\r\n-\r\n"
    b"--b\r\ncontent-range: bytes 5-8/9\r\ncontent-type: x/y\r\n\r\nabcd\r\n--b--\r\n"
)
HEAD = (
    b"HTTP/1.1 206 Partial Content\r\nContent-Type: multipart/byteranges; boundary=b\r\n"
    b"Content-Length: %d\r\n\r\n" % len(BODY)
)


@pytest.mark.parametrize("preamble", [b"", b"\r\n"])
def test_parts_are_read_by_their_ranges(preamble: bytes) -> None:
    """A line break of theirs is no end; nginx puts one before the first."""
    parts = list(parts_of(preamble + BODY, b"b"))
    assert parts == [((0, 2, 9), b"\r\n-"), ((5, 8, 9), b"abcd")]


@pytest.mark.parametrize(
    "body", [BODY.replace(b"0-2", b"0-3"), BODY.replace(b"Content-Range", b"Content-Other")]
)
def test_other_parts_are_refused(body: bytes) -> None:
    """A longer part would be read into the next."""
    with pytest.raises(WrongAnswerError):
        list(parts_of(body, b"b"))


@pytest.mark.parametrize("keeps", [True, False])
def test_an_answer_is_received_however_it_is_cut(keeps: bool) -> None:  # noqa: FBT001 - a parameter
    """Its length counts, also if its body is not kept."""
    for size in (1, 7, 1000):
        pieces = _pieces(HEAD + BODY, size)
        answer = Answer.take(lambda: next(pieces), keeps=keeps)  # noqa: B023 - called at once
        assert (answer.boundary, answer.length) == (b"b", len(BODY))
        assert not keeps or answer.body == BODY


def test_a_whole_blob_has_no_boundary() -> None:
    """What is no multipart counts as the whole."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: x/y\r\nContent-Length: 0\r\n\r\n"
    assert Answer.take(lambda: head, keeps=True).boundary is None


def _pieces(content: bytes, size: int) -> Iterator[bytes]:
    for at in range(0, len(content), size):
        yield content[at : at + size]
    raise AssertionError("more was asked for than there is")
