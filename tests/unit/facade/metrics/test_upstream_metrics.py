"""Registries are counted by host and prefix, and however many there are, a scrape is bounded."""

import asyncio
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry

from facade.metrics.metrics import FacadeMetrics
from facade.metrics.upstream_metrics import (
    MAX_HOSTS,
    OTHER,
    REST_SECONDS,
    HostCounts,
    UpstreamMetrics,
)
from facade.metrics.upstream_outcomes import RequestOutcome, TokenFailure
from facade.registries.circuit_breaker import FAILURES_TO_OPEN, CircuitBreaker
from shared.oci import Kind
from shared.upstream.errors import (
    ClosedUnansweredError,
    ConnectError,
    CredentialRefusedError,
    EgressRefusedError,
    ServerError,
    TokenExchangeError,
    UpstreamTimeoutError,
)
from tests.support.clock import Clock

HOST = "ghcr.io"
BYTES = "facade_upstream_bytes_total"
REQUESTS = "facade_upstream_requests_total"


class Scene:
    """The metrics of a process whose clock is ours."""

    def __init__(self) -> None:
        """Begin with no registry."""
        self.clock, self.registry = Clock(), CollectorRegistry()
        self.metrics = UpstreamMetrics(self.clock)
        self.registry.register(self.metrics)

    def counts(self, host: str = HOST, prefix: str = "") -> HostCounts:
        """Return what a connection is counted by."""
        return HostCounts(self.metrics, host, prefix)

    def value(self, name: str, host: str = HOST, prefix: str = "", **labels: str) -> float | None:
        """Return one sample; None where there is no such series."""
        return self.registry.get_sample_value(name, {"host": host, "prefix": prefix, **labels})

    def hosts(self) -> set[str]:
        """Return whose requests are shown."""
        return {
            sample.labels["host"]
            for family in self.registry.collect()
            for sample in family.samples
            if sample.name == REQUESTS
        }


@pytest.fixture
def scene() -> Scene:
    """Metrics without any registry."""
    return Scene()


def test_bytes_are_counted_as_they_come(scene: Scene) -> None:
    """Not at the end of a download of hours; and a download is one while it is read."""
    with scene.counts().reading(Kind.BLOB, is_download=True) as count:
        count(5)
        count(7)
        assert scene.value(BYTES, kind="blobs") == 12
        assert scene.value(BYTES, kind="manifests") == 0
        assert scene.registry.get_sample_value("facade_downloads") == 1
    assert scene.registry.get_sample_value("facade_downloads") == 0


def test_connections_of_one_host_are_told_apart_by_their_prefix(scene: Scene) -> None:
    """They may have other credentials, and other registries behind one name."""
    scene.counts(prefix="team").request(200, 0.1)
    scene.counts(prefix="other/team").request(503, 0.1)
    assert scene.value(REQUESTS, prefix="team", outcome="ok") == 1
    assert scene.value(REQUESTS, prefix="other/team", outcome="server_error") == 1


@pytest.mark.parametrize(
    "ended, outcome",
    [
        (206, RequestOutcome.OK),
        (307, RequestOutcome.REDIRECT),
        (401, RequestOutcome.UNAUTHORIZED),
        (403, RequestOutcome.FORBIDDEN),
        (410, RequestOutcome.NOT_FOUND),
        (429, RequestOutcome.RATE_LIMITED),
        (418, RequestOutcome.CLIENT_ERROR),
        (502, RequestOutcome.SERVER_ERROR),
        (999, RequestOutcome.NONSENSE),
        (ClosedUnansweredError(""), RequestOutcome.CLOSED),
        (ConnectError(""), RequestOutcome.UNREACHABLE),
        (UpstreamTimeoutError(""), RequestOutcome.TIMEOUT),
        (EgressRefusedError(""), RequestOutcome.NOT_ALLOWED),
        (asyncio.CancelledError(), RequestOutcome.LEFT),
    ],
)
def test_a_request_has_one_outcome(
    scene: Scene, ended: int | BaseException, outcome: RequestOutcome
) -> None:
    """And only one that was answered took a time."""
    scene.counts().request(ended, 0.3)
    assert scene.value(REQUESTS, outcome=outcome) == 1
    answered = 1 if isinstance(ended, int) else 0
    assert scene.value("facade_upstream_seconds_count") == answered
    assert scene.value("facade_upstream_seconds_bucket", le="0.5") == answered
    assert scene.value("facade_upstream_seconds_bucket", le="0.25") == 0


def test_the_circuit_of_a_registry_is_shown_while_somebody_has_it(scene: Scene) -> None:
    """An upstream that was closed stops nobody any more."""
    breaker = CircuitBreaker(scene.clock)
    scene.counts().watch(breaker)
    for _ in range(FAILURES_TO_OPEN):
        breaker._note_unreached()  # noqa: SLF001 - the questions are tested beside it
    assert scene.value("facade_upstream_circuit") == 2
    scene.clock.advance(60)
    with breaker.probe():
        assert scene.value("facade_upstream_circuit") == 1
    assert scene.value("facade_upstream_circuit") == 0


@pytest.mark.parametrize(
    "error, reason",
    [
        (CredentialRefusedError("no"), TokenFailure.REFUSED),
        (ServerError(503), TokenFailure.SERVER_ERROR),
        (TokenExchangeError("what", status=200), TokenFailure.NONSENSE),
        (ConnectError("away"), TokenFailure.UNREACHABLE),
        (RuntimeError(), TokenFailure.OTHER),
    ],
)
def test_a_token_that_is_not_given_is_counted_by_why(
    scene: Scene, error: Exception, reason: TokenFailure
) -> None:
    """And the failure goes on to whoever wanted it."""
    with pytest.raises(type(error)), scene.counts().minting():
        raise error
    assert scene.value("facade_token_failures_total", reason=reason) == 1
    assert scene.value("facade_token_expiry_timestamp_seconds") is None


def test_the_newest_token_tells_when_it_expires(scene: Scene) -> None:
    """A password never does, and says nothing."""
    with scene.counts().minting() as given:
        given(None)
    assert scene.value("facade_token_expiry_timestamp_seconds") is None
    with scene.counts().minting() as given:
        given(300.0)
    assert (scene.value("facade_token_expiry_timestamp_seconds") or 0) > 300


def filled(scene: Scene) -> Iterator[str]:
    """Use as many registries as have series, one after the other, and yield their names."""
    for number in range(MAX_HOSTS):
        host = f"registry-{number}.example"
        scene.counts(host).request(200, 0.1)
        yield host
        scene.clock.advance(1)


def test_the_series_that_rested_the_longest_go_for_a_new_registry(scene: Scene) -> None:
    """And no more than for so many: one came, one goes."""
    first, second, *others = filled(scene)
    scene.counts(first).request(200, 0.1)  # so that the second is the least recently used
    scene.clock.advance(REST_SECONDS)
    scene.counts("new.example").request(200, 0.1)
    assert scene.hosts() == {first, *others, "new.example"}
    assert scene.value(REQUESTS, second, outcome="ok") is None


def test_while_all_are_in_use_a_further_registry_is_one_of_the_others(scene: Scene) -> None:
    """A thousand in turn with one more would have a new series with each pull."""
    named = set(filled(scene))
    for host in named:
        scene.counts(host).request(200, 0.1)
    for number in range(3):
        scene.counts(f"new-{number}.example").request(200, 0.1)
    assert scene.hosts() == {*named, OTHER}
    assert scene.value(REQUESTS, OTHER, outcome="ok") == 3


def test_what_is_being_read_keeps_its_series(scene: Scene) -> None:
    """However long it takes: its bytes go on being counted where they were."""
    first, *_ = filled(scene)
    with scene.counts(first).reading(Kind.BLOB, is_download=True) as count:
        for host in list(scene.hosts() - {first}):
            scene.counts(host).request(200, 0.1)
        scene.clock.advance(REST_SECONDS)
        scene.counts("new.example").request(200, 0.1)
        count(9)
        assert scene.value(BYTES, first, kind="blobs") == 9
    assert {first, "new.example"} <= scene.hosts()


def own_lines(text: bytes) -> list[bytes]:
    """Return what is not of the process or the interpreter, which go on."""
    return [line for line in text.splitlines() if b"facade_" in line]


async def test_a_scrape_of_all_that_may_be_is_bounded_and_lets_others_go_first() -> None:
    """In bytes, and in how much is made of it at once."""
    metrics = FacadeMetrics.create()
    for number in range(MAX_HOSTS + 1):
        host = f"{number}." + "x" * 246 + ".example"
        counts = HostCounts(metrics.upstreams, host[:253], "p" * 255)
        for outcome in (200, 302, 401, 403, 404, 429, 418, 500, ConnectError("")):
            counts.request(outcome, 0.1)
    turns = 0
    scrape = asyncio.create_task(metrics.exposition_in_turns())
    while not scrape.done():
        turns += 1
        await asyncio.sleep(0)
    text = scrape.result()
    assert turns > 100
    assert len(text) < 32 * 1024 * 1024
    assert own_lines(text) == own_lines(metrics.exposition())
    heads = [line for line in text.splitlines() if line.startswith(b"# TYPE")]
    assert len(heads) == len(set(heads))
