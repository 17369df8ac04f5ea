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


@pytest.mark.parametrize(
    "link",
    [
        "",
        " , ,",
        '</x>; rel="prev"',
        '</x>; rel="nextpage up"',
        '</x>; title="a, rel=next"; rel=up',
        '</x>; rel=up; rel="next"',
        '</x>; rel="next"; anchor="/v2/other/tags/list"',
        "</x>; rev=next; rel=up",
    ],
)
def test_without_a_next_link_the_page_is_the_last(link: str) -> None:
    """Each of them says something else, in a way that can be read."""
    page = read_tag_page(BODY, FIRST, (link,))
    assert (page.is_last, page.next_page, page.not_followed) == (True, None, None)


@pytest.mark.parametrize(
    "link",
    [
        "garbage",
        "/v2/x?last=b; rel=next",
        '; rel="next"',
        "</x>",
        "</x>; rel",
        '</x>; rel=""',
        '</x; rel="next"',
        '</x> rel="next"',
        '</x>; rel="next',
        '</x>; title="a; rel=next',
        '</x>; rel="prev" next',
        '</x>; rel="prev", garbage',
        '</x>; rel="prev" </y>; rel=up',
        "\udcff",
    ],
)
def test_a_link_that_cannot_be_read_is_not_taken_for_the_end(link: str) -> None:
    """It may well have been the next page's."""
    for links in ((link,), ('</a>; rel="first"', link)):
        page = read_tag_page(BODY, FIRST, links)
        assert (page.is_last, page.next_page) == (False, None)
        assert page.not_followed is not None
        assert "cannot be read" in page.not_followed


@pytest.mark.parametrize(
    "links",
    [
        ("garbage", '</b>; rel="next"'),
        ('garbage, </b>; rel="next"',),
        ('</x>, </b>; rel="next"',),
        ('</b>; rel="next", "</c>',),
        ('</b>; rel="next"', '</b>; rel="next"'),
        ('</b>; rel="next", <https://registry.example/b#x>; rel="last next"',),
        ('</b>; rel="next"; anchor="list?n=1000"',),
        ('</b> ; title = "a \\" > <, b" ; rel = next ; rel=prev',),
        ("</b>; a; b*=UTF-8''x; rel=NEXT",),
        ('</b>;; rel="https://example.com/x next"',),
    ],
)
def test_a_next_link_is_found_beside_what_cannot_be_read(links: tuple[str, ...]) -> None:
    """Whoever knows where to go on has missed nothing."""
    assert next_of(*links) == "https://registry.example/b"


def test_several_next_pages_are_none() -> None:
    """Nobody knows what is behind the others."""
    page = read_tag_page(BODY, FIRST, ('</b>; rel="next", </c>; rel="next"',))
    assert (page.is_last, page.next_page) == (False, None)
    assert page.not_followed == "it names several next pages"


def test_a_relative_link_is_one_of_the_page_that_it_came_with() -> None:
    """Where the list was redirected; the origin is the registry's all the same."""
    moved = URL("https://registry.example/artifactory/team/app/tags/list")
    page = read_tag_page(BODY, moved, ("<list?last=b>; rel=next",), registry=FIRST)
    assert str(page.next_page) == "https://registry.example/artifactory/team/app/tags/list?last=b"
    elsewhere = URL("https://elsewhere.example/tags/list")
    page = read_tag_page(BODY, elsewhere, ("<list?last=b>; rel=next",), registry=FIRST)
    assert page.next_page is None
    assert "another address" in (page.not_followed or "")


@given(
    body=st.binary(max_size=80)
    | st.lists(st.text(max_size=5) | st.booleans() | st.none(), max_size=8).map(
        lambda names: orjson.dumps({"tags": names})
    ),
    links=st.lists(
        st.text(max_size=60)
        | st.text(st.sampled_from('<>;,="\\ relnxt/?#:@%'), max_size=40)
        | st.from_regex(r'<[!-;=?-~]{0,30}>; rel="?next"?', fullmatch=True),
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
    assert page.is_last is (page.next_page is None and page.not_followed is None)
    if page.next_page is not None:
        assert (page.next_page.scheme, page.next_page.host) == ("https", "registry.example")
        assert page.next_page.port == 443
