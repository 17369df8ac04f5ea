"""What is made of a connection's bytes, in whatever pieces they come: in order, and bounded."""

import asyncio
from collections.abc import Iterator

import pytest
from aiohttp.base_protocol import BaseProtocol
from hypothesis import example, given
from hypothesis import strategies as st
from typing_extensions import override

from facade.devices.device_connection import MAX_HEAD_BYTES
from facade.devices.incoming_requests import (
    MAX_BODY_BYTES,
    MAX_HEADER_FIELDS,
    MAX_WAITING,
    MAX_WAITING_BYTES,
    IncomingRequest,
    IncomingRequests,
)
from tests.support.raw_http import request_bytes


class Connection(BaseProtocol):
    """Whose requests they are; it leaves a body as the real one does."""

    incoming: IncomingRequests

    @override
    def pause_reading(self) -> None:
        """Leave the body."""
        self.incoming.leave_body()


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop that never runs: aiohttp's streams want one."""
    made = asyncio.new_event_loop()
    yield made
    made.close()


def begun(loop: asyncio.AbstractEventLoop) -> IncomingRequests:
    """Return the requests of a new connection."""
    connection = Connection(loop)
    connection.incoming = IncomingRequests.of(connection, loop)
    return connection.incoming


def numbered(count: int) -> bytes:
    """Return so many requests, one behind the other."""
    return b"".join(request_bytes(b"/%d" % number) for number in range(count))


def taken(incoming: IncomingRequests) -> Iterator[IncomingRequest]:
    """Take all that waits."""
    while (one := incoming.take()) is not None:
        yield one


@given(data=st.data(), count=st.integers(1, 2 * MAX_WAITING))
def test_requests_come_in_order_whatever_pieces_they_come_in(
    loop: asyncio.AbstractEventLoop, data: st.DataObject, count: int
) -> None:
    """At most `MAX_WAITING` wait, and what the parser had to leave comes as soon as some left."""
    incoming, sent, answered = begun(loop), numbered(count), list[str]()
    while sent:
        size = data.draw(st.integers(1, len(sent)))
        incoming.feed(sent[:size])
        sent = sent[size:]
        while not incoming.wants_more:  # nothing more is read from the socket meanwhile
            one = incoming.take()
            assert one is not None
            answered.append(one.message.path)
    answered.extend(one.message.path for one in taken(incoming))
    assert answered == [f"/{number}" for number in range(count)]


def test_no_more_than_the_bound_wait(loop: asyncio.AbstractEventLoop) -> None:
    """However many come in one piece."""
    incoming = begun(loop)
    assert incoming.feed(numbered(10 * MAX_WAITING)) == MAX_WAITING
    assert not incoming.wants_more
    for _ in range(MAX_WAITING // 2):
        assert not incoming.wants_more
        assert incoming.take() is not None
    assert not incoming.wants_more  # filled up again at once, by what came before
    assert len([*taken(incoming)]) == 10 * MAX_WAITING - MAX_WAITING // 2
    assert incoming.wants_more


def with_body(size: int) -> bytes:
    """Return a request with a body, which nobody uses."""
    return request_bytes(b"/0", headers=b"Content-Length: %d\r\n" % size) + bytes(size)


def with_fields(count: int) -> bytes:
    """Return a request with so many fields of nearly the greatest length."""
    fields = (b"X-%d: %b\r\n" % (number, b"x" * 8000) for number in range(count))
    return request_bytes(b"/0", headers=b"".join(fields))


@given(
    requests=st.lists(
        st.one_of(
            st.builds(with_body, st.integers(1, MAX_BODY_BYTES)),
            st.builds(with_fields, st.integers(0, MAX_HEADER_FIELDS - 1)),
        ),
        min_size=1,
        max_size=MAX_WAITING,
    ),
    piece=st.integers(1024, 16 * 1024),
)
@example(requests=[with_body(MAX_BODY_BYTES)] * MAX_WAITING, piece=16 * 1024)
@example(requests=[with_fields(MAX_HEADER_FIELDS - 1)] * MAX_WAITING, piece=16 * 1024)
def test_no_more_bytes_than_the_bound_wait(
    loop: asyncio.AbstractEventLoop, requests: list[bytes], piece: int
) -> None:
    """However long the requests are; each is answered nevertheless."""
    incoming, sent, answered = begun(loop), b"".join(requests), 0
    while sent:
        read = 0
        while sent and incoming.wants_more:
            incoming.feed(sent[:piece])
            sent, read = sent[piece:], read + piece
        assert read <= MAX_HEAD_BYTES + MAX_WAITING_BYTES + piece
        answered += len([*taken(incoming)])
    assert answered == len(requests)
    assert incoming.wants_more


@pytest.mark.parametrize("size", [0, 1, MAX_BODY_BYTES - 1, MAX_BODY_BYTES])
def test_a_short_body_is_read_and_left(loop: asyncio.AbstractEventLoop, size: int) -> None:
    """What follows it is the next request."""
    incoming = begun(loop)
    head = request_bytes(b"/0", headers=b"Content-Length: %d\r\n" % size)
    assert incoming.feed(head + bytes(size) + request_bytes(b"/1")) == 2
    assert [one.body.is_eof() for one in taken(incoming)] == [True, True]
    assert incoming.wants_more


def test_of_a_long_body_no_more_is_read_than_the_bound(loop: asyncio.AbstractEventLoop) -> None:
    """Whoever sends it on sends it to nobody, and its request is the last one."""
    incoming, piece = begun(loop), bytes(16 * 1024)
    incoming.feed(request_bytes(b"/0", headers=b"Content-Length: %d\r\n" % 2**40))
    assert not incoming.is_newest_whole
    fed = 0
    while incoming.wants_more:
        incoming.feed(piece)
        fed += len(piece)
    assert fed == MAX_BODY_BYTES + len(piece)
    one = incoming.take()
    assert one is not None
    assert not one.body.is_eof()
    assert not incoming.wants_more


def test_behind_a_body_in_chunks_nothing_is_read(loop: asyncio.AbstractEventLoop) -> None:
    """Its trailers would be fields of the request behind it, whose answer would be another one."""
    incoming = begun(loop)
    head = request_bytes(b"/0", headers=b"Transfer-Encoding: chunked\r\n")
    body = b"3\r\nabc\r\n0\r\nRange: bytes=0-1\r\n\r\n"
    assert incoming.feed(head + body + request_bytes(b"/1")) == 1
    assert not incoming.wants_more
    [only] = taken(incoming)
    assert (only.message.path, only.message.should_close) == ("/0", True)
    assert incoming.feed(request_bytes(b"/1")) == 0
    assert not incoming.wants_more


def test_behind_what_is_no_http_nothing_is_read(loop: asyncio.AbstractEventLoop) -> None:
    """What came in a piece before it is still answered; the refusal quotes nothing of it."""
    incoming = begun(loop)
    incoming.feed(request_bytes(b"/0"))
    incoming.feed(b"Authorization : Bearer canary\r\n\r\n")
    good, refused = taken(incoming)
    assert (good.refused, good.message.path) == (None, "/0")
    assert refused.refused is not None
    assert (refused.message.path, refused.message.should_close) == ("/", True)
    assert incoming.feed(request_bytes(b"/1")) == 0
    assert not incoming.wants_more


@pytest.mark.parametrize(
    "behind",
    [b"nonsense\r\n\r\n", request_bytes(b"/2", headers=b"Content-Length: x\r\n")],
    ids=["no request", "a wrong length"],
)
def test_what_came_before_it_in_the_same_piece_is_answered(
    loop: asyncio.AbstractEventLoop, behind: bytes
) -> None:
    """So an answer does not depend on how a network cuts what was sent."""
    incoming = begun(loop)
    assert incoming.feed(with_body(7) + request_bytes(b"/1") + behind) == 3
    paths = [(one.message.path, one.refused is None) for one in taken(incoming)]
    assert paths == [("/0", True), ("/1", True), ("/", False)]


def test_whoever_closes_is_answered_first(loop: asyncio.AbstractEventLoop) -> None:
    """Whatever they send behind it (RFC 9112 section 9.6)."""
    incoming = begun(loop)
    incoming.feed(request_bytes(b"/0", headers=b"Connection: close\r\n") + request_bytes(b"/1"))
    last, refused = taken(incoming)
    assert (last.message.path, last.message.should_close, last.refused) == ("/0", True, None)
    assert refused.refused is not None


def test_another_protocol_is_declined(loop: asyncio.AbstractEventLoop) -> None:
    """HTTP goes on behind it, in the same piece or in a later one."""
    incoming = begun(loop)
    upgrade = request_bytes(b"/0", headers=b"Connection: Upgrade\r\nUpgrade: websocket\r\n")
    fed = [incoming.feed(piece) for piece in (upgrade, upgrade + request_bytes(b"/1"), upgrade)]
    assert fed == [1, 2, 1]
    assert not incoming.is_newest_whole
    assert [one.message.path for one in taken(incoming)] == ["/0", "/0", "/1", "/0"]


def test_at_the_end_nothing_waits_any_more(loop: asyncio.AbstractEventLoop) -> None:
    """Bytes that come then are nobody's."""
    incoming = begun(loop)
    incoming.feed(numbered(2))
    incoming.end()
    assert incoming.take() is None
    assert incoming.feed(numbered(1)) == 0
