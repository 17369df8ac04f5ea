"""A head that frames its body twice is read in one way, or left to the parser to refuse."""

from hypothesis import given
from hypothesis import strategies as st

from shared.upstream.head import END_OF_HEAD, framed_once

STATUS = b"HTTP/1.1 200 OK\r\n"
LENGTHS = st.sampled_from([b"0", b"10", b"10 ", b"010", b"11", b"+10", b"", b"10, 10", b"10,11"])
CODINGS = st.sampled_from([b"chunked", b"Chunked ", b"identity", b"gzip", b"gzip, chunked", b""])
LINES = st.one_of(
    LENGTHS.map(lambda value: b"Content-Length: " + value),
    LENGTHS.map(lambda value: b"content-length:" + value),
    CODINGS.map(lambda value: b"Transfer-Encoding: " + value),
    st.sampled_from([b"Content-Type: a/b", b"X-Content-Length: 3", b"X: y", b" folded"]),
)


@given(lines=st.lists(LINES, max_size=6), end=st.sampled_from([b"\r\n", b"\n"]))
def test_what_is_changed_frames_its_body_once(lines: list[bytes], end: bytes) -> None:
    """And is otherwise the same, line by line."""
    head = end.join([STATUS.strip(), *lines, b"", b""])
    framed = framed_once(head)
    assert END_OF_HEAD.search(framed) is not None
    if framed is head:
        return
    lengths = [line for line in _lines(framed) if line.lower().startswith(b"content-length")]
    codings = [line for line in _lines(framed) if line.lower().startswith(b"transfer-enc")]
    assert (len(lengths) == 1) != bool(codings)
    assert all(line.split(b":")[1].strip() in {b"0", b"10", b"010", b"11"} for line in lengths)
    assert not codings or codings[-1].lower().rstrip().endswith(b"chunked")
    assert _others(framed) == _others(head)


@given(head=st.binary(max_size=200))
def test_any_bytes_are_given_to_the_parser(head: bytes) -> None:
    """What is no head stays as it is."""
    for each in (head, STATUS + head, STATUS + b"Content-Length: 1\r\n" + head + b"\r\n\r\n"):
        framed = framed_once(each)
        assert framed is each or b"Content-Length: " in framed or b"ncoding" in framed


def _lines(head: bytes) -> list[bytes]:
    return head.replace(b"\r", b"").split(b"\n")


def _others(head: bytes) -> list[bytes]:
    framing = (b"content-length", b"transfer-enc")
    return [line for line in _lines(head) if not line.lower().startswith(framing)]
