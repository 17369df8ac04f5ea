"""What is remembered is what the parser made of the same bytes, and never a secret."""

import asyncio
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facade.devices.lone_head import MAX_LONE_HEAD_BYTES, is_lone_head
from facade.pulls.known_pull import KnownPull
from facade.pulls.remembered_requests import RememberedRequests
from facade.values.pull_path import Pull, parse_request
from shared.oci import Digest
from tests.support.parsed_requests import parsed_request

DIGEST = Digest.of(b"content")
PATH = f"/v2/registry.example/team/app/manifests/{DIGEST}"
# Written down anew: whoever lets another field in is to think of it twice.
WITHOUT_EFFECT = [
    *("Accept", "Accept-Encoding", "Accept-Language", "Docker-Distribution-Api-Version"),
    *("Host", "User-Agent"),
]
# Secrets, conditions, bodies, other protocols, and what proxies add.
WITH_EFFECT = [
    *("Authorization", "Proxy-Authorization", "Cookie", "Set-Cookie", "X-JFrog-Art-Api"),
    *("X-Api-Key", "Www-Authenticate", "Referer", "From", "Origin", "Sec-WebSocket-Key"),
    *("If-None-Match", "If-Match", "If-Modified-Since", "If-Range", "Range", "Cache-Control"),
    *("Content-Length", "Content-Type", "Content-Encoding", "Transfer-Encoding", "Trailer"),
    *(
        "Expect",
        "Upgrade",
        "HTTP2-Settings",
        "TE",
        "Keep-Alive",
        "Proxy-Connection",
        "Max-Forwards",
    ),
    *("Forwarded", "X-Forwarded-Host", "X-HTTP-Method-Override", "X-Original-URL", "Via"),
    *("Accept-Charset", "Accept-Ranges", "Hosts", "User-Agents", "Http-Host", "X-Accept"),
]

values = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=40)
harmless = st.tuples(st.sampled_from(WITHOUT_EFFECT[:4]), values)
tokens = st.text("abcdefghijklmnopqrstuvwxyzABCXYZ0189-_.!#$%&'*+^`|~", min_size=1, max_size=20)
foreign = st.tuples(
    st.sampled_from(WITH_EFFECT)
    | tokens.filter(
        lambda name: name.lower() not in {*map(str.lower, WITHOUT_EFFECT), "connection"}
    ),
    values,
) | st.tuples(
    st.just("Connection"),
    st.sampled_from(["close", "Upgrade", "keep-alive, X-Token", "keep-alive,close", "Host", ""]),
)
targets = st.sampled_from([PATH, f"{PATH}?ns=registry.example", f"{PATH}?ns=127.0.0.1:5000"])


def head_of(
    fields: list[tuple[str, str]], *, method: str = "GET", target: str = PATH, version: str = "1.1"
) -> bytes:
    """Return a request's head, with one Host."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in [("Host", "x"), *fields])
    return f"{method} {target} HTTP/{version}\r\n{lines}\r\n".encode("latin-1")


@st.composite
def any_heads(draw: st.DrawFn) -> bytes:
    """Give heads as they may come, and what an attacker makes of them, a byte here and there."""
    head = head_of(
        draw(st.lists(harmless | foreign, max_size=3)),
        method=draw(st.sampled_from(["GET", "HEAD", "POST", "CONNECT", "get"])),
        target=draw(
            targets
            | st.sampled_from(
                ["/v2/", "*", f"https://u:secret@x{PATH}", f"{PATH}?token=secret", f"{PATH}#secret"]
            )
        ),
        version=draw(st.sampled_from(["1.1", "1.1", "1.0", "0.9", "2.0"])),
    )
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(head)))
        put = draw(st.sampled_from([b"", b"\r", b"\n", b"\r\n", b"\r\n ", b"\0", b" ", b":", b"x"]))
        head = head[:at] + put + head[at + draw(st.integers(0, 2)) :]
    return head


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop that never runs: the parser asks for one."""
    made = asyncio.new_event_loop()
    yield made
    made.close()


def offered(
    remembered: RememberedRequests,
    head: bytes,
    loop: asyncio.AbstractEventLoop,
    device: str = "press-7",
) -> Pull | None:
    """Offer a head as `PullHandler` does; return what it asks for, if it is a pull."""
    request = parsed_request(head, loop) if is_lone_head(head) else None
    asked = parse_request(request.method, request.raw_path) if request is not None else None
    if request is None or not isinstance(asked, Pull):
        return None
    remembered.remember(head, request, KnownPull(request.method, asked), device)
    return asked


@given(head=any_heads())
def test_what_is_remembered_of_any_bytes_is_what_the_parser_made_of_them(
    loop: asyncio.AbstractEventLoop, head: bytes
) -> None:
    """There is one parser; memory is no second one with ideas of its own."""
    remembered = RememberedRequests()
    pull = offered(remembered, head, loop)
    kept = remembered.get(head)
    if kept is None:
        return
    again = parsed_request(head, loop)
    assert again is not None
    assert pull is not None
    assert kept == KnownPull(again.method, pull)
    assert kept.pull == parse_request(again.method, again.raw_path)
    assert (again.version, again.keep_alive, again.body_exists) == ((1, 1), True, False)
    known = {*WITHOUT_EFFECT, "Connection"}
    assert {name.title() for name in again.headers} <= {name.title() for name in known}
    assert set(again.headers.getall("Connection", [])) <= {"keep-alive"}
    assert b"secret" not in head
    assert is_lone_head(head)


@given(before=st.lists(harmless, max_size=2), field=foreign, after=st.lists(harmless, max_size=2))
def test_a_head_with_any_other_field_is_never_remembered(
    loop: asyncio.AbstractEventLoop,
    before: list[tuple[str, str]],
    field: tuple[str, str],
    after: list[tuple[str, str]],
) -> None:
    """Wherever it stands: it may be a secret, or change the answer."""
    for method in ("GET", "HEAD"):
        head = head_of([*before, field, *after], method=method)
        remembered = RememberedRequests()
        offered(remembered, head, loop)
        assert remembered.get(head) is None


@given(
    fields=st.lists(harmless, max_size=4),
    method=st.sampled_from(["GET", "HEAD"]),
    target=targets,
    keeps_alive=st.booleans(),
    at=st.integers(0),
)
def test_what_every_client_sends_is_remembered_by_exactly_its_bytes(
    loop: asyncio.AbstractEventLoop,
    fields: list[tuple[str, str]],
    method: str,
    target: str,
    keeps_alive: bool,  # noqa: FBT001 - hypothesis gives it by name
    at: int,
) -> None:
    """Else nothing would ever be answered at once; a byte more or less is another request."""
    if keeps_alive:
        fields = [*fields, ("Connection", "Keep-Alive")]
    head = head_of(fields, method=method, target=target)
    remembered = RememberedRequests()
    pull = offered(remembered, head, loop)
    assert pull is not None
    assert remembered.get(head) == KnownPull(method, pull)
    at %= len(head)
    for other in (head[:at] + head[at + 1 :], head[:at] + b"x" + head[at:], head + b"\r\n"):
        assert remembered.get(other) is None or other == head


@pytest.mark.parametrize(
    "target",
    [
        f"{PATH}?token=secret",
        f"{PATH}?ns=x&token=secret",
        f"{PATH}?ns=user:secret@x",
        f"{PATH}?ns=x?secret",
        f"{PATH}?NS=x",
        f"{PATH}?",
        f"https://registry.example{PATH}",
        f"https://user:secret@registry.example{PATH}",
        f"HTTP://x{PATH}",
    ],
)
def test_a_target_that_is_more_than_a_path_is_never_remembered(
    loop: asyncio.AbstractEventLoop, target: str
) -> None:
    """Passwords stand in authorities and in queries, and the rest is not worth a rule."""
    remembered = RememberedRequests()
    assert offered(remembered, head_of([], target=target), loop) is not None
    assert remembered.get(head_of([], target=target)) is None


@pytest.mark.parametrize("length", [MAX_LONE_HEAD_BYTES, MAX_LONE_HEAD_BYTES + 1])
def test_a_long_head_is_no_lone_head(length: int) -> None:
    """So that what is remembered has a bound in bytes too."""
    head = head_of([("Accept", "")])
    head = head.replace(b"Accept: ", b"Accept: " + b"x" * (length - len(head)))
    assert len(head) == length
    assert is_lone_head(head) is (length <= MAX_LONE_HEAD_BYTES)


@pytest.mark.parametrize(
    "content",
    [b"", b"\r\n", b"\n\n", b"\r\n\r", b"GET / HTTP/1.1\r\n", b"a\r\n\r\nb", b"a\r\n\r\nb\r\n\r\n"],
)
def test_what_ends_elsewhere_than_a_head_is_none(content: bytes) -> None:
    """Half a request, more than one, or one with something behind it."""
    assert not is_lone_head(content)


def test_the_longest_unused_is_forgotten(loop: asyncio.AbstractEventLoop) -> None:
    """Being asked for is what keeps a request."""
    remembered = RememberedRequests(max_requests=2)
    first, second, third = (head_of([("User-Agent", name)]) for name in "abc")
    offered(remembered, first, loop)
    offered(remembered, second, loop)
    remembered.get(first)
    offered(remembered, third, loop)
    kept = [remembered.get(head) is not None for head in (first, second, third)]
    assert kept == [True, False, True]


def test_a_device_that_varies_its_heads_pushes_out_its_own(
    loop: asyncio.AbstractEventLoop,
) -> None:
    """Whatever it sends, everybody else is answered at once as before."""
    remembered = RememberedRequests(max_requests=8, max_of_one_device=3)
    others = [head_of([("User-Agent", f"other/{number}")]) for number in range(3)]
    for head in others:
        offered(remembered, head, loop, "press-8")
    varied = [head_of([("User-Agent", f"varied/{number}")]) for number in range(100)]
    for head in varied:
        offered(remembered, head, loop, "press-7")
        offered(remembered, head, loop, "press-7")  # again is not more
    assert all(remembered.get(head) is not None for head in others)
    assert [remembered.get(head) is not None for head in varied] == [False] * 97 + [True] * 3


def test_no_more_is_kept_however_many_devices_come(loop: asyncio.AbstractEventLoop) -> None:
    """A facade runs for months, and sees many: each has a share, but not all of them at once."""
    remembered = RememberedRequests(max_requests=4, max_of_one_device=3)
    heads = [head_of([("User-Agent", f"{number}")]) for number in range(50)]
    for number, head in enumerate(heads):
        offered(remembered, head, loop, f"press-{number}")
    assert [head for head in heads if remembered.get(head)] == heads[-4:]
