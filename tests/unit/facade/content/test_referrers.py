"""A list of referrers holds what could be proven, whatever the registry says; and it ends."""

import secrets
from collections.abc import AsyncIterator
from enum import Enum, auto
from typing import Any
from uuid import UUID

import attrs
import pytest
from attrs import define, field
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from facade.content.far_ranges import FarRanges
from facade.content.referrers import (
    MAX_REMEMBERED_BYTES,
    MAX_REMEMBERED_BYTES_OF_ONE_DEVICE,
    PAGE_REFERRERS,
    REMEMBERED_SECONDS,
    Referrers,
    ReferrersPage,
    UnprovenReferrersError,
)
from facade.content.source import PullInProgress
from facade.content.streamed_content import StreamedContent
from facade.metrics.pull_metrics import LeftOut, PullMetrics, PullSource
from facade.registries.circuit_breaker import CircuitBreaker
from facade.registries.connection_work import ConnectionWork
from facade.registries.device_allowance import CostLimits, TooManyMissesError
from facade.registries.failing_paths import CircuitOpenError
from facade.registries.payer import FREE, Payer, Payers
from facade.registries.upstream import Upstream
from facade.registries.upstreams import Upstreams
from facade.values.pull_path import Pull
from shared.approved_connection import ApprovedConnection
from shared.oci import OCI_INDEX, Digest, Kind
from shared.upstream.errors import ServerError, UpstreamTimeoutError
from shared.upstream.referrers import referrers_tag
from shared.upstream.transport import Timeouts
from tests.support.clock import Clock
from tests.support.referrers import (
    SBOM,
    SIGNATURE,
    Attached,
    attached,
    index_with,
    list_them,
    serve,
)
from tests.support.simulators.behaviour import Answers, OtherBytes, Slow
from tests.support.simulators.registry import RegistrySimulator
from tests.unit.facade.conftest import Connect
from tests.unit.facade.content.machine import APP, CONNECTION
from tests.unit.facade.strategies import HOST


@define
class World:
    """A facade without a store, and one registry that it asks."""

    registry: RegistrySimulator
    upstream: Upstream
    clock: Clock = field(factory=Clock)
    upstreams: Upstreams = field(init=False)
    referrers: Referrers = field(init=False)
    subject: Digest = field(factory=lambda: Digest.parse(f"sha256:{secrets.token_hex(32)}"))

    def __attrs_post_init__(self) -> None:
        """Remember nothing yet."""

        async def make(_: ApprovedConnection) -> Upstream:
            return self.upstream

        self.upstreams = Upstreams(make, ConnectionWork())
        self.referrers = self.within(60)

    def within(self, seconds: float) -> Referrers:
        """Return lists of which a page takes so long at the most."""
        content = StreamedContent(FarRanges(enabled=True))
        metrics = PullMetrics.create(CollectorRegistry())
        return Referrers(content, metrics, self.clock, seconds)

    def asked(
        self, payer: Payer = FREE, connection: ApprovedConnection = CONNECTION
    ) -> PullInProgress:
        """Return a device's pull of the subject."""
        pull = Pull(HOST, APP, Kind.MANIFEST, self.subject)
        return PullInProgress(pull, connection, self.upstreams, payer)

    async def page(self, payer: Payer = FREE, after: Digest | None = None) -> ReferrersPage:
        """Ask for a page."""
        return await self.referrers.page(self.asked(payer), after)

    async def digests(self) -> list[str]:
        """Return what is on the first page."""
        return [str(each.digest) for each in (await self.page()).referrers]

    def attached(self, artifact_type: str = SIGNATURE, **fields: Any) -> Attached:
        """Return a manifest that refers to the subject."""
        return attached(str(self.subject), artifact_type, **fields)


@pytest.fixture
async def world(connect: Connect) -> AsyncIterator[World]:
    """A world in which nothing was asked yet."""
    async with RegistrySimulator() as registry:
        world = World(registry, await connect(registry, timeouts=Timeouts(stall_seconds=5)))
        yield world
        await world.referrers.close()


class Lie(Enum):
    """What is the matter with an entry of a registry's list."""

    NONE = auto()
    FOREIGN = auto()
    NO_SUBJECT = auto()
    MISSING = auto()
    OTHER_BYTES = auto()
    GARBLED = auto()
    NO_DIGEST = auto()
    BLOCKED = auto()
    OTHER_TYPE = auto()


LEFT_OUT = {
    Lie.FOREIGN: LeftOut.OTHER_SUBJECT,
    Lie.NO_SUBJECT: LeftOut.OTHER_SUBJECT,
    Lie.MISSING: LeftOut.MISSING,
    Lie.OTHER_BYTES: LeftOut.WRONG_BYTES,
    Lie.GARBLED: LeftOut.WRONG_BYTES,
    Lie.NO_DIGEST: LeftOut.UNREADABLE,
    Lie.BLOCKED: LeftOut.WITHHELD,
}


def entry(world: World, number: int, lie: Lie) -> tuple[Attached, object]:
    """Have the registry give one entry's manifest; return it, and what the list says of it."""
    kept: dict[str, Any] = {"annotations": {"n": str(number)}}
    made = world.attached(**kept)
    match lie:
        case Lie.NONE:
            serve(world.registry, [made])
        case Lie.FOREIGN:
            serve(world.registry, [made := attached(f"sha256:{number:064x}", **kept)])
        case Lie.NO_SUBJECT:
            serve(world.registry, [made := world.attached(subject=None, **kept)])
        case Lie.MISSING:
            pass
        case Lie.OTHER_BYTES:
            serve(world.registry, [made], get=OtherBytes())
        case Lie.GARBLED:
            serve(world.registry, [made := Attached(b"garbled %d" % number)])
        case Lie.NO_DIGEST:
            return made, {**made.claimed, "digest": f"sha256:{number}"}
        case Lie.BLOCKED:
            serve(world.registry, [made], get=Answers(451))
        case Lie.OTHER_TYPE:
            serve(world.registry, [made])
            return made, {**made.claimed, "mediaType": OCI_INDEX, "artifactType": "text/lie"}
    return made, made.claimed


@given(lies=st.lists(st.sampled_from(Lie), max_size=8), by_tag=st.booleans())
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
async def test_whatever_a_registry_lists_the_proven_ones_are_shown(
    world: World, lies: list[Lie], *, by_tag: bool
) -> None:
    """And an empty page is only given if nothing on the list is in doubt."""
    world.subject = Digest.parse(f"sha256:{secrets.token_hex(32)}")
    made = [entry(world, number, lie) for number, lie in enumerate(lies)]
    index = index_with(claim for _, claim in made)
    if by_tag:
        tag = referrers_tag(world.subject)
        world.registry.manifest(index, media_type=OCI_INDEX, digest=tag)
    else:
        world.registry.listing(str(world.subject), index)
    honest = sorted(
        manifest.digest
        for (manifest, _), lie in zip(made, lies, strict=True)
        if lie in (Lie.NONE, Lie.OTHER_TYPE)
    )
    page = await world.page()
    assert [str(each.digest) for each in page.referrers] == honest
    assert sorted(page.left_out.elements()) == sorted(
        LEFT_OUT[lie] for lie in lies if lie in LEFT_OUT
    )
    doubtful = {Lie.OTHER_BYTES, Lie.GARBLED, Lie.BLOCKED} & {*lies}
    if doubtful and not honest:
        with pytest.raises(UnprovenReferrersError):
            page.of_types(frozenset())
    else:
        assert page.of_types(frozenset()) == page.referrers
    if doubtful:
        with pytest.raises(UnprovenReferrersError):
            page.of_types(frozenset({SBOM}))


async def test_what_is_remembered_ends(world: World) -> None:
    """A new signature is found then, and one that was deleted is on the list no longer."""
    first, second = world.attached(), world.attached(SBOM)
    list_them(world.registry, str(world.subject), [first])
    assert await world.digests() == [first.digest]
    list_them(world.registry, str(world.subject), [second])
    world.clock.advance(REMEMBERED_SECONDS - 0.1)
    assert await world.digests() == [first.digest]
    world.clock.advance(0.2)
    assert await world.digests() == [second.digest]


async def test_a_page_ends_with_the_list_that_it_is_of(world: World) -> None:
    """Or the last page of a list could be told long after the first."""
    many = [world.attached(annotations={"n": str(n)}) for n in range(PAGE_REFERRERS + 1)]
    list_them(world.registry, str(world.subject), many)
    first = await world.page()
    assert first.following is not None
    world.clock.advance(REMEMBERED_SECONDS - 1)
    assert len((await world.page(after=first.following)).referrers) == 1
    world.registry.listing(str(world.subject), index_with([]))
    world.clock.advance(2)
    assert (await world.page(after=first.following)).referrers == ()


async def test_a_failure_and_a_doubt_are_not_remembered(world: World) -> None:
    """The next one asks again, as far as the breaker and the backoff let it."""
    signature = world.attached()
    world.registry.listing(str(world.subject), b"", get=Answers(500))
    with pytest.raises(ServerError):
        await world.page()
    world.registry.listing(str(world.subject), index_with([signature.claimed]))
    serve(world.registry, [signature], get=Answers(451))
    assert (await world.page()).is_in_doubt
    serve(world.registry, [signature])
    assert await world.digests() == [signature.digest]


async def test_where_a_list_came_from_is_told(world: World) -> None:
    """From the registry, and then from memory."""
    list_them(world.registry, str(world.subject), [world.attached()])
    asked, again = world.asked(), world.asked()
    await world.referrers.page(asked, None)
    await world.referrers.page(again, None)
    assert (asked.origin.source, again.origin.source) == (PullSource.UPSTREAM, PullSource.MEMORY)


async def test_another_connection_is_told_nothing(world: World) -> None:
    """What is remembered belongs to an access key, as rights do."""
    list_them(world.registry, str(world.subject), [world.attached()])
    assert len(await world.digests()) == 1
    before = len(world.registry.pulls)
    other = attrs.evolve(CONNECTION, id=UUID(int=2), access_key="1" * 64)
    await world.referrers.page(world.asked(connection=other), None)
    assert len(world.registry.pulls) == before + 2


async def test_each_question_is_paid_for(world: World) -> None:
    """The list is one, and each manifest; who has used up its own is refused, and nobody else."""
    signatures = [world.attached(annotations={"n": str(n)}) for n in range(3)]
    list_them(world.registry, str(world.subject), signatures)
    payers = Payers.within(CostLimits(misses_per_minute=3, downloads=0), max_wait=0)
    with pytest.raises(TooManyMissesError):
        await world.page(payers.payer("poor"))
    assert len((await world.page()).referrers) == 3
    assert len((await world.page(payers.payer("poor"))).referrers) == 3, "from memory"


async def test_lists_that_fail_stop_no_manifests(world: World) -> None:
    """Some registries answer 5xx to a route that they do not know."""
    breaker = CircuitBreaker(world.clock)
    broken = attrs.evolve(world.upstream, breaker=breaker)
    world.registry.listing(str(world.subject), b"", get=Answers(500))
    for number in range(8):
        world.subject = Digest.of(b"%d" % number)
        world.registry.listing(str(world.subject), b"", get=Answers(500))
        with pytest.raises((ServerError, CircuitOpenError)):
            async with broken.asked_by(f"d{number}").fetch_referrers(APP, world.subject):
                pass
    assert breaker.is_open
    content = world.attached().content
    manifest = world.registry.manifest(content)
    async with broken.asked_by("d").fetch(Kind.MANIFEST, APP, Digest.parse(manifest)) as answer:
        assert answer.content_length == len(content)


async def test_what_is_remembered_is_bounded(world: World) -> None:
    """In bytes; and of one device, whose own lists go first."""
    notes = {"a": "x" * 60_000}
    for number in range(4):
        world.subject = Digest.of(b"%d" % number)
        many = [world.attached(annotations=notes | {"n": str(n)}) for n in range(PAGE_REFERRERS)]
        list_them(world.registry, str(world.subject), many)
        await world.page(Payers.within(CostLimits(0, 0)).payer("device"))
    pages = world.referrers._pages  # noqa: SLF001 - the bound
    assert PAGE_REFERRERS * 60_000 < pages.size <= MAX_REMEMBERED_BYTES_OF_ONE_DEVICE
    assert MAX_REMEMBERED_BYTES_OF_ONE_DEVICE < pages.max_size == MAX_REMEMBERED_BYTES


async def test_a_page_takes_so_long_and_no_longer(world: World) -> None:
    """A registry could take as long as it likes for each manifest."""
    world.referrers = world.within(0.3)
    signatures = [world.attached(annotations={"n": str(n)}) for n in range(20)]
    serve(world.registry, signatures, get=Slow(100, 0.05))
    entries = [each.claimed for each in signatures]
    world.registry.listing(str(world.subject), index_with(entries))
    with pytest.raises(UpstreamTimeoutError):
        await world.page()
