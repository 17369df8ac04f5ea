"""A page of tags as registries answer it, and whether there is another."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from shared.oci import TAG
from shared.upstream.errors import UnexpectedAnswerError
from shared.upstream.tags import TagPage, read_tag_page

FIRST = URL("https://registry.example/v2/team/app/tags/list?n=1000")
BODY = b'{"name":"team/app","tags":["1.0","latest"]}'


def next_of(*links: str) -> str | None:
    """Return where the next page is said to be."""
    page = read_tag_page(BODY, FIRST, links)
    return None if page.next_page is None else str(page.next_page)


def test_tags_keep_the_registrys_order() -> None:
    """Sorted or not, they are its own."""
    body = b'{"tags":["b","a","B","10","9"]}'
    assert read_tag_page(body, FIRST, ()) == TagPage(
        tags=("b", "a", "B", "10", "9"), left_out=0, is_last=True, next_page=None
    )


def test_a_repository_without_tags_is_an_empty_page() -> None:
    """Distribution answers null once the last tag is gone."""
    for body in (b'{"name":"team/app","tags":null}', b'{"tags":[]}'):
        assert read_tag_page(body, FIRST, ()).tags == ()


def test_what_is_no_tag_is_left_out_and_counted() -> None:
    """A name could hold what steers a terminal."""
    names = ["ok", "\x1b[2J", "a b", "", "-x", 7, None, "x" * 129, "a\nb"]
    page = read_tag_page(orjson.dumps({"tags": names}), FIRST, ())
    assert (page.tags, page.left_out) == (("ok",), 8)


@pytest.mark.parametrize(
    "body",
    [None, b"", b"<html>", b"[]", b'"x"', b"{}", b'{"tags":"latest"}', b'{"tags":{"a":1}}', b"1"],
)
def test_what_is_no_list_of_tags_is_an_error(body: bytes | None) -> None:
    """Too long, no JSON, or of another form."""
    with pytest.raises(UnexpectedAnswerError):
        read_tag_page(body, FIRST, ())


@pytest.mark.parametrize(
    "link, expected",
    [
        (
            '</v2/team/app/tags/list?last=1.0&n=100>; rel="next"',
            "https://registry.example/v2/team/app/tags/list?last=1.0&n=100",
        ),
        (
            "<https://registry.example:443/v2/x?last=a%2Fb%2bc>; rel=next",
            "https://registry.example/v2/x?last=a%2Fb%2bc",
        ),
        ('<list?last=z>;rel="next"', "https://registry.example/v2/team/app/tags/list?last=z"),
        ("<?last=z>; REL=Next", "https://registry.example/v2/team/app/tags/list?last=z"),
        ('</a>; rel="prev", </b>; title="x"; rel="last next"', "https://registry.example/b"),
        ('</b>; rel="next"#x', "https://registry.example/b"),
    ],
)
def test_the_next_page_is_read_off_the_link(link: str, expected: str) -> None:
    """Relative or absolute, verbatim: a cursor is the registry's own."""
    assert next_of(link) == expected


def test_the_next_page_may_be_in_any_of_several_headers() -> None:
    """As RFC 8288 allows."""
    assert next_of('</a>; rel="first"', '</b>; rel="next"') == "https://registry.example/b"


@pytest.mark.parametrize(
    "target",
    [
        "https://elsewhere.example/v2/team/app/tags/list",
        "http://registry.example/v2/team/app/tags/list",
        "https://registry.example:8443/v2/team/app/tags/list",
        "//elsewhere.example/x",
        "//user@registry.example/x",
        "https://registry.example:99999/x",
        "http://169.254.169.254/",
        "ftp://registry.example/x",
        "/" + "x" * 9000,
    ],
)
def test_a_next_page_elsewhere_is_no_page_of_ours(target: str) -> None:
    """It would be shown the credential; the list then says that it is not whole."""
    page = read_tag_page(BODY, FIRST, (f'<{target}>; rel="next"',))
    assert (page.is_last, page.next_page) == (False, None)


@pytest.mark.parametrize("link", ["", "garbage", '</x>; rel="prev"', "</x>", '; rel="next"'])
def test_without_a_next_link_the_page_is_the_last(link: str) -> None:
    """Nothing is guessed."""
    assert read_tag_page(BODY, FIRST, (link,)).is_last


@given(
    body=st.binary(max_size=80)
    | st.lists(st.text(max_size=5) | st.booleans() | st.none(), max_size=8).map(
        lambda names: orjson.dumps({"tags": names})
    ),
    links=st.lists(
        st.text(max_size=60) | st.from_regex(r'<[!-;=?-~]{0,30}>; rel="?next"?', fullmatch=True),
        max_size=3,
    ),
)
def test_any_answer_is_a_page_or_an_error(body: bytes, links: list[str]) -> None:
    """Tags are tags, and the next page is of the same origin."""
    try:
        page = read_tag_page(body, FIRST, links)
    except UnexpectedAnswerError:
        return
    assert all(TAG.fullmatch(tag) for tag in page.tags)
    if page.next_page is not None:
        assert (page.next_page.scheme, page.next_page.host) == ("https", "registry.example")
        assert page.next_page.port == 443
