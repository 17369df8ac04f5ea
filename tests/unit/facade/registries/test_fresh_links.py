"""A registry is asked for one other link where a store refuses the first one it gave."""

from contextlib import suppress

import pytest

from facade.arrivals.download import open_download
from facade.arrivals.unknown_length import blob_length
from facade.content.manifest import fetch_manifest
from facade.content.still_given import may_still_read
from facade.registries.absences import Absences, RememberedAbsenceError
from facade.registries.circuit import MAX_WAIT_SECONDS
from facade.registries.circuit_breaker import CircuitBreaker
from facade.registries.upstream import Upstream
from facade.values.pull_path import Pull
from shared.oci import OCI_MANIFEST, Digest, Kind
from shared.upstream.asked_range import AskedRange
from shared.upstream.errors import (
    CredentialRefusedError,
    NotInRegistryError,
    PolicyDeniedError,
    RateLimitedError,
    ServerError,
    UnexpectedStatusError,
    UpstreamError,
)
from tests.support.clock import Clock
from tests.support.simulators.behaviour import Answers, Behaviour, Honest, InTurn, RedirectsTo
from tests.support.simulators.registry import RegistrySimulator, StoreSimulator
from tests.unit.facade.conftest import Connect
from tests.unit.facade.content.downloads import LARGE, REPOSITORY, SMALL, received

OF_A_LINK = [400, 401, 403, 404, 408, 410, 418, 421]
MANIFEST = b'{"schemaVersion":2,"mediaType":"%b"}' % OCI_MANIFEST.encode()


def in_turn(*behaviours: Behaviour | int) -> Behaviour:
    """Answer in these ways, one after the other; a number is a status."""
    return InTurn(tuple(Answers(each) if isinstance(each, int) else each for each in behaviours))


@pytest.mark.parametrize("status", OF_A_LINK)
@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["small", "large"])
async def test_a_blob_comes_by_the_second_link(
    status: int, content: bytes, connect: Connect
) -> None:
    """The first one has expired, or leads to a node that lags behind."""
    async with StoreSimulator() as store, RegistrySimulator() as registry:
        link = RedirectsTo(store.put(content, get=in_turn(status, Honest())))
        got = await received(await connect(registry), registry.blob(content, get=link))
    assert got.body == content
    assert (len(registry.requests), len(store.requests)) == (2, 2)


@pytest.mark.parametrize("status", [403, 404])
async def test_whatever_is_asked_has_a_second_link(status: int, connect: Connect) -> None:
    """A manifest, a length, a range, and a right that is proven again."""
    async with StoreSimulator() as store, RegistrySimulator() as registry:
        upstream = await connect(registry)
        store_once = in_turn(status, Honest())
        manifest = Digest.parse(
            registry.manifest(MANIFEST, get=RedirectsTo(store.put(MANIFEST, get=store_once)))
        )
        fetched = await fetch_manifest(upstream, REPOSITORY, manifest)
        assert fetched.content == MANIFEST
        link = RedirectsTo(store.put(LARGE, get=store_once))
        blob = Digest.parse(registry.blob(LARGE, get=link))
        assert await blob_length(upstream, REPOSITORY, blob) == len(LARGE)
        registry.blob(LARGE, get=RedirectsTo(store.put(LARGE, get=store_once)))
        pull = Pull(registry.host, REPOSITORY, Kind.BLOB, blob)
        assert await may_still_read(upstream, pull, with_head=False)
        registry.blob(LARGE, get=RedirectsTo(store.put(LARGE, get=store_once)))
        span = upstream.fetch(Kind.BLOB, REPOSITORY, blob, AskedRange(7, 9))
        async with span as answer:
            assert b"".join([chunk async for chunk in answer.chunks()]) == LARGE[7:10]


async def failure(upstream: Upstream, digest: Digest) -> UpstreamError:
    """Return what a GET of a blob fails with."""
    with pytest.raises(UpstreamError) as failed:
        async with open_download(upstream, REPOSITORY, digest):
            pass
    return failed.value


@pytest.mark.parametrize(
    "statuses, error, remembered",
    [
        ((403, 403), UnexpectedStatusError, 0),
        ((404, 404), NotInRegistryError, 1),
        ((403, 404), NotInRegistryError, 0),  # one 404 alone
        ((404, 403), UnexpectedStatusError, 0),
        ((404, 503), ServerError, 0),
        ((503,), ServerError, 0),
        ((429,), RateLimitedError, 0),
        ((451,), PolicyDeniedError, 0),
        ((302,), UpstreamError, 0),
    ],
)
async def test_two_links_are_the_end(
    statuses: tuple[int, ...], error: type[Exception], remembered: int, connect: Connect
) -> None:
    """And what is not about the link is not tried again."""
    async with StoreSimulator() as store, RegistrySimulator() as registry:
        absences = Absences(Clock())
        upstream = await connect(registry, absences=absences)
        link = RedirectsTo(store.put(LARGE, get=in_turn(*statuses, Honest())))
        digest = Digest.parse(registry.blob(LARGE, get=link))
        assert isinstance(await failure(upstream, digest), error)
        assert len(store.requests) == len(statuses)
        assert absences.count == remembered
        if remembered:
            assert isinstance(await failure(upstream, digest), RememberedAbsenceError)
        else:
            assert (await received(upstream, str(digest))).body == LARGE


@pytest.mark.parametrize(
    "status, error", [(403, CredentialRefusedError), (404, NotInRegistryError)]
)
async def test_what_the_registry_itself_refuses_is_asked_once(
    status: int, error: type[Exception], connect: Connect
) -> None:
    """It is the one who knows."""
    async with RegistrySimulator() as registry:
        digest = Digest.parse(registry.blob(LARGE, get=Answers(status)))
        assert isinstance(await failure(await connect(registry), digest), error)
    assert len(registry.requests) == 1


async def test_another_link_is_no_other_question_to_the_breaker(connect: Connect) -> None:
    """While everybody waits, a device that failed may try once: by both links of its pull."""
    clock = Clock()
    async with StoreSimulator() as store, RegistrySimulator() as registry:
        upstream = await connect(registry, breaker=CircuitBreaker(clock))
        contents = [b"blob %d" % number for number in range(4)]
        digests = [Digest.parse(registry.blob(each, get=Answers(500))) for each in contents]

        async def pull(device: str, digest: Digest) -> bytes:
            asked = upstream.asked_by(device)
            asked.require_worth_asking(Kind.BLOB, REPOSITORY, digest)
            async with asked.fetch(Kind.BLOB, REPOSITORY, digest) as answer:
                return b"".join([chunk async for chunk in answer.chunks()])

        for _ in range(3):
            for device in ("one", "two"):
                for digest in digests:
                    with suppress(UpstreamError):
                        await pull(device, digest)
                clock.advance(MAX_WAIT_SECONDS + 1)
        link = RedirectsTo(store.put(contents[0], get=in_turn(403, Honest())))
        registry.blob(contents[0], get=link)
        clock.advance(MAX_WAIT_SECONDS + 1)
        assert await pull("one", digests[0]) == contents[0]
