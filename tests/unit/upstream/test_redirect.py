"""Where a redirect may lead."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from shared.upstream.egress import EgressRule
from shared.upstream.errors import RedirectRefusedError
from shared.upstream.redirect import MAX_REDIRECTS, next_hop, origin

BLOB = URL("https://ghcr.io/v2/team/app/blobs/sha256:abc")
TLS_ONLY, PLAIN = EgressRule(), EgressRule(plain_http=True)


def hop(location: str | None, rule: EgressRule = TLS_ONLY, followed: int = 0) -> str:
    """Return where the location leads."""
    return str(next_hop(BLOB, location, rule=rule, followed=followed))


@pytest.mark.parametrize(
    "location, target",
    [
        (
            "https://store.example.com/a%2Fb?X-Sig=a%2bb+c&E=1",
            "https://store.example.com/a%2Fb?X-Sig=a%2bb+c&E=1",
        ),
        ("/v2/other?x=%2F", "https://ghcr.io/v2/other?x=%2F"),
        ("//store.example.com:8443/a", "https://store.example.com:8443/a"),
        ("sig?x=%2F", "https://ghcr.io/v2/team/app/blobs/sig?x=%2F"),
        ("../uploads/a%2fb", "https://ghcr.io/v2/team/app/uploads/a%2fb"),
        ("?sig=a%2Bb", "https://ghcr.io/v2/team/app/blobs/sha256:abc?sig=a%2Bb"),
        ("https://my_bucket.s3.amazonaws.com/a", "https://my_bucket.s3.amazonaws.com/a"),
        ("https://store.example.com/a#fragment", "https://store.example.com/a"),
        ("https://10.0.0.1/a", "https://10.0.0.1/a"),
    ],
)
def test_a_redirect_leads_there_verbatim(location: str, target: str) -> None:
    """A signature covers the bytes of the URL."""
    assert hop(location) == target


@pytest.mark.parametrize(
    "location",
    [
        None,
        "",
        "http://store.example.com/a",
        "ftp://store.example.com/a",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "https://user@store.example.com/a",
        "https://user:password@store.example.com/a",
        "https://[::1]/a",
        "https://[fe80::1%25eth0]/a",
        "https://①②⑦.0.0.1/a",
        "https://2130706433/a",
        "https://0x7f.1/a",
        "https://127.1/a",
        "https://store.example.com:99999/a",
        "https://store.example.com:0/a",
        "https://store.example.com:x/a",
        "https://",
        "https:///a",
        "https://store .example.com/a",
        "https://store.example.com\\@evil.example/a",
        "https://store.example.com/a\r\nX: y",
        "https://st%6fre.example.com/a",
        "https://store.example.com/" + "a" * 8000,
    ],
)
def test_a_redirect_elsewhere_is_refused(location: str | None) -> None:
    """Not https, a user name, an address in disguise, or no URL at all."""
    with pytest.raises(RedirectRefusedError) as refusal:
        hop(location)
    assert "evil" not in str(refusal.value)


def test_plain_http_is_followed_only_where_the_connection_says_so() -> None:
    """The approver sees `plain_http`."""
    assert hop("http://store.local/a", PLAIN) == "http://store.local/a"
    with pytest.raises(RedirectRefusedError):
        hop("ftp://store.local/a", PLAIN)


def test_redirects_are_counted() -> None:
    """A loop ends."""
    assert hop("/a", followed=MAX_REDIRECTS - 1)
    with pytest.raises(RedirectRefusedError):
        hop("/a", followed=MAX_REDIRECTS)


def test_an_origin_is_scheme_host_and_effective_port() -> None:
    """`:443` and capitals are the same origin, another port or scheme is not."""
    assert origin(URL("https://ghcr.io/a")) == origin(URL("https://GHCR.io:443/b"))
    assert origin(URL("https://ghcr.io/a")) != origin(URL("https://ghcr.io:8443/a"))
    assert origin(URL("https://ghcr.io/a")) != origin(URL("http://ghcr.io/a"))
    assert origin(URL("https://ghcr.io/a")) != origin(URL("https://ghcr.io.evil.example/a"))


@given(
    st.text(max_size=60)
    | st.from_regex(r"(https?:)?(//)?[a-zA-Z0-9.:/@?#%\\_\[\]-]{1,40}", fullmatch=True)
)
def test_any_location_leads_to_a_plain_https_host_or_is_refused(location: str) -> None:
    """Nothing but our own error, and no user name, ever."""
    try:
        target = next_hop(BLOB, location, rule=TLS_ONLY, followed=0)
    except RedirectRefusedError:
        return
    assert target.scheme == "https"
    assert target.raw_host
    assert target.raw_host.isascii()
    assert target.raw_user is None
