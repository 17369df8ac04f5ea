"""What goes wrong with a registry is told when it begins, and not by every pull that meets it."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import orjson
import pytest

from facade.registries.circuit_breaker import (
    FAILURES_TO_OPEN,
    CircuitBreaker,
    CircuitOpenError,
    Question,
)
from facade.registries.registry_troubles import (
    MAX_CURRENT,
    TELL_AGAIN_SECONDS,
    RegistryTrouble,
    RegistryTroubles,
)
from shared.oci import Digest, Kind, RepositoryName
from shared.registry_host import RegistryHost
from shared.upstream.errors import (
    ChallengeError,
    ConnectError,
    CredentialRefusedError,
    EgressRefusedError,
    NotInRegistryError,
    RateLimitedError,
    RealmNotAllowedError,
    RedirectRefusedError,
    ResolveError,
    ServerError,
    TlsError,
    UnexpectedAnswerError,
    UpstreamError,
    UpstreamTimeoutError,
)
from shared.upstream.scope import Scope
from tests.support.clock import Clock
from tests.unit.facade.registries.failures import unreached

CONNECTION = UUID(int=7)
HOST = RegistryHost.parse("registry.example")
APP, OTHER = RepositoryName.parse("team/app"), RepositoryName.parse("team/other")
PULLS = 50
Told = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def clock() -> Clock:
    """The clock that what was told is remembered by."""
    return Clock()


@pytest.fixture
def troubles(clock: Clock) -> RegistryTroubles:
    """Those of one connection."""
    return RegistryTroubles(CONNECTION, HOST, clock)


@pytest.fixture
def told(capfd: pytest.CaptureFixture[str]) -> Told:
    """Return the lines of level warning and above since it was asked last."""
    return lambda: [orjson.loads(line) for line in capfd.readouterr().err.splitlines()]


@pytest.mark.parametrize(
    "error, event",
    [
        (ConnectError("x"), "registry does not answer"),
        (ResolveError("x"), "registry does not answer"),
        (TlsError("x"), "registry does not answer"),
        (UpstreamTimeoutError("x"), "registry does not answer"),
        (ServerError(503), "registry does not answer"),
        (CredentialRefusedError("x"), "credential refused"),
        (RateLimitedError(retry_after=None), "registry limits our requests"),
        (EgressRefusedError("x"), "address may not be reached"),
        (RealmNotAllowedError("https://evil.example/"), "registry's answer is of no use"),
        (RedirectRefusedError("x"), "registry's answer is of no use"),
        (ChallengeError("x"), "registry's answer is of no use"),
        (UnexpectedAnswerError("x"), "registry's answer is of no use"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_each_trouble_is_one_warning_however_many_pulls_meet_it(
    troubles: RegistryTroubles, clock: Clock, told: Told, error: UpstreamError, event: str
) -> None:
    """With the connection and its host, for hours."""
    for _ in range(PULLS):
        troubles.failed(error, APP)
        clock.advance(TELL_AGAIN_SECONDS)
    (line,) = told()
    assert (line["level"], line["event"], line["reason"]) == ("warning", event, error.message)
    assert (line["connection"], line["host"]) == (str(CONNECTION), "registry.example")


@pytest.mark.parametrize(
    "error", [NotInRegistryError("x"), CircuitOpenError(1.0)], ids=["missing", "not asked"]
)
def test_what_is_no_trouble_is_not_told(
    troubles: RegistryTroubles, told: Told, error: UpstreamError
) -> None:
    """A digest that the registry does not have, a question that it was not asked."""
    troubles.failed(error, APP)
    assert told() == []


def test_what_is_over_and_comes_again_is_told_again(
    troubles: RegistryTroubles, clock: Clock, told: Told
) -> None:
    """A night's outages are as many lines as there were outages."""
    for _ in range(3):
        troubles.failed(ConnectError("down"), APP)
        troubles.answered(OTHER)
        clock.advance(TELL_AGAIN_SECONDS)
    assert len(told()) == 3


def test_what_comes_and_goes_is_told_twice_a_minute_at_most(
    troubles: RegistryTroubles, clock: Clock, told: Told
) -> None:
    """And is told in the end, if it stays."""
    for number in range(600):
        troubles.failed(ServerError(500 + number % 4), APP)
        troubles.answered(APP)
        clock.advance(0.1)
    assert len(told()) <= 3
    clock.advance(TELL_AGAIN_SECONDS)
    troubles.failed(ServerError(503), APP)
    assert len(told()) == 1


def test_a_refusal_of_one_repository_is_over_when_that_one_is_served(
    troubles: RegistryTroubles, clock: Clock, told: Told
) -> None:
    """Others that are served meanwhile say nothing of it: devices that ask on fill no log."""
    for _ in range(PULLS):
        troubles.failed(CredentialRefusedError("not here"), APP)
        troubles.answered(OTHER)
        clock.advance(TELL_AGAIN_SECONDS)
    (line,) = told()
    assert line["repository"] == "team/app"
    troubles.answered(APP)
    troubles.failed(CredentialRefusedError("not here"), APP)
    assert len(told()) == 1


def test_a_renewal_that_nobody_waits_for_is_told_with_its_connection(
    troubles: RegistryTroubles, clock: Clock, told: Told
) -> None:
    """Our own words of it; of what is not ours the kind alone."""
    troubles.renewed(None, ConnectError("the token endpoint is away"))
    clock.advance(TELL_AGAIN_SECONDS)
    troubles.renewed(Scope.pull(APP), ValueError("canary"))
    troubles.renewed(Scope.pull(APP), None)
    first, second = told()
    for line in (first, second):
        assert (line["level"], line["event"]) == ("warning", "renewal failed")
        assert (line["connection"], line["host"]) == (str(CONNECTION), "registry.example")
    assert (first["reason"], first["repository"]) == ("the token endpoint is away", None)
    assert (second["reason"], second["repository"]) == ("ValueError", "team/app")


def test_a_circuit_is_told_when_it_opens_and_when_it_closes(
    troubles: RegistryTroubles, clock: Clock, told: Told
) -> None:
    """Not when a trial fails."""

    def tell(reason: str | None) -> None:
        if reason is not None:
            troubles.begin(RegistryTrouble.CIRCUIT, reason)
        else:
            troubles.end(RegistryTrouble.CIRCUIT)

    breaker = CircuitBreaker(clock, tell)
    question = Question(Kind.BLOB, APP, Digest.of(b"content"))
    for _ in range(FAILURES_TO_OPEN):
        with pytest.raises(ConnectError), breaker.attempt(question):
            raise unreached()
    for _ in range(3):
        clock.advance(60)
        with pytest.raises(ConnectError), breaker.probe():
            raise unreached()
    assert [line["event"] for line in told()] == ["circuit opened"]
    clock.advance(60)
    with breaker.probe():
        pass
    with breaker.attempt(question):
        pass
    assert [line["event"] for line in told()] == ["circuit closed"]


def test_what_is_remembered_is_bounded(troubles: RegistryTroubles, told: Told) -> None:
    """A device may invent repositories."""
    for number in range(4 * MAX_CURRENT):
        troubles.failed(CredentialRefusedError("no"), RepositoryName.parse(f"team/{number}"))
    assert len(troubles._current) == MAX_CURRENT  # noqa: SLF001 - the bound
    assert len(told()) == 1


def test_whether_the_credential_is_refused_is_told_as_it_was_used_last() -> None:
    """A registry that refuses one repository alone, which may not exist, takes the credential."""
    said = list[bool]()
    troubles = RegistryTroubles(CONNECTION, HOST, Clock(), said.append)
    troubles.failed(ServerError(503), APP)
    troubles.answered(APP)
    assert said == []
    troubles.failed(CredentialRefusedError("x"), APP)
    troubles.failed(CredentialRefusedError("x"), OTHER)
    troubles.failed(NotInRegistryError("x"), OTHER)
    assert said == [True]
    troubles.answered(APP)
    troubles.answered(OTHER)
    assert said == [True, False]
