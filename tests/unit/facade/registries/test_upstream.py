"""A registry is not asked for what it lately said it does not have, nor twice at once for it."""

import asyncio

import pytest

from facade.registries.absences import ABSENCE_SECONDS, Absences
from facade.registries.circuit import FIRST_WAIT_SECONDS
from facade.registries.circuit_breaker import (
    FAILURES_TO_OPEN,
    CircuitBreaker,
    CircuitOpenError,
    Question,
)
from facade.registries.failing_paths import FAILURES_OF_A_DIGEST, DeviceFailingError
from facade.registries.open_questions import OpenQuestions
from facade.registries.upstream import Upstream
from facade.registries.wrong_bytes_backoff import WrongBytesLatelyError
from facade.values.piece import WrongBytesError
from shared.oci import OCI_MANIFEST, Digest, Kind, RepositoryName
from shared.upstream.asked_range import AskedRange
from shared.upstream.errors import ConnectError, NotInRegistryError, ServerError, UpstreamError
from shared.upstream.transport import Method, Timeouts
from tests.support.clock import Clock
from tests.support.simulators.behaviour import Answers, Honest, Stalls
from tests.support.simulators.registry import RegistrySimulator
from tests.unit.facade.conftest import Connect
from tests.unit.facade.registries.failures import unreached

APP = RepositoryName.parse("team/app")
MISSING = Digest.of(b"missing")
CONTENT = b'{"schemaVersion":2}'
DIGEST = Digest.of(CONTENT)


async def ask(
    upstream: Upstream,
    kind: Kind = Kind.BLOB,
    digest: Digest = MISSING,
    *,
    method: Method = "GET",
    first_byte: int = 0,
) -> None:
    """Ask, and read what comes."""
    async with upstream.fetch(kind, APP, digest, AskedRange(first_byte), method=method) as answer:
        async for _ in answer.chunks():
            pass


@pytest.mark.parametrize("kind", Kind)
async def test_what_is_missing_is_asked_for_once_in_half_a_minute(
    connect: Connect, kind: Kind
) -> None:
    """By GET; HEAD and resumed downloads are answered by the same memory."""
    clock = Clock()
    async with RegistrySimulator() as registry:
        upstream = await connect(registry, absences=Absences(clock))
        for _ in range(2):
            for requested in ({}, {"method": "HEAD"}, {"first_byte": 5}):
                with pytest.raises(NotInRegistryError):
                    await ask(upstream, kind, **requested)
            assert len(registry.requests) == 1
            with pytest.raises(NotInRegistryError):
                upstream.require_worth_asking(kind, APP, MISSING)
            clock.advance(ABSENCE_SECONDS)
            upstream.require_worth_asking(kind, APP, MISSING)
            registry.requests.clear()


async def test_what_is_pushed_meanwhile_is_found_when_the_memory_ends(connect: Connect) -> None:
    """Never later."""
    clock = Clock()
    async with RegistrySimulator() as registry:
        upstream = await connect(registry, absences=Absences(clock))
        with pytest.raises(NotInRegistryError):
            await ask(upstream, digest=DIGEST)
        registry.blob(CONTENT)
        with pytest.raises(NotInRegistryError):
            await ask(upstream, digest=DIGEST)
        clock.advance(ABSENCE_SECONDS)
        await ask(upstream, digest=DIGEST)


async def test_a_manifest_that_head_denies_is_asked_for_by_get(connect: Connect) -> None:
    """A proxy may know it only once it was fetched; HEADs are remembered by themselves."""
    async with RegistrySimulator() as registry:
        registry.manifest(CONTENT, media_type=OCI_MANIFEST, head=Answers(404))
        upstream = await connect(registry)
        for _ in range(3):
            with pytest.raises(NotInRegistryError):
                await ask(upstream, Kind.MANIFEST, DIGEST, method="HEAD")
        assert len(registry.requests) == 1
        await ask(upstream, Kind.MANIFEST, DIGEST)


@pytest.mark.parametrize("status", [401, 403, 410, 429, 500, 502, 503, 504])
async def test_nothing_but_a_404_is_remembered(connect: Connect, status: int) -> None:
    """What is refused, limited or away may be there."""
    async with RegistrySimulator() as registry:
        registry.blob(CONTENT, get=Answers(status))
        upstream = await connect(registry)
        for expected in (1, 2):
            with pytest.raises(UpstreamError) as failure:
                await ask(upstream, digest=DIGEST)
            assert not isinstance(failure.value, NotInRegistryError)
            assert len(registry.pulls) == expected
        registry.blob(CONTENT, get=Honest())
        await ask(upstream, digest=DIGEST)


async def test_silence_is_not_remembered(connect: Connect) -> None:
    """Neither is a connection that is not accepted."""
    async with RegistrySimulator() as registry:
        registry.blob(CONTENT, get=Stalls())
        upstream = await connect(registry, timeouts=Timeouts(stall_seconds=1))
        with pytest.raises(UpstreamError):
            await ask(upstream, digest=DIGEST)
        registry.blob(CONTENT, get=Honest())
        await ask(upstream, digest=DIGEST)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_herd_that_asks_for_what_is_missing_is_one_request(
    connect: Connect, method: Method
) -> None:
    """A thousand devices with a wrong digest, all at once."""
    async with RegistrySimulator() as registry:
        upstream = await connect(registry)
        asking = (ask(upstream, Kind.MANIFEST, method=method) for _ in range(200))
        outcomes = await asyncio.gather(*asking, return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {NotInRegistryError}
        assert len(registry.requests) == 1


async def test_a_herd_that_asks_for_what_is_there_is_answered(connect: Connect) -> None:
    """Each has its own answer to read."""
    async with RegistrySimulator() as registry:
        registry.blob(CONTENT)
        upstream = await connect(registry)
        await asyncio.gather(*(ask(upstream, digest=DIGEST) for _ in range(20)))
        assert len(registry.requests) == 20


async def test_a_path_that_fails_is_not_worth_asking_and_others_are(connect: Connect) -> None:
    """So that nobody pays for what is not asked, and one path is not the whole registry."""
    async with RegistrySimulator() as registry:
        registry.blob(CONTENT, get=Answers(503))
        upstream = await connect(registry)
        for _ in range(FAILURES_OF_A_DIGEST):
            upstream.require_worth_asking(Kind.BLOB, APP, DIGEST)
            with pytest.raises(ServerError):
                await ask(upstream, digest=DIGEST)
        with pytest.raises(CircuitOpenError):
            upstream.require_worth_asking(Kind.BLOB, APP, DIGEST)
        upstream.require_worth_asking(Kind.BLOB, APP, MISSING)


async def test_a_registry_that_can_be_reached_again_is_found_by_its_ping(connect: Connect) -> None:
    """The next pull's own path may be one that hangs, or that answers 500 for ever."""
    clock = Clock()
    breaker = CircuitBreaker(clock)
    async with RegistrySimulator() as registry:
        registry.blob(CONTENT, get=Answers(500))
        upstream = await connect(registry, breaker=breaker)
        for _ in range(FAILURES_TO_OPEN):
            with pytest.raises(UpstreamError), breaker.attempt(Question(Kind.BLOB, APP, DIGEST)):
                raise unreached()
        with pytest.raises(CircuitOpenError):
            await ask(upstream)
        assert not registry.requests
        clock.advance(FIRST_WAIT_SECONDS)
        with pytest.raises(ServerError):
            await ask(upstream, digest=DIGEST)
        assert [each.path for each in registry.requests] == ["/v2/", registry.pulls[0].path]
        assert not breaker.is_open


async def test_a_registry_that_accepts_no_connection_is_asked_by_nobody(connect: Connect) -> None:
    """Five times, then by `GET /v2/` alone."""
    clock = Clock()
    breaker = CircuitBreaker(clock)
    async with RegistrySimulator() as registry:
        upstream = await connect(registry, breaker=breaker)
    for _ in range(FAILURES_TO_OPEN):
        with pytest.raises(ConnectError):
            await ask(upstream)
    with pytest.raises(CircuitOpenError):
        await ask(upstream.asked_by("another"), digest=DIGEST)
    clock.advance(FIRST_WAIT_SECONDS)
    with pytest.raises(ConnectError):
        await ask(upstream)
    with pytest.raises(CircuitOpenError):
        await ask(upstream)


async def test_what_keeps_one_device_from_asking_is_not_told_to_others() -> None:
    """They wait for the same question, and may be let through."""
    questions = OpenQuestions[str]()

    async def ask_in_vain() -> None:
        async with questions.ask("the same"):
            await asyncio.sleep(0)
            raise DeviceFailingError(1.0)

    async def ask_too() -> None:
        await asyncio.sleep(0)
        async with questions.ask("the same"):
            pass

    outcomes = await asyncio.gather(ask_in_vain(), ask_too(), return_exceptions=True)
    assert [type(each) for each in outcomes] == [DeviceFailingError, type(None)]


async def test_wrong_bytes_are_not_brought_again_at_once(connect: Connect) -> None:
    """Whoever brings bytes says so; of another digest nothing is said."""
    async with RegistrySimulator() as registry:
        upstream = await connect(registry)
        with pytest.raises(WrongBytesError), upstream.verifying(Kind.BLOB, APP, DIGEST):
            raise WrongBytesError
        with pytest.raises(WrongBytesLatelyError):
            upstream.require_worth_asking(Kind.BLOB, APP, DIGEST)
        with pytest.raises(WrongBytesLatelyError), upstream.verifying(Kind.BLOB, APP, DIGEST):
            pytest.fail("began too early")
        upstream.require_worth_asking(Kind.BLOB, APP, MISSING)
