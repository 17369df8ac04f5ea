"""References of `Location` and `Link`, resolved as RFC 3986 says, without touching a byte."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from shared.upstream.uri_reference import InvalidReferenceError, resolve

# RFC 3986 sections 5.4.1 and 5.4.2: every example, with its own base. Fragments are not sent.
RFC_BASE = URL("http://a/b/c/d;p?q", encoded=True)
RFC_EXAMPLES = {
    "g": "http://a/b/c/g",
    "./g": "http://a/b/c/g",
    "g/": "http://a/b/c/g/",
    "/g": "http://a/g",
    "//g": "http://g",
    "?y": "http://a/b/c/d;p?y",
    "g?y": "http://a/b/c/g?y",
    "#s": "http://a/b/c/d;p?q",
    "g#s": "http://a/b/c/g",
    "g?y#s": "http://a/b/c/g?y",
    ";x": "http://a/b/c/;x",
    "g;x": "http://a/b/c/g;x",
    "g;x?y#s": "http://a/b/c/g;x?y",
    "": "http://a/b/c/d;p?q",
    ".": "http://a/b/c/",
    "./": "http://a/b/c/",
    "..": "http://a/b/",
    "../": "http://a/b/",
    "../g": "http://a/b/g",
    "../..": "http://a/",
    "../../": "http://a/",
    "../../g": "http://a/g",
    "../../../g": "http://a/g",
    "../../../../g": "http://a/g",
    "/./g": "http://a/g",
    "/../g": "http://a/g",
    "g.": "http://a/b/c/g.",
    ".g": "http://a/b/c/.g",
    "g..": "http://a/b/c/g..",
    "..g": "http://a/b/c/..g",
    "./../g": "http://a/b/g",
    "./g/.": "http://a/b/c/g/",
    "g/./h": "http://a/b/c/g/h",
    "g/../h": "http://a/b/c/h",
    "g;x=1/./y": "http://a/b/c/g;x=1/y",
    "g;x=1/../y": "http://a/b/c/y",
    "g?y/./x": "http://a/b/c/g?y/./x",
    "g?y/../x": "http://a/b/c/g?y/../x",
    "g#s/./x": "http://a/b/c/g",
    "g#s/../x": "http://a/b/c/g",
}
BLOB = URL("https://registry.example:8443/v2/team/app/blobs/sha256:abc?a=%2f#x", encoded=True)
HOME = "https://registry.example:8443"


@pytest.mark.parametrize("reference", RFC_EXAMPLES)
def test_every_example_of_the_rfc_leads_where_it_says(reference: str) -> None:
    """What is a URL of another scheme (`g:h`, and strictly `http:g`) is refused below."""
    assert str(resolve(RFC_BASE, reference)) == RFC_EXAMPLES[reference]


@pytest.mark.parametrize(
    "reference, target",
    [
        ("?", f"{HOME}/v2/team/app/blobs/sha256:abc"),
        ("?Sig=a%2Fb%2bc==&&x", f"{HOME}/v2/team/app/blobs/sha256:abc?Sig=a%2Fb%2bc==&&x"),
        ("/a%2fb/%2e%2E/c?q=%", f"{HOME}/a%2fb/%2e%2E/c?q=%"),
        ("/a//b/../c", f"{HOME}/a//c"),
        ("/..//evil.example/x", f"{HOME}//evil.example/x"),
        ("//store.example", "https://store.example"),
        ("//store.example:/a", "https://store.example/a"),
        ("//store.example:443/a", "https://store.example/a"),
        ("https://store.example//a/../../b?x=/../", "https://store.example/b?x=/../"),
        ("https://store.example//evil.example/b", "https://store.example//evil.example/b"),
        ("HTTPS://store.example?x", "https://store.example/?x"),
        ("./a:b", f"{HOME}/v2/team/app/blobs/a:b"),
        ("../uploads/x", f"{HOME}/v2/team/app/uploads/x"),
        ("sha256:abc", None),
    ],
)
def test_a_reference_is_taken_byte_for_byte(reference: str, target: str | None) -> None:
    """A signed URL is worth nothing with another byte; a first segment has no colon."""
    if target is None:
        with pytest.raises(InvalidReferenceError):
            resolve(BLOB, reference)
    else:
        assert str(resolve(BLOB, reference)) == target


@pytest.mark.parametrize(
    "reference",
    [
        "g:h",
        "http:g",
        "https:/a",
        "https:",
        "https://",
        "///a",
        "//",
        "//user@host/a",
        "//[::1]/a",
        "//host:0/a",
        "//host:65536/a",
        "//host:x/a",
        "//h%6fst/a",
        "//2130706433/a",
        "//127.1/a",
        "/a\\b",
        "\\\\host\\a",
        "/a b",
        "/a\nb",
        "/ä",
        "//hóst/a",
        "/" + "a" * 8000,
    ],
)
def test_what_libraries_read_in_different_ways_is_refused(reference: str) -> None:
    """Nobody may find another host in it than we do."""
    with pytest.raises(InvalidReferenceError):
        resolve(BLOB, reference)


_SEGMENT = st.from_regex(r"[a-zA-Z0-9._~%!$&'()*+,;=@-]{0,8}", fullmatch=True).filter(
    lambda segment: segment not in (".", "..")
)
_QUERY = st.none() | st.from_regex(r"[!-\"$-\[\]-~]{1,30}", fullmatch=True)


@given(st.lists(_SEGMENT, min_size=1, max_size=6), _QUERY)
def test_a_path_without_dot_segments_arrives_as_it_stands(
    segments: list[str], query: str | None
) -> None:
    """For every path and query, and on the host that was asked."""
    path = "/" + "/".join(segments)
    reference = path if query is None else f"{path}?{query}"
    if path.startswith("//"):  # that would be a host
        reference = f"{HOME}{reference}"
    assert resolve(BLOB, reference).raw_path_qs == (path if query is None else f"{path}?{query}")


@given(st.text(st.sampled_from("aA1./?#:%@;=&-_~[]\\ ä"), max_size=30))
def test_any_text_leads_to_a_plain_host_or_nowhere(reference: str) -> None:
    """And what was resolved is not changed by resolving it again."""
    try:
        target = resolve(BLOB, reference)
    except InvalidReferenceError:
        return
    assert target.scheme in ("http", "https")
    assert target.raw_host
    assert target.raw_user is None
    assert not {".", ".."} & set(target.raw_path.split("/"))
    assert resolve(BLOB, str(target)) == target
    if not reference.startswith(("//", "http")):
        assert str(target.origin()) == HOME
