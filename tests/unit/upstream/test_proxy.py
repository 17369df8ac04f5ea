"""What an outbound proxy's URL may be, what it is told, and which of its answers is one."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.secret import Secret
from shared.upstream.basic_credential import BasicCredential
from shared.upstream.proxy import OutboundProxy, answered_status

CANARY = "canary-proxy-password"
HOSTS = st.sampled_from(["proxy", "proxy.example", "10.0.0.7", "2001:db8::7"])


@pytest.mark.parametrize(
    "text, host, port",
    [
        ("http://proxy.example:3128", "proxy.example", 3128),
        ("http://PROXY.example:3128/", "proxy.example", 3128),
        ("http://10.0.0.7:8080", "10.0.0.7", 8080),
        ("http://[2001:DB8:0::7]:8080", "2001:db8::7", 8080),
    ],
)
def test_a_proxy_is_an_http_url_with_a_port(text: str, host: str, port: int) -> None:
    """Its host in one form."""
    assert OutboundProxy.parse(text) == OutboundProxy(host, port)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "proxy.example:3128",
        "http://proxy.example",
        "https://proxy.example:3128",
        "socks5://proxy.example:1080",
        "http://proxy.example:0",
        "http://proxy.example:65536",
        "http://proxy.example:3128/path",
        "http://proxy.example:3128?query",
        "http://proxy.example:3128#fragment",
        "http://:password@proxy.example:3128",
        "http://a@b@proxy.example:3128",
        "http://[::g]:3128",
        "http://[fe80::1%25eth0]:3128",
        "http://proxy example:3128",
        "http://proxy.example:3128\r\nX: y",
        "http://user:%ff@proxy.example:3128",
        "http://us%3Aer:password@proxy.example:3128",
        "http://①②⑦.0.0.1:3128",
    ],
)
def test_anything_else_is_no_proxy(text: str) -> None:
    """It is refused at the start."""
    with pytest.raises(ValueError, match=r"."):
        OutboundProxy.parse(text)


def test_a_credential_is_never_printed() -> None:
    """Neither password nor user name."""
    proxy = OutboundProxy.parse(f"http://canary-user:{CANARY}@proxy.example:3128")
    assert "canary" not in f"{proxy} {proxy!r} {proxy.url}"
    assert CANARY.encode() in proxy.url.reveal()


def test_a_credential_may_hold_any_character() -> None:
    """Encoded as in any URL; a colon in the password needs no encoding."""
    proxy = OutboundProxy.parse("http://us%40er:p%2Fa:s%C3%A9@proxy.example:3128")
    assert proxy.credential == BasicCredential("us@er", Secret("p/a:sé"))


@given(host=HOSTS, port=st.integers(1, 65535), pair=st.none() | st.tuples(st.text(), st.text()))
def test_a_url_is_read_as_it_was_written(
    host: str, port: int, pair: tuple[str, str] | None
) -> None:
    """What a library is given leads to the same proxy with the same credential."""
    credential = None
    if pair is not None and pair[0] and ":" not in pair[0]:
        credential = BasicCredential(pair[0], Secret(pair[1]))
    proxy = OutboundProxy(host, port, credential)
    assert OutboundProxy.parse(proxy.url.reveal_text()) == proxy


@given(st.text(st.characters(codec="utf-8"), max_size=60) | st.text(string.printable, max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    """Nothing but `ValueError` comes out, and what is read asks for one tunnel in one request."""
    try:
        proxy = OutboundProxy.parse(f"http://{text}:3128")
    except ValueError:
        return
    assert proxy.connect_request("203.0.113.5:443").count(b"\r\n\r\n") == 1


def test_a_tunnel_is_asked_for_with_the_same_host_everywhere() -> None:
    """Some proxies refuse a Host that differs from the target."""
    proxy = OutboundProxy.parse("http://user:password@proxy.example:3128")
    assert proxy.connect_request("203.0.113.5:443") == (
        b"CONNECT 203.0.113.5:443 HTTP/1.1\r\nHost: 203.0.113.5:443\r\n"
        b"Proxy-Authorization: Basic dXNlcjpwYXNzd29yZA==\r\n\r\n"
    )
    anonymous = OutboundProxy("proxy.example", 3128)
    assert b"Authorization" not in anonymous.connect_request("203.0.113.5:443")


@pytest.mark.parametrize(
    "head, status",
    [
        (b"HTTP/1.1 200 Connection established\r\n\r\n", 200),
        (b"HTTP/1.0 407\r\n\r\n", 407),
        (b"HTTP/1.1 502 \r\nVia: x\r\n\r\n", 502),
        (b"HTTP/2 200\r\n\r\n", None),
        (b"HTTP/1.1 2000 OK\r\n\r\n", None),
        (b"HTTP/1.1 200 OK", None),
        (b" HTTP/1.1 200 OK\r\n\r\n", None),
        (b"SSH-2.0-OpenSSH_9.2\r\n", None),
        (b"", None),
    ],
)
def test_a_status_is_read_off_http_alone(head: bytes, status: int | None) -> None:
    """Whatever else listens there is no proxy."""
    assert answered_status(head) == status


@given(st.binary(max_size=200))
def test_any_answer_is_read(head: bytes) -> None:
    """As a status of three digits, or as none."""
    status = answered_status(head)
    assert status is None or 100 <= status <= 599
