"""Where the next page of a registry's list is: of its tags, or of referrers. Pure.

<https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md#listing-tags>
"""

from typing import Final

from yarl import URL

from shared.upstream.links import Links
from shared.upstream.redirect import origin
from shared.upstream.uri_reference import InvalidReferenceError, resolve

NEXT: Final = "next"  # the relation of section "Listing tags"


def next_page(url: URL, links: Links, registry: URL) -> URL | str | None:
    """Return where the next page is, why it is not followed, or None if there is none.

    `url` is where the page came from. The next one may only be at the origin of `registry`. A link
    that cannot be read may be the next page's. So a list is whole only if there is none.
    """
    unreadable = "a Link header of its answer cannot be read"
    try:
        targets = {
            resolve(url, link.target)  # a cursor is the registry's own: no byte is changed
            for link in links.links
            if NEXT in link.relations
            and (link.anchor is None or resolve(url, link.anchor) == resolve(url, ""))
        }
    except InvalidReferenceError:
        return "the address of its next page cannot be read"
    if not targets:
        return None if links.is_readable else unreadable
    if len(targets) > 1:
        return "it names several next pages"
    [target] = targets
    if origin(target) != origin(registry):  # another origin gets no credential
        return "its next page is at another address than the registry's, which is not asked"
    return target
