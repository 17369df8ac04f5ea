"""Where PostgreSQL's messages begin and end, in whichever pieces they come."""

import itertools
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.postgres.message_frames import MessageFrames, NoMessageError

MOST = 100
messages = st.builds(
    lambda kind, content: bytes([kind]) + (len(content) + 4).to_bytes(4) + content,
    st.integers(0, 255),
    st.binary(max_size=MOST - 4),
)


def pieces(content: bytes, cuts: list[int]) -> Iterator[bytes]:
    """Cut it in these places, of which some may be behind its end."""
    places = sorted({0, len(content), *(each % (len(content) + 1) for each in cuts)})
    for begin, end in itertools.pairwise(places):
        yield content[begin:end]


def refused_at(content: bytes, cuts: list[int]) -> int | None:
    """Return within how many bytes it was refused; None if it was followed to its end."""
    frames, followed = MessageFrames(), 0
    for piece in pieces(content, cuts):
        try:
            frames.follow(piece, MOST)
        except NoMessageError:
            return followed + len(piece)
        followed += len(piece)
    return None


@given(st.lists(messages), st.lists(st.integers(0, 10_000)))
def test_whole_messages_are_followed(sent: list[bytes], cuts: list[int]) -> None:
    """However they are cut."""
    assert refused_at(b"".join(sent), cuts) is None


@given(
    st.lists(messages),
    st.one_of(st.integers(-(2**31), 3), st.integers(MOST + 1, 2**31 - 1)),
    st.binary(),
    st.lists(st.integers(0, 10_000)),
)
def test_a_length_that_cannot_be_is_refused(
    before: list[bytes], length: int, behind: bytes, cuts: list[int]
) -> None:
    """In the piece in which it becomes known, and not before."""
    head = b"".join(before) + b"D" + length.to_bytes(4, signed=True)
    at = refused_at(head + behind, cuts)
    assert at is not None
    assert at >= len(head)
    assert refused_at(head[:-1], cuts) is None


@given(st.binary(), st.lists(st.integers(0, 10_000)))
def test_any_pieces_are_the_same_messages(content: bytes, cuts: list[int]) -> None:
    """What is refused does not depend on how it is cut."""
    assert (refused_at(content, cuts) is None) == (refused_at(content, []) is None)


def test_it_is_said_which() -> None:
    """Too short is no message; too long is more than was asked for."""
    with pytest.raises(NoMessageError, match="does not speak"):
        MessageFrames().follow(bytes(5), MOST)
    with pytest.raises(NoMessageError, match="announces more"):
        MessageFrames().follow(b"D\x7f\xff\xff\xff", MOST)
