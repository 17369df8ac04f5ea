"""A page of a repository's tags, and where the next one is. Pure.

<https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#listing-tags>
"""

import re
from collections.abc import Iterator, Sequence
from typing import Final

import orjson
from attrs import frozen
from yarl import URL

from shared.oci import TAG
from shared.upstream.errors import UnexpectedAnswerError
from shared.upstream.redirect import origin

TAGS_OF_A_PAGE: Final = 1000  # what is asked for; Amazon's most, and go-containerregistry's default
MAX_TAG_PAGE_BYTES: Final = 8 * 1024 * 1024  # distribution 2 gives all at once: 100,000 tags
MAX_NEXT_CHARACTERS: Final = 8000  # as of a redirect's Location

# RFC 8288 section 3: `<target>; parameter; parameter, <target> ...`
_LINK: Final = re.compile(r"<(?P<target>[!-;=?-~]*)>(?P<parameters>[^<]*)")
_RELATIONS: Final = re.compile(
    r';\s*rel\s*=\s*(?:"(?P<quoted>[^"]*)"|(?P<bare>[^\s;,"]+))', re.IGNORECASE
)


@frozen
class TagPage:
    """Tags in the registry's order."""

    tags: tuple[str, ...]
    left_out: int  # names that are no tags
    is_last: bool
    next_page: URL | None  # None, though it is not the last: that is nowhere we go


def read_tag_page(body: bytes | None, url: URL, links: Sequence[str]) -> TagPage:
    """Return the page of an answer to `url`; raise `UnexpectedAnswerError`.

    `body` None stands for one of more than `MAX_TAG_PAGE_BYTES`.
    """
    if body is None:
        raise UnexpectedAnswerError("the registry's list of tags is too long")
    names = _names(body)
    tags = tuple(name for name in names if isinstance(name, str) and TAG.fullmatch(name))
    targets = list(_next_targets(links))
    return TagPage(
        tags=tags,
        left_out=len(names) - len(tags),
        is_last=not targets,
        next_page=_same_origin(url, targets[0]) if targets else None,
    )


def _names(body: bytes) -> list[object]:
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise UnexpectedAnswerError("the registry's list of tags is not JSON") from None
    names = answer.get("tags", ()) if isinstance(answer, dict) else ()
    if names is None:  # distribution's, once the last tag was deleted
        return []
    if not isinstance(names, list):
        raise UnexpectedAnswerError("the registry does not answer with a list of tags")
    return names


def _next_targets(links: Sequence[str]) -> Iterator[str]:
    for header in links:
        for link in _LINK.finditer(header):
            relations = _RELATIONS.search(link["parameters"])
            named = (relations["quoted"] or relations["bare"] or "") if relations else ""
            if "next" in named.lower().split():
                yield link["target"]


def _same_origin(url: URL, target: str) -> URL | None:
    """Return where a link leads, verbatim; None for another origin, which gets no credential."""
    if len(target) > MAX_NEXT_CHARACTERS:
        return None
    try:
        # A cursor is the registry's own: nothing in it is encoded anew.
        page = url.join(URL(target, encoded=True)).with_fragment(None)
        return page if origin(page) == origin(url) and page.user is None else None
    except ValueError:  # yarl's for a port or an address that is none
        return None
