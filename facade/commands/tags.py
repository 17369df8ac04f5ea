"""All tags of a repository: as many pages as there are, up to a bound."""

from typing import Final

from attrs import frozen

from shared.oci import RepositoryName
from shared.upstream.client import RegistryClient

MAX_TAG_PAGES: Final = 1000  # registries give 100 to 1,000 tags a page
MAX_TAGS: Final = 100_000  # nobody reads more; some 10 MB


@frozen
class TagList:
    """Tags in the registry's order, and what is missing of them."""

    tags: tuple[str, ...]
    left_out: int  # names in the registry's list that are no tags
    clipped: str | None = None  # why the list is not whole, in words

    @property
    def is_whole(self) -> bool:
        """Whether these are all tags of the repository."""
        return self.clipped is None


async def list_tags(
    client: RegistryClient,
    repository: RepositoryName,
    *,
    max_pages: int = MAX_TAG_PAGES,
    max_tags: int = MAX_TAGS,
) -> TagList:
    """Return the tags; raise `UpstreamError` if a page cannot be fetched."""
    tags: list[str] = []
    left_out = 0
    next_page = client.first_tag_page(repository)
    asked = {next_page}
    for _ in range(max_pages):
        page = await client.tag_page(repository, next_page)
        tags += page.tags
        left_out += page.left_out
        if len(tags) > max_tags:
            return TagList(tuple(tags[:max_tags]), left_out, f"it has more than {max_tags} tags")
        if page.next_page is None:
            return TagList(tuple(tags), left_out, page.not_followed)
        if page.next_page in asked:
            return TagList(tuple(tags), left_out, "its pages go round in circles")
        next_page = page.next_page
        asked.add(next_page)
    return TagList(tuple(tags), left_out, f"it has more than {max_pages} pages")
