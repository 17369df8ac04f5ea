"""Any bytes that a device may send ahead, beside another parser: nothing is read as another thing.

What a request ends with, and where the next one begins, decides which answer belongs to which.
"""

import asyncio
from collections.abc import Iterable
from itertools import pairwise
from typing import Final

import pytest
from attrs import evolve, frozen
from hypothesis import example, given
from hypothesis import strategies as st

from facade.devices.incoming_requests import IncomingRequest, IncomingRequests
from tests.support.h11_requests import ReadRequest, fields_but_framing, requests_by_h11
from tests.support.raw_http import request_bytes
from tests.unit.facade.devices.test_incoming_requests import begun, loop, taken

__all__ = ["loop"]  # a fixture

METHODS: Final = (b"GET", b"HEAD", b"POST", b"PUT", b"OPTIONS", b"CONNECT")
TARGETS: Final = (b"/0", b"/v2/", b"/a?b=c#d", b"http://x/v2/", b"//x/v2/", b"*", b"x:80", b"/%2f")
VERSIONS: Final = (b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2.0", b"HTTP/0.9")
FIELDS: Final = (
    *(b"Content-Length: 3", b"Content-Length: 0", b"Content-Length: 3, 3", b"Content-Length:\t3 "),
    *(b"Content-Length: +3", b"Content-Length: 0x3", b"Content-Length: 03", b"Content-Length: "),
    *(b"Transfer-Encoding: chunked", b"Transfer-Encoding: Chunked", b"Transfer-Encoding: identity"),
    *(b"Transfer-Encoding: chunked, identity", b"Transfer-Encoding : chunked"),
    *(b"Transfer-Encoding:\x0bchunked", b"Transfer-Encoding: chunked, chunked"),
    *(b"Connection: close", b"Connection: keep-alive", b"Connection: close, keep-alive"),
    *(b"Connection: Upgrade", b"Upgrade: websocket", b"Upgrade: h2c", b"Expect: 100-continue"),
    *(b"Host: y", b"X: y", b"X:", b"X: \xff\xc3\xa9", b"X: a\x0bb", b" folded", b"no colon"),
)
BODIES: Final = (
    *(b"", b"", b"abc", b"abcd", b"0\r\n\r\n", b"3\r\nabc\r\n0\r\n\r\n", b"3\r\nabc\r\n"),
    *(b"3;x=y\r\nabc\r\n0\r\nT: v\r\n\r\n", b"3\nabc\n0\n\n", b"3 \r\nabc\r\n0\r\n\r\n"),
    *(b"0x3\r\nabc\r\n0\r\n\r\n", b"03\r\nabc\r\n0\r\n\r\n", b"3;\nx\r\nabc\r\n0\r\n\r\n"),
    *(b"3\r\nabcd\r\n0\r\n\r\n", b"3\r\nabc0\r\n\r\n", b"0\r\nContent-Length: 9\r\n\r\n"),
)
ENDS: Final = st.sampled_from((*[b"\r\n"] * 20, b"\n", b"\r", b"\r\r\n", b" \r\n", b"\0\r\n"))


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """Return what is a request, or nearly one, with a body of it, or nearly one."""
    blank = draw(st.sampled_from([b""] * 8 + [b"\r\n", b"\n", b"\r\n\r\n", b" "]))
    parts = (draw(st.sampled_from(each)) for each in (METHODS, TARGETS, VERSIONS))
    host = [b"Host: x"] * draw(st.sampled_from((1, 1, 1, 0)))
    fields = [*host, *draw(st.lists(st.sampled_from(FIELDS), max_size=3))]
    lines = [b" ".join(parts), *draw(st.permutations(fields)), b""]
    head = b"".join(line + draw(ENDS) for line in lines)
    return blank + head + draw(st.sampled_from(BODIES))


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    """Return some of these, sometimes with another byte somewhere."""
    sent = bytearray(b"".join(draw(st.lists(requests(), min_size=1, max_size=4))))
    if draw(st.integers(0, 4)) == 0:
        at = draw(st.integers(0, len(sent) - 1))
        sent[at] = draw(st.sampled_from(b"\0\r\n :;,\x7f\xffAG/"))
    return bytes(sent)


@frozen
class Read:
    """A request as the facade reads it."""

    request: ReadRequest
    closes: bool  # its answer is the last one


def read_of(incoming: IncomingRequest) -> Read:
    """Return what was read."""
    message, body = incoming.message, incoming.body
    waiting = sum(map(len, body._buffer)) if hasattr(body, "_buffer") else 0  # noqa: SLF001
    return Read(
        ReadRequest(
            message.method.encode(),
            message.path.encode("utf-8", "surrogateescape"),
            b"%d.%d" % message.version,
            fields_but_framing(list(message.raw_headers)),
            waiting,
            body.is_eof(),
        ),
        message.should_close,
    )


def read_in(incoming: IncomingRequests, pieces: Iterable[bytes]) -> tuple[list[Read], bool]:
    """Return what is read in pieces, and whether the connection was refused behind it."""
    found = list[IncomingRequest]()
    for piece in pieces:
        incoming.feed(piece)
        found.extend(taken(incoming))
    is_refused = bool(found) and found[-1].refused is not None
    assert all(each.refused is None for each in found[:-1])
    return [read_of(each) for each in found[: len(found) - is_refused]], is_refused


@st.composite
def cut(draw: st.DrawFn) -> tuple[bytes, list[bytes]]:
    """Return a stream, and it in pieces."""
    sent = draw(streams())
    cuts = draw(st.sets(st.integers(1, len(sent)), max_size=8))
    if draw(st.booleans()):
        cuts |= set(range(len(sent)))
    places = [0, *sorted(cuts), len(sent)]
    return sent, [sent[at:to] for at, to in pairwise(places) if at < to]


def answered(reads: list[Read]) -> list[Read]:
    """Return what is answered as a request: up to what ends a connection.

    Nothing is read behind that, so that it is all the same how much of its body has come.
    """
    found = list[Read]()
    for read in reads:
        is_last = read.closes or read.request.version not in {b"1.1", b"1.0"}  # 505 ends it, too
        bodiless = evolve(read.request, body_bytes=0, is_whole=True)
        found.append(Read(bodiless if is_last else read.request, is_last))
        if is_last:
            break
    return found


def upgrade(protocol: bytes) -> bytes:
    """Return a request for another protocol."""
    headers = b"Connection: Upgrade\r\nUpgrade: %b\r\nContent-Length: 3\r\n" % protocol
    return request_bytes(b"/0", headers=headers) + b"abc"


BEHIND: Final = request_bytes(b"/1") + request_bytes(b"/2")[:9]


def with_trailer(trailer: bytes) -> bytes:
    """Return a request with a body in chunks."""
    head = request_bytes(b"/0", headers=b"Transfer-Encoding: chunked\r\n")
    return head + b"3\r\nabc\r\n0\r\n" + trailer + b"\r\n"


@given(cut())
@example((upgrade(b"h2c") + BEHIND, [upgrade(b"h2c"), BEHIND[:7], BEHIND[7:]]))
@example((upgrade(b"tcp") + BEHIND, [upgrade(b"tcp")[:-1], b"c" + BEHIND]))
def test_how_a_network_cuts_what_was_sent_changes_nothing(
    loop: asyncio.AbstractEventLoop, sent: tuple[bytes, list[bytes]]
) -> None:
    """But that the last request may be answered before its own body turns out to be none."""
    at_once, is_refused = read_in(begun(loop), [sent[0]])
    in_pieces, is_refused_then = read_in(begun(loop), sent[1])
    first, then = answered(at_once), answered(in_pieces)
    ends_before = bool(then) and then[-1].closes
    if is_refused and len(then) == len(first) + 1:
        assert then.pop().closes
    assert then == first
    assert ends_before or is_refused is is_refused_then


@given(streams())
@example(request_bytes(b"x:80", method="CONNECT", headers=b"Content-Length: 3\r\n") + b"abc")
@example(upgrade(b"h2c") + BEHIND)
@example(with_trailer(b"Range: bytes=0-1\r\n") + BEHIND)
def test_another_parser_reads_the_same_requests(
    loop: asyncio.AbstractEventLoop, sent: bytes
) -> None:
    """With the same bodies and behind one another: nobody is made to see one where there is none.

    The facade may refuse more than it.
    """
    others = requests_by_h11(sent)
    for number, read in enumerate(answered(read_in(begun(loop), [sent])[0])):
        if read.request.version in {b"1.1", b"1.0"}:
            assert number < len(others), f"h11 refuses {read}"
            bodiless = evolve(others[number], body_bytes=0, is_whole=True)
            assert read.request == (bodiless if read.closes else others[number])


@pytest.mark.parametrize("protocol", [b"websocket", b"h2c", b"tcp", b"TLS/1.0"])
@pytest.mark.parametrize("body", [b"", b"Content-Length: 3\r\n\r\nabc"], ids=["none", "a body"])
def test_whatever_protocol_is_declined_what_follows_is_answered(
    loop: asyncio.AbstractEventLoop, protocol: bytes, body: bytes
) -> None:
    """The parser dropped it if it did not know the protocol; a later answer took its place."""
    head = b"GET /0 HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: %b\r\n" % protocol
    first, rest = head + (body or b"\r\n") + BEHIND, request_bytes(b"/2")[9:]
    reads, is_refused = read_in(begun(loop), [first, rest])
    assert [each.request.target for each in reads] == [b"/0", b"/1", b"/2"]
    assert not is_refused


def test_behind_a_tunnel_that_is_declined_nothing_is_read(
    loop: asyncio.AbstractEventLoop,
) -> None:
    """Its bytes are no requests (RFC 9110 section 9.3.6)."""
    incoming = begun(loop)
    connect = request_bytes(b"x:80", method="CONNECT", headers=b"Content-Length: 20\r\n")
    reads, is_refused = read_in(incoming, [connect + request_bytes(b"/1"), request_bytes(b"/2")])
    assert [(each.request.method, each.closes) for each in reads] == [(b"CONNECT", True)]
    assert not is_refused
    assert not incoming.wants_more
