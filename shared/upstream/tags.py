"""A page of a repository's tags, and where the next one is. Pure.

<https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#listing-tags>
"""

from collections.abc import Sequence
from typing import Final

import orjson
from attrs import frozen
from yarl import URL

from shared.oci import TAG
from shared.outside_bytes import Party, reads_bytes_of
from shared.upstream.errors import UnexpectedAnswerError
from shared.upstream.links import read_links
from shared.upstream.next_page import next_page

TAGS_OF_A_PAGE: Final = 1000  # what is asked for; Amazon's most, and go-containerregistry's default
MAX_TAG_PAGE_BYTES: Final = 8 * 1024 * 1024  # distribution 2 gives all at once: 100,000 tags


@frozen
class TagPage:
    """Tags in the registry's order.

    If it is not the last page, either `next_page` is where the next one is, or `not_followed` says
    in words why nobody goes there.
    """

    tags: tuple[str, ...]
    left_out: int  # names that are no tags
    is_last: bool
    next_page: URL | None
    not_followed: str | None = None


@reads_bytes_of(Party.REGISTRY)
def read_tag_page(
    body: bytes | None, url: URL, links: Sequence[str], registry: URL | None = None
) -> TagPage:
    """Return the page of an answer from `url`; raise `UnexpectedAnswerError`.

    `body` None stands for one of more than `MAX_TAG_PAGE_BYTES`, `links` are the `Link` headers.
    The next page may only be at `registry`: by default, at the origin of `url`.
    """
    if body is None:
        raise UnexpectedAnswerError("the registry's list of tags is too long")
    names = _names(body)
    tags = tuple(name for name in names if isinstance(name, str) and TAG.fullmatch(name))
    following = next_page(url, read_links(links), registry or url)
    return TagPage(
        tags=tags,
        left_out=len(names) - len(tags),
        is_last=following is None,
        next_page=following if isinstance(following, URL) else None,
        not_followed=following if isinstance(following, str) else None,
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
