"""Each trouble with a registry has one answer: the table, whole."""

import pytest

from facade.content.referrers import UnprovenReferrersError
from facade.pulls.failure_answers import answer_to, why_not_asked
from facade.registries.absences import RememberedAbsenceError
from facade.registries.circuit_breaker import CircuitOpenError
from facade.registries.device_allowance import TooManyDownloadsError, TooManyMissesError
from facade.registries.sealed_provider import SecretNotOpenedError, SecretUnusableError
from facade.registries.wrong_bytes_backoff import WrongBytesLatelyError
from facade.values.piece import WrongBytesError
from shared.oci import Kind
from shared.upstream.errors import (
    BrokenBodyError,
    ChallengeError,
    ConnectError,
    CredentialRefusedError,
    EgressRefusedError,
    GoneError,
    NotInRegistryError,
    NotNowError,
    PolicyDeniedError,
    RateLimitedError,
    RealmNotAllowedError,
    RedirectRefusedError,
    ResolveError,
    ServerError,
    Step,
    TlsError,
    TokenExchangeError,
    UnexpectedAnswerError,
    UnexpectedStatusError,
    UpstreamError,
    UpstreamTimeoutError,
)

CANARY = "canary: what the log may say, and no device"


@pytest.mark.parametrize(
    "failure, status, code",
    [
        (NotInRegistryError(CANARY), 404, "BLOB_UNKNOWN"),
        (GoneError(CANARY), 404, "BLOB_UNKNOWN"),
        (CredentialRefusedError(CANARY), 502, "DENIED"),
        (CredentialRefusedError(CANARY, status=403, step=Step.EXCHANGE), 502, "DENIED"),
        (SecretNotOpenedError(CANARY), 502, "UNAVAILABLE"),
        (SecretUnusableError(CANARY), 502, "DENIED"),
        (EgressRefusedError(CANARY), 502, "UNAVAILABLE"),
        (RealmNotAllowedError(f"https://evil.example/{CANARY}"), 502, "UNAVAILABLE"),
        (RedirectRefusedError(CANARY), 502, "UNAVAILABLE"),
        (ChallengeError(CANARY), 502, "UNAVAILABLE"),
        (UnexpectedAnswerError(CANARY), 502, "UNAVAILABLE"),
        (UnexpectedStatusError(CANARY, status=405), 502, "UNAVAILABLE"),
        (PolicyDeniedError(412), 403, "DENIED"),
        (NotNowError(425), 503, "UNAVAILABLE"),
        (NotNowError(408, step=Step.EXCHANGE), 503, "UNAVAILABLE"),
        (WrongBytesError(CANARY), 502, "UNAVAILABLE"),
        (UnprovenReferrersError(CANARY), 502, "UNAVAILABLE"),
        (RateLimitedError(retry_after=None), 429, "TOOMANYREQUESTS"),
        (TooManyMissesError(4.2), 429, "TOOMANYREQUESTS"),
        (TooManyDownloadsError(), 429, "TOOMANYREQUESTS"),
        (RememberedAbsenceError(), 404, "BLOB_UNKNOWN"),
        (ResolveError(CANARY), 503, "UNAVAILABLE"),
        (ConnectError(CANARY), 503, "UNAVAILABLE"),
        (TlsError(CANARY), 503, "UNAVAILABLE"),
        (ServerError(502), 503, "UNAVAILABLE"),
        (CircuitOpenError(4.0), 503, "UNAVAILABLE"),
        (TokenExchangeError(CANARY, status=404), 503, "UNAVAILABLE"),
        (BrokenBodyError(CANARY), 502, "UNAVAILABLE"),
        (UpstreamTimeoutError(CANARY), 504, "UNAVAILABLE"),
        (UpstreamTimeoutError(CANARY, step=Step.RESOLVE), 504, "UNAVAILABLE"),
        (UpstreamTimeoutError(CANARY, step=Step.CONNECT), 504, "UNAVAILABLE"),
        (UpstreamTimeoutError(CANARY, step=Step.EXCHANGE), 504, "UNAVAILABLE"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_each_trouble_is_told_for_what_it_is(failure: Exception, status: int, code: str) -> None:
    """In our words alone; what may pass says when to come again."""
    answer = answer_to(failure, Kind.BLOB)
    assert (answer.status, answer.code) == (status, code)
    assert b"canary" not in answer.body("an id")
    assert b"evil" not in answer.body("an id")
    assert ("Retry-After" in answer.headers) is (status in (429, 503, 504))


def test_what_came_wrong_lately_is_told_as_what_comes_wrong() -> None:
    """The same answer, and when to come again."""
    now, lately = (
        answer_to(failure, Kind.BLOB) for failure in (WrongBytesError(), WrongBytesLatelyError(3.0))
    )
    assert (lately.status, lately.code, lately.message) == (now.status, now.code, now.message)
    assert (now.headers, lately.headers) == ({}, {"Retry-After": "3"})


def test_it_is_counted_why_a_registry_was_not_asked() -> None:
    """And what it answered itself is not."""
    assert why_not_asked(RememberedAbsenceError()) == "missing"
    assert why_not_asked(TooManyMissesError(1.0)) == "device_misses"
    assert why_not_asked(SecretNotOpenedError("")) == "sealed_secret"
    assert why_not_asked(NotInRegistryError("")) is None


def test_a_secret_that_does_not_open_is_not_blamed_on_the_registry() -> None:
    """Nobody looks for the fault where it is not."""
    ours = answer_to(SecretNotOpenedError(CANARY), Kind.BLOB)
    theirs = answer_to(CredentialRefusedError(CANARY), Kind.BLOB)
    assert ours.code != theirs.code
    assert "facade" in ours.message
    assert "its own configuration" in ours.message
    assert "refuses" not in ours.message


def test_a_role_that_is_not_assumed_is_not_blamed_on_the_registry() -> None:
    """Neither where the facade has no identity of its own, nor where the role does not trust it."""
    answer = answer_to(CredentialRefusedError(CANARY, step=Step.ASSUME_ROLE), Kind.BLOB)
    assert (answer.status, answer.code) == (502, "DENIED")
    assert "this facade may not assume" in answer.message


def test_a_missing_manifest_is_called_one() -> None:
    """The kind is all that the two answers differ in."""
    assert answer_to(NotInRegistryError(""), Kind.MANIFEST).code == "MANIFEST_UNKNOWN"


@pytest.mark.parametrize(
    "failure, seconds",
    [
        (RateLimitedError(retry_after=17.0), "17"),
        (TooManyMissesError(4.2), "5"),
        (WrongBytesLatelyError(9.5), "10"),
        (RateLimitedError(retry_after=0.0), "1"),
        (ServerError(503, retry_after=9.5), "9"),
        (NotNowError(408, retry_after=3.0), "3"),
        (CircuitOpenError(0.2), "1"),
    ],
)
def test_a_delay_that_was_named_is_handed_on(failure: Exception, seconds: str) -> None:
    """At least a second: containerd tries again at once otherwise."""
    assert answer_to(failure, Kind.BLOB).headers["Retry-After"] == seconds


class NewError(UpstreamError):
    """An error that the table does not know yet."""


@pytest.mark.parametrize("failure", [NewError(CANARY), None])
def test_what_the_table_does_not_know_may_be_tried_again(failure: Exception | None) -> None:
    """And is never 404."""
    assert answer_to(failure, Kind.BLOB).status == 503
