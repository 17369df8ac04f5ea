"""Bytes that came wrong are not fetched again at once, and ever more seldom while they stay so."""

from contextlib import ExitStack

import pytest

from facade.registries.wrong_bytes_backoff import (
    FIRST_WAIT_SECONDS,
    MAX_BACKOFFS,
    MAX_WAIT_SECONDS,
    WrongBytesBackoff,
    WrongBytesLatelyError,
)
from facade.values.piece import MistoldLengthError, WrongBytesError
from shared.oci import Digest, Kind, RepositoryName
from shared.upstream.errors import BrokenBodyError, NotInRegistryError, UpstreamError
from tests.support.clock import Clock

APP = RepositoryName.parse("team/app")
DIGEST = Digest.of(b"content")


@pytest.fixture
def clock() -> Clock:
    """The backoff's clock."""
    return Clock()


@pytest.fixture
def backoff(clock: Clock) -> WrongBytesBackoff:
    """Nothing came wrong yet."""
    return WrongBytesBackoff(clock)


def go_wrong(backoff: WrongBytesBackoff, digest: Digest = DIGEST) -> None:
    """Have an attempt bring wrong bytes."""
    with pytest.raises(WrongBytesError), backoff.attempt(Kind.BLOB, APP, digest):
        raise WrongBytesError


def wait_of(backoff: WrongBytesBackoff, digest: Digest = DIGEST) -> float:
    """Return for how many seconds the digest is not asked for."""
    try:
        with backoff.attempt(Kind.BLOB, APP, digest):
            raise LookupError
    except LookupError:
        return 0.0
    except WrongBytesLatelyError as refused:
        return refused.retry_after


def test_the_first_retry_comes_after_about_a_second(
    backoff: WrongBytesBackoff, clock: Clock
) -> None:
    """One bad transfer is not held against a registry for long."""
    assert wait_of(backoff) == 0
    go_wrong(backoff)
    assert FIRST_WAIT_SECONDS / 2 <= wait_of(backoff) <= FIRST_WAIT_SECONDS
    clock.advance(FIRST_WAIT_SECONDS)
    assert wait_of(backoff) == 0


def test_the_wait_doubles_up_to_a_minute(backoff: WrongBytesBackoff, clock: Clock) -> None:
    """What is broken for good is downloaded once a minute, not once for every device."""
    longest = FIRST_WAIT_SECONDS
    for _ in range(20):
        go_wrong(backoff)
        assert longest / 2 <= wait_of(backoff) <= longest
        clock.advance(longest)
        longest = min(longest * 2, MAX_WAIT_SECONDS)
    assert longest == MAX_WAIT_SECONDS


def test_the_wait_is_jittered(clock: Clock) -> None:
    """The facades of a fleet do not come back together."""
    waits = set()
    for _ in range(20):
        backoff = WrongBytesBackoff(clock)
        go_wrong(backoff)
        waits.add(wait_of(backoff))
    assert len(waits) > 1


def test_right_bytes_make_it_forget(backoff: WrongBytesBackoff, clock: Clock) -> None:
    """The next time begins at a second again."""
    for _ in range(5):
        go_wrong(backoff)
        clock.advance(MAX_WAIT_SECONDS)
    with backoff.attempt(Kind.BLOB, APP, DIGEST):
        pass
    assert backoff.count == 0
    go_wrong(backoff)
    assert wait_of(backoff) <= FIRST_WAIT_SECONDS


@pytest.mark.parametrize(
    "error",
    [
        BrokenBodyError("x"),
        NotInRegistryError("x"),
        MistoldLengthError(),
        ConnectionError(),
        KeyboardInterrupt(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_breaks_says_nothing_of_the_bytes(
    backoff: WrongBytesBackoff, clock: Clock, error: BaseException
) -> None:
    """Neither that they are wrong, nor that they are right now."""
    with pytest.raises(type(error)), backoff.attempt(Kind.BLOB, APP, DIGEST):
        raise error
    assert wait_of(backoff) == 0
    go_wrong(backoff)
    clock.advance(FIRST_WAIT_SECONDS)
    with pytest.raises(type(error)), backoff.attempt(Kind.BLOB, APP, DIGEST):
        raise error
    go_wrong(backoff)
    assert wait_of(backoff) >= FIRST_WAIT_SECONDS


def test_attempts_that_go_wrong_together_count_once(backoff: WrongBytesBackoff) -> None:
    """A herd that streams the same wrong bytes does not close the digest for a minute."""
    herd = ExitStack()
    for _ in range(50):
        herd.enter_context(backoff.attempt(Kind.BLOB, APP, DIGEST))
    with pytest.raises(WrongBytesError), herd:
        raise WrongBytesError
    assert FIRST_WAIT_SECONDS / 2 <= wait_of(backoff) <= FIRST_WAIT_SECONDS


def test_another_digest_and_the_same_as_a_manifest_are_not_meant(
    backoff: WrongBytesBackoff,
) -> None:
    """They come from other places of a registry."""
    go_wrong(backoff)
    assert wait_of(backoff, Digest.of(b"another")) == 0
    backoff.require_over(Kind.MANIFEST, APP, DIGEST)


def test_it_is_no_wrong_bytes_error_itself(backoff: WrongBytesBackoff) -> None:
    """It would be noted as one, and never end."""
    go_wrong(backoff)
    with pytest.raises(UpstreamError) as refused, backoff.attempt(Kind.BLOB, APP, DIGEST):
        pytest.fail("began too early")
    assert not isinstance(refused.value, WrongBytesError)


def test_memory_is_bounded_and_the_oldest_goes(backoff: WrongBytesBackoff) -> None:
    """A registry that corrupts everything fills nothing."""
    digests = [Digest.of(str(number).encode()) for number in range(MAX_BACKOFFS + 1)]
    for digest in digests:
        go_wrong(backoff, digest)
    assert backoff.count == MAX_BACKOFFS
    assert wait_of(backoff, digests[0]) == 0
    assert wait_of(backoff, digests[1]) > 0


def test_another_repositorys_bytes_may_be_right(backoff: WrongBytesBackoff) -> None:
    """Who asks there is not refused for what was asked elsewhere, and sees no trace of it."""
    go_wrong(backoff)
    other = RepositoryName.parse("team/other")
    backoff.require_over(Kind.BLOB, other, DIGEST)
    with pytest.raises(WrongBytesLatelyError):
        backoff.require_over(Kind.BLOB, APP, DIGEST)
