"""A failure is gone with whoever it was told to: nothing of it waits for the garbage collector."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Final

import pytest
from attrs import define

from facade.arrivals.flights import Flights
from facade.content.far_ranges import FarRanges
from facade.content.manifest import WHOLLY_READ_BYTES
from facade.content.source import Content, PullInProgress
from facade.content.stored_content import StoredContent
from facade.content.streamed_content import StreamedContent
from facade.registries.connection_work import ConnectionRevokedError, ConnectionWork
from facade.registries.payer import FREE
from facade.registries.upstream import Upstream
from facade.registries.upstreams import Upstreams
from facade.rights.rights import Rights
from facade.store.blob_store import BlobStore
from facade.values.piece import PIECE_BYTES
from facade.values.pull_path import Pull
from shared.approved_connection import ApprovedConnection
from shared.oci import MAX_MANIFEST_BYTES, Digest, Kind
from shared.upstream.errors import BrokenBodyError, ConnectError
from shared.upstream.transport import Timeouts
from tests.support.eventually import eventually, some_turns
from tests.support.leftovers import leftovers
from tests.support.simulators.behaviour import (
    Answers,
    Behaviour,
    BreaksAt,
    FewerBytes,
    InTurn,
    MoreBytes,
    NoLength,
    OtherBytes,
    RawBytes,
    RedirectsTo,
    Stalls,
    TypedAs,
    WebPage,
)
from tests.support.simulators.registry import RegistrySimulator
from tests.unit.facade.conftest import Connect
from tests.unit.facade.content.downloads import LARGE, SMALL, received, refused
from tests.unit.facade.content.machine import APP, CONNECTION

DEVICES: Final = 3  # that ask at once, and share each failure
MANIFEST: Final = b'{"schemaVersion":2,"layers":[]}'
QUICK: Final = Timeouts(connect_seconds=0.5, first_byte_seconds=0.1, stall_seconds=0.1)

KINDS: Final[dict[str, Behaviour]] = {
    "wrong bytes": OtherBytes(),
    "fewer bytes": FewerBytes(),
    "fewer bytes, no length": NoLength(missing=1, head_length=False),
    "more bytes": MoreBytes(counted=True),
    "too long": Answers(200, body=b"x" * (MAX_MANIFEST_BYTES + 1)),
    "anything": Answers(200, body=b"x" * (WHOLLY_READ_BYTES + 1)),
    "wrong type": TypedAs(("application/vnd.oci.image.index.v1+json",)),
    "web page": WebPage(),
    "no answer": Stalls(),
    "silence in the middle": Stalls(after=5),
    "other length": BreaksAt(5, ranges="other_length"),
    "no HTTP": RawBytes(b"nonsense\r\n\r\n"),
    "redirect to nowhere": RedirectsTo("https://127.0.0.1:1/"),
    "refused redirect": RedirectsTo("http://169.254.169.254/"),
    "range refused": InTurn((BreaksAt(5), Answers(416), Answers(404))),
    "breaks, then wrong": InTurn((BreaksAt(5), OtherBytes())),
    **{
        str(status): Answers(status)
        for status in (203, 401, 403, 404, 408, 410, 418, 429, 451, 500, 503)
    },
}


@define
class Scene:
    """One facade's content, with a store or without one."""

    registry: RegistrySimulator
    work: ConnectionWork
    upstreams: Upstreams
    content: Content
    timeouts: Timeouts = QUICK  # a busy machine may take longer: what must not fail has longer ones

    async def pull(self, kind: Kind, digest: str) -> str | None:
        """Pull as a device does; return the name of what failed."""
        pull = Pull(self.registry.host, APP, kind, Digest.parse(digest))
        try:
            with self.work.running(CONNECTION):
                asked = PullInProgress(pull, CONNECTION, self.upstreams, FREE)
                if kind is Kind.MANIFEST:
                    await self.content.manifest(asked)
                    return None
                async with self.content.blob(asked) as blob:
                    async for _ in (await blob.whole()).pieces:
                        pass
        except Exception as error:  # noqa: BLE001 - whatever it is
            return type(error).__name__
        return None

    async def fail(self, kind: Kind, digest: str) -> set[str | None]:
        """Have several devices pull at once."""
        return set(await asyncio.gather(*(self.pull(kind, digest) for _ in range(DEVICES))))


@pytest.fixture(params=["streamed", "stored"])
async def scene(
    request: pytest.FixtureRequest, connect: Connect, tmp_path: Path
) -> AsyncIterator[Scene]:
    """A facade that waits for a tenth of a second."""
    scene: Scene
    async with RegistrySimulator() as registry:

        async def make(_: ApprovedConnection) -> Upstream:
            return await connect(registry, timeouts=scene.timeouts)

        work = ConnectionWork()
        upstreams = Upstreams(make, work)
        if request.param == "streamed":
            scene = Scene(registry, work, upstreams, StreamedContent(FarRanges(enabled=True)))
            yield scene
            return
        store = BlobStore.open(tmp_path, 2**30)
        rights = Rights(store.index)
        flights = Flights(store, rights, upstreams)
        content = StoredContent.of(store, rights, flights, upstreams, FarRanges(enabled=True))
        scene = Scene(registry, work, upstreams, content)
        yield scene
        await content.close()
        await flights.land()
        store.close()


async def test_failed_pulls_are_gone_with_their_answers(scene: Scene) -> None:
    """Of a manifest, of a short blob and of a long one, for all who waited."""
    registry, pulls = scene.registry, list[tuple[Kind, str]]()
    for number, get in enumerate(KINDS.values()):
        pulls += [
            (Kind.BLOB, registry.blob(SMALL + bytes([number]), get=get)),
            (Kind.BLOB, registry.blob(LARGE[:PIECE_BYTES] + bytes([number]), get=get)),
            (Kind.MANIFEST, registry.manifest(MANIFEST + b" " * number, get=get)),
        ]

    async def is_pulled() -> bool:
        return await scene.pull(Kind.BLOB, registry.blob(SMALL)) is None

    await eventually(is_pulled)  # what is made once is made
    with leftovers() as left:
        failed = await asyncio.gather(*(scene.fail(kind, digest) for kind, digest in pulls))
        assert len([each for each in failed if each != {None}]) >= 2 * len(KINDS)
        del failed
    assert sorted(set(left.frames)) == []


async def test_a_pull_leaves_nothing_to_the_collector(scene: Scene) -> None:
    """Each cold pull left 120 objects; the heap grew to what came between two of its rounds."""
    registry, scene.timeouts = scene.registry, Timeouts()
    pulls = [
        (Kind.BLOB, registry.blob(SMALL + b"+")),
        (Kind.BLOB, registry.blob(LARGE + b"+")),
        (Kind.MANIFEST, registry.manifest(MANIFEST)),
    ]
    assert await scene.pull(Kind.BLOB, registry.blob(SMALL)) is None  # what is made once is made
    with leftovers() as left:
        for kind, digest in pulls:
            assert await scene.pull(kind, digest) is None
        await some_turns()  # the ends of tasks
    assert (left.frames, sorted(set(left.objects))) == ([], [])


async def test_a_pull_that_was_given_up_is_gone(connect: Connect) -> None:
    """After five tries."""
    async with RegistrySimulator() as registry:
        upstream = await connect(registry)
        first = registry.blob(LARGE)
        digest = registry.blob(LARGE + b"+", get=BreaksAt(5, times=100))
        await received(upstream, first)
        with leftovers() as left:
            await refused(upstream, digest, BrokenBodyError)
    assert sorted(set(left.frames)) == []


async def fails(work: Callable[[], Awaitable[object]]) -> None:
    """Have it fail for some who wait for it together."""
    for _ in range(DEVICES):
        outcomes = await asyncio.gather(*(work() for _ in range(DEVICES)), return_exceptions=True)
        assert all(isinstance(each, Exception) for each in outcomes)
        del outcomes


async def test_an_upstream_that_cannot_be_made_is_gone() -> None:
    """Its failure is kept until somebody tries again."""

    async def make(_: ApprovedConnection) -> Upstream:
        raise ConnectError("no")

    upstreams = Upstreams(make, ConnectionWork())

    async def lease() -> None:
        async with upstreams.lease(CONNECTION):
            pass

    with leftovers() as left:
        await fails(lease)
    assert left.frames == []


async def test_a_revoked_pull_is_gone(scene: Scene) -> None:
    """It was in the middle of a body."""
    scene.timeouts = Timeouts()
    digest = scene.registry.blob(LARGE, get=Stalls(after=PIECE_BYTES))
    with leftovers() as left:
        pulling = asyncio.create_task(scene.pull(Kind.BLOB, digest))
        while not scene.registry.requests:  # noqa: ASYNC110 - the simulator tells nobody
            await asyncio.sleep(0.01)
        scene.work.revoke(CONNECTION.id)
        assert await pulling in (ConnectionRevokedError.__name__, "ArrivalEndedError")
        del pulling
    assert left.frames == []
