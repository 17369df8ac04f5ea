"""What refers to a manifest: a list made of manifests that were held against their digests.

1. The registry's list names digests: its route for referrers, or the tag under which clients keep
   them if there is no such route.
2. Each of them is fetched as any manifest is: verified, kept, and paid for by who asked.
3. Its own bytes say whether it refers to the subject, its type and its annotations.

So a registry can leave something out, but put nothing on the list. A list that may be too short is
never given as a whole one: if a part of the registry's cannot be had, the request fails; and if
something on it could not be proven, an empty page is an error, because it would read as "unsigned".

One page at a time: the registry's list is read whole, and then the manifests of one page. Devices
that ask for the same wait for one page. It is remembered for a short time, by connection and
repository, as a right to read is: who has no right to the repository never gets here.
"""

import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Final

import attrs
from attrs import define, field, frozen
from yarl import URL

from facade.content.manifest import WHOLLY_READ_BYTES, LongBody, VerifiedManifest, read_content
from facade.content.referrer import Referrer, referrer_of
from facade.content.referrers_index import MAX_LISTED, ListedDigests, read_listed
from facade.content.source import Content, Origin, PullInProgress
from facade.errors import PullError
from facade.loop.single_flight import SingleFlight
from facade.metrics.pull_metrics import LeftOut, PullMetrics, PullSource
from facade.registries.device_allowance import TooCostlyError
from facade.registries.upstream import Upstream
from facade.registries.wrong_bytes_backoff import WrongBytesLatelyError
from facade.rights.right import Right
from facade.rights.right_to_read import right_of
from facade.values.piece import WrongBytesError
from shared.bounded_map import BoundedMap
from shared.oci import OCI_INDEX, Digest
from shared.upstream.answer import UpstreamAnswer
from shared.upstream.body_reading import within
from shared.upstream.errors import (
    GoneError,
    NotInRegistryError,
    PolicyDeniedError,
    UnexpectedAnswerError,
)
from shared.upstream.links import read_links
from shared.upstream.next_page import next_page
from shared.upstream.referrers import UnknownRouteError

PAGE_REFERRERS: Final = 32  # manifests that one request may fetch: most have one to five referrers
MAX_LIST_PAGES: Final = 64  # of a registry's list; they have 50 to 1,000 entries each
LIST_READ_BYTES: Final = 8 * 1024  # of a list, on the loop: some 4 ms at the most
WEB_PAGE: Final = "text/html"
BUILD_SECONDS: Final = 60.0  # for one page. A registry could take as long for each manifest
# A new signature is found at most this much later, and a deleted one is on the list for as long.
REMEMBERED_SECONDS: Final = 30.0
MAX_REMEMBERED_BYTES: Final = 16 * 1024 * 1024  # of pages and of registries' lists, each
MAX_REMEMBERED_BYTES_OF_ONE_DEVICE: Final = 4 * 1024 * 1024  # it pushes out its own
LIST_BYTES: Final = 1536  # of each, besides its entries
ENTRY_BYTES: Final = 512  # of an entry of either, besides its descriptor


class UnprovenReferrersError(PullError):
    """The registry lists referrers, and none of them could be proven."""


@frozen
class _Listed:
    """The digests on a registry's list, in the order in which we give them."""

    digests: tuple[Digest, ...]
    unreadable: int
    until: float  # monotonic: pages are made of it until then


@frozen
class ReferrersPage:
    """A page of what refers to a manifest, and what was left out of it."""

    referrers: tuple[Referrer, ...]
    left_out: Counter[LeftOut]
    following: Digest | None  # the next page begins behind it; None: this is the last one

    def of_types(self, artifact_types: frozenset[str]) -> tuple[Referrer, ...]:
        """Return the referrers of these types, or all if there are none.

        Raises `UnprovenReferrersError` if there is none, and something may be one all the same.
        """
        found = tuple(
            each
            for each in self.referrers
            if not artifact_types or each.artifact_type in artifact_types
        )
        if not found and self.is_in_doubt:
            raise UnprovenReferrersError("no referrer on the registry's list could be proven")
        return found

    @property
    def is_in_doubt(self) -> bool:
        """Whether something was left out that may be a referrer."""
        return self.doubts > 0

    @property
    def doubts(self) -> int:
        """How much was left out that may be a referrer."""
        return sum(count for why, count in self.left_out.items() if why.is_doubt)

    @property
    def words(self) -> str:
        """What was left out, in words; empty if nothing was."""
        if not self.left_out:
            return ""
        counts = ", ".join(f"{count} {why}" for why, count in sorted(self.left_out.items()))
        return f"left out of the registry's list: {counts}"


_PageKey = tuple[Right, Digest | None]


@define(eq=False)
class Referrers:
    """The lists of one process. For one event loop."""

    _content: Content
    _metrics: PullMetrics
    _clock: Callable[[], float] = time.monotonic
    _build_seconds: float = BUILD_SECONDS
    _listed: BoundedMap[Right, _Listed] = field(init=False)
    _pages: BoundedMap[_PageKey, ReferrersPage] = field(init=False)
    _building: SingleFlight[_PageKey, ReferrersPage] = field(factory=SingleFlight, init=False)

    def __attrs_post_init__(self) -> None:
        """Remember nothing yet."""
        self._listed = BoundedMap(
            MAX_REMEMBERED_BYTES,
            clock=self._clock,
            max_share=MAX_REMEMBERED_BYTES_OF_ONE_DEVICE,
            size_of=lambda _, listed: LIST_BYTES + ENTRY_BYTES * len(listed.digests),
        )
        self._pages = BoundedMap(
            MAX_REMEMBERED_BYTES,
            clock=self._clock,
            max_share=MAX_REMEMBERED_BYTES_OF_ONE_DEVICE,
            size_of=lambda _, page: _size(page),
        )

    async def page(self, asked: PullInProgress, after: Digest | None) -> ReferrersPage:
        """Return the referrers of a manifest whose digests come behind `after`, or the first ones.

        `asked` is the pull of the manifest. Raises `UpstreamError`, and what a pull raises.
        """
        key = right_of(asked), after
        while True:
            page = self._pages.get(key)
            if page is not None:
                asked.origin.source = PullSource.MEMORY
                return page
            is_own = not self._building.is_under_way(key)
            asked.origin.source = PullSource.UPSTREAM if is_own else PullSource.ARRIVING
            try:
                return await self._building.share(key, lambda: self._build(asked, after))
            except TooCostlyError:
                if is_own:  # another device's allowance is no reason to refuse this one
                    raise

    async def close(self) -> None:
        """End what is being built."""
        await self._building.close()

    async def _build(self, asked: PullInProgress, after: Digest | None) -> ReferrersPage:
        """Build a page for everybody who waits; it goes on if some of them leave."""
        asked = attrs.evolve(asked, origin=Origin())
        async with asked.upstream() as upstream, within(self._build_seconds):
            listed = await self._list(asked, upstream)
            behind = [each for each in listed.digests if after is None or str(each) > str(after)]
            unreadable = listed.unreadable if after is None else 0
            page = await self._proven(asked, upstream, behind[:PAGE_REFERRERS], unreadable)
        if len(behind) > PAGE_REFERRERS:
            page = attrs.evolve(page, following=behind[PAGE_REFERRERS - 1])
        for why, count in page.left_out.items():
            self._metrics.left_out(why, count)
        if not page.is_in_doubt:
            key = right_of(asked), after
            self._pages.set_until(key, page, listed.until, owner=asked.payer.device)
        return page

    async def _proven(
        self,
        asked: PullInProgress,
        upstream: Upstream,
        digests: list[Digest],
        unreadable: int,
    ) -> ReferrersPage:
        """Return what these digests turn out to be, one after the other."""
        referrers: list[Referrer] = []
        left_out = Counter({LeftOut.UNREADABLE: unreadable} if unreadable else {})
        for digest in digests:
            match await self._referrer(asked, upstream, digest):
                case Referrer() as referrer:
                    referrers.append(referrer)
                case LeftOut() as why:
                    left_out[why] += 1
        return ReferrersPage(tuple(referrers), left_out, None)

    async def _referrer(
        self, asked: PullInProgress, upstream: Upstream, digest: Digest
    ) -> Referrer | LeftOut:
        """Fetch a manifest as a pull of it would, and return what it is."""
        pull = attrs.evolve(asked.pull, digest=digest)
        try:
            manifest = await self._content.manifest(attrs.evolve(asked, pull=pull, origin=Origin()))
        except (NotInRegistryError, GoneError):
            return LeftOut.MISSING
        except PolicyDeniedError:
            return LeftOut.WITHHELD
        except (WrongBytesError, WrongBytesLatelyError):
            return LeftOut.WRONG_BYTES
        return await _read(upstream, digest, manifest, asked.pull.digest)

    async def _list(self, asked: PullInProgress, upstream: Upstream) -> _Listed:
        """Return the registry's list, whole; it is remembered for the pages that follow."""
        right = right_of(asked)
        listed = self._listed.get(right)
        if listed is None:
            pages = [each async for each in _registry_pages(asked, upstream)]
            digests = {digest for page in pages for digest in page.digests}
            if len(digests) > MAX_LISTED or any(page.is_cut for page in pages):
                raise UnexpectedAnswerError(f"the registry lists more than {MAX_LISTED} referrers")
            listed = _Listed(
                tuple(sorted(digests, key=str)),
                sum(each.unreadable for each in pages),
                until=self._clock() + REMEMBERED_SECONDS,
            )
            self._listed.set_until(right, listed, listed.until, owner=asked.payer.device)
        return listed


async def _registry_pages(
    asked: PullInProgress, upstream: Upstream
) -> AsyncIterator[ListedDigests]:
    """Give the pages of the registry's list; raise `UpstreamError` unless all can be had."""
    first = await _registry_page(asked, upstream, None)
    if first is None:
        yield await _tagged(asked, upstream)
        return
    listed, following = first
    yield listed
    count, seen = len(listed.digests), set[URL]()
    while following is not None:
        seen.add(following)
        if count > MAX_LISTED or len(seen) >= MAX_LIST_PAGES:
            raise UnexpectedAnswerError("the registry's list of referrers has too many pages")
        try:
            page = await _registry_page(asked, upstream, following)
        except (NotInRegistryError, GoneError):
            page = None
        if page is None:
            raise UnexpectedAnswerError("a page of the registry's list of referrers is missing")
        listed, following = page
        if following in seen:
            raise UnexpectedAnswerError("the registry's list of referrers goes round in circles")
        yield listed
        count += len(listed.digests)


async def _registry_page(
    asked: PullInProgress, upstream: Upstream, page: URL | None
) -> tuple[ListedDigests, URL | None] | None:
    """Return a page of the registry's route, and where the next one is; None if it has no route."""
    repository, subject = asked.pull.repository, asked.pull.digest
    upstream.require_worth_listing(repository, subject)
    await asked.payer.pay_miss()
    try:
        async with AsyncExitStack() as place:
            async with upstream.fetch_referrers(repository, subject, page) as listed:
                types = listed.answer.content_types
                if page is None and WEB_PAGE in types:
                    return None  # some answer so to what they do not know
                body = await _body(upstream, listed.answer, place)
            found = await _read_list(upstream, body)
    except UnknownRouteError:
        return None
    if found is None:
        if page is None and OCI_INDEX not in types:
            return None
        raise UnexpectedAnswerError("the registry's list of referrers cannot be read")
    following = next_page(listed.url, read_links(listed.links), listed.asked)
    if isinstance(following, str):
        raise UnexpectedAnswerError(f"the registry's list of referrers is not whole: {following}")
    return found, following


async def _tagged(asked: PullInProgress, upstream: Upstream) -> ListedDigests:
    """Return the list that clients keep under a tag; without such a tag there is nothing on it."""
    repository, subject = asked.pull.repository, asked.pull.digest
    upstream.require_worth_listing(repository, subject)
    await asked.payer.pay_miss()
    try:
        async with AsyncExitStack() as place:
            async with upstream.fetch_referrers_tag(repository, subject) as answer:
                body = await _body(upstream, answer, place)
            found = await _read_list(upstream, body)
    except (NotInRegistryError, GoneError):
        return ListedDigests(())
    if found is None:
        raise UnexpectedAnswerError("what the referrers' tag names is no index")
    return found


async def _body(upstream: Upstream, answer: UpstreamAnswer, place: AsyncExitStack) -> bytes:
    answer.require_claim()
    return await read_content(answer, LongBody(upstream.long_manifests, place))


async def _read_list(upstream: Upstream, body: bytes) -> ListedDigests | None:
    """Read a list without blocking the loop for long."""
    if len(body) <= LIST_READ_BYTES:
        return read_listed(body)
    return await upstream.large_manifests.run(read_listed, body)


async def _read(
    upstream: Upstream, digest: Digest, manifest: VerifiedManifest, subject: Digest
) -> Referrer | LeftOut:
    """Read a manifest without blocking the loop for long."""
    if len(manifest.content) <= WHOLLY_READ_BYTES:
        return referrer_of(digest, manifest, subject)
    return await upstream.large_manifests.run(referrer_of, digest, manifest, subject)


def _size(page: ReferrersPage) -> int:
    return LIST_BYTES + sum(ENTRY_BYTES + len(each.descriptor) for each in page.referrers)
