"""A repository's tags over several pages, and when the list says that it is not whole."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import orjson
import pytest
from attrs import define, field
from typing_extensions import override

from facade.commands.tags import list_tags
from shared.oci import RepositoryName
from shared.upstream.authorization import OneShotAuthorizer
from shared.upstream.basic_credential import BasicCredential
from shared.upstream.client import RegistryClient
from shared.upstream.errors import NotInRegistryError, UnexpectedAnswerError
from shared.upstream.transport import UpstreamTransport
from tests.support.simulators.behaviour import RedirectsTo
from tests.support.simulators.body import write_plain
from tests.support.simulators.login import BearerLogin, Login
from tests.support.simulators.registry import RegistrySimulator, StoreSimulator
from tests.support.simulators.wire import RecordedRequest, Wire
from tests.unit.upstream.conftest import PASSWORD, ROBOT, target_of

APP = RepositoryName("team/app")
LIST = "/v2/team/app/tags/list"


@define
class Page:
    """One page: its tags, and where its Link leads."""

    tags: Sequence[object]
    next_page: str | None = None
    headers: list[tuple[str, str]] = field(factory=list)


class PagedRegistry(RegistrySimulator):
    """A registry with the pages it is given, by the query that asks for each."""

    def __init__(self, pages: dict[str, Page], login: Login | None = None) -> None:
        super().__init__(login=login)
        self.pages = pages

    @override
    async def respond(self, request: RecordedRequest, wire: Wire) -> None:
        page = self.pages.get(request.target)
        if page is None or (self.login and not self.login.accepts(request)):
            await super().respond(request, wire)
            return
        headers = list(page.headers)
        if page.next_page is not None:
            headers.append(("Link", f'<{page.next_page}>; rel="next"'))
        await write_plain(wire, 200, orjson.dumps({"tags": page.tags}), tuple(headers))


@asynccontextmanager
async def client_of(
    registry: RegistrySimulator, credential: BasicCredential | None = None
) -> AsyncIterator[RegistryClient]:
    """Give a client and close it."""
    transport = await UpstreamTransport.open(target_of(registry))
    client = RegistryClient(transport, OneShotAuthorizer(transport, credential))
    try:
        yield client
    finally:
        await client.close()


async def test_pages_are_followed_to_the_end() -> None:
    """In their order, each with the credential; the list is whole."""
    pages = {
        f"{LIST}?n=1000": Page(["a", "b"], f"{LIST}?n=1000&last=b"),
        f"{LIST}?n=1000&last=b": Page(["c"], "?last=c%2Fd"),
        f"{LIST}?last=c%2Fd": Page(["Z", "10"]),
    }
    async with PagedRegistry(pages, BearerLogin(ROBOT.username, PASSWORD)) as registry:
        async with client_of(registry, ROBOT) as client:
            found = await list_tags(client, APP)
        assert found.tags == ("a", "b", "c", "Z", "10")
        assert found.is_whole
        asked = [each.target for each in registry.requests if each.path == LIST]
        assert list(dict.fromkeys(asked)) == list(pages)


async def test_a_next_page_elsewhere_is_not_asked() -> None:
    """It would be shown the credential: the list says that it is not whole."""
    async with StoreSimulator() as elsewhere:
        pages = {f"{LIST}?n=1000": Page(["a"], f"{elsewhere.origin}{LIST}?last=a")}
        async with PagedRegistry(pages) as registry, client_of(registry) as client:
            found = await list_tags(client, APP)
        assert found.tags == ("a",)
        assert found.clipped is not None
        assert "another address" in found.clipped
        assert elsewhere.connections_made == 0


async def test_a_link_that_cannot_be_read_is_said() -> None:
    """The list may go on: it is not taken for the whole."""
    pages = {
        f"{LIST}?n=1000": Page(["a"], f"{LIST}?last=a"),
        f"{LIST}?last=a": Page(["b"], headers=[("Link", f"<{LIST}?last=b>")]),
    }
    async with PagedRegistry(pages) as registry, client_of(registry) as client:
        found = await list_tags(client, APP)
    assert found.tags == ("a", "b")
    assert found.clipped == "a Link header of its answer cannot be read"


async def test_a_circle_back_to_the_first_page_repeats_nothing() -> None:
    """The first page is asked for as every other."""
    pages = {
        f"{LIST}?n=1000": Page(["a"], "?last=a"),
        f"{LIST}?last=a": Page(["b"], "?n=1000"),
    }
    async with PagedRegistry(pages) as registry, client_of(registry) as client:
        found = await list_tags(client, APP)
        assert len(registry.requests) == 2
    assert found.tags == ("a", "b")
    assert "circles" in (found.clipped or "")


async def test_a_list_that_is_redirected_goes_on_from_where_it_is() -> None:
    """Its links are relative to that."""
    pages = {
        "/moved/list": Page(["a"], "list2?last=a"),
        "/moved/list2?last=a": Page(["b"]),
    }
    async with PagedRegistry(pages) as registry, client_of(registry) as client:
        registry.paths[LIST] = RedirectsTo("../../../../moved/list")
        found = await list_tags(client, APP)
    assert (found.tags, found.clipped) == (("a", "b"), None)


async def test_pages_in_a_circle_end() -> None:
    """And say so."""
    pages = {
        f"{LIST}?n=1000": Page(["a"], f"{LIST}?last=a"),
        f"{LIST}?last=a": Page(["b"], f"{LIST}?last=a"),
    }
    async with PagedRegistry(pages) as registry:
        async with client_of(registry) as client:
            found = await list_tags(client, APP)
        assert found.clipped is not None
        assert "circles" in found.clipped
        assert len(registry.requests) == 2


async def test_a_list_without_end_is_clipped() -> None:
    """By the number of its pages, and by that of its tags."""
    pages = {f"{LIST}?n=1000": Page(["a", "b"], "?p=1")}
    pages |= {f"{LIST}?p={n}": Page([f"x{n}", f"y{n}"], f"?p={n + 1}") for n in range(1, 30)}
    async with PagedRegistry(pages) as registry, client_of(registry) as client:
        by_pages = await list_tags(client, APP, max_pages=5)
        by_tags = await list_tags(client, APP, max_tags=7)
    assert (len(by_pages.tags), by_pages.clipped) == (10, "it has more than 5 pages")
    assert (len(by_tags.tags), by_tags.clipped) == (7, "it has more than 7 tags")


async def test_what_is_no_tag_is_left_out_on_every_page() -> None:
    """And counted."""
    pages = {
        f"{LIST}?n=1000": Page(["a", "\x1b[31m"], "?last=a"),
        f"{LIST}?last=a": Page([None, "b"]),
    }
    async with PagedRegistry(pages) as registry, client_of(registry) as client:
        found = await list_tags(client, APP)
    assert (found.tags, found.left_out) == (("a", "b"), 2)


async def test_a_repository_that_is_not_there_is_an_error() -> None:
    """Not an empty list."""
    async with PagedRegistry({}) as registry, client_of(registry) as client:
        with pytest.raises(NotInRegistryError):
            await list_tags(client, APP)


async def test_a_page_that_breaks_is_an_error() -> None:
    """Half a list would be taken for the whole."""
    pages = {
        f"{LIST}?n=1000": Page(["a"], "?last=a"),
        f"{LIST}?last=a": Page(["b"], headers=[("Content-Encoding", "gzip")]),
    }
    async with PagedRegistry(pages) as registry, client_of(registry) as client:
        with pytest.raises(UnexpectedAnswerError):
            await list_tags(client, APP)
