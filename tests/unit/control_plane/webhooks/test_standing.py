"""When a target is sent nothing any more, and what becomes of the event that failed."""

from datetime import UTC, datetime, timedelta

from control_plane.webhooks.standing import (
    STOPPED_AFTER,
    TRIES_BEFORE_STOP,
    AfterFailure,
    Standing,
    TargetStanding,
)

NOW = datetime(2026, 11, 29, tzinfo=UTC)
OLD = NOW - STOPPED_AFTER
YOUNG = NOW - timedelta(hours=1)


def test_a_failure_is_tried_again_until_the_event_is_old() -> None:
    """And a success makes the target active."""
    target = TargetStanding()
    assert target.failed(NOW, YOUNG, 1000) is AfterFailure.TRIED_AGAIN
    failing = target.standing
    target.succeeded(NOW)
    assert (failing, target.standing) == (Standing.FAILING, Standing.ACTIVE)


def test_a_target_that_failed_for_days_is_stopped() -> None:
    """After several tries: a restart in between does not stop it at the first one."""
    target = TargetStanding()
    for failures in range(1, TRIES_BEFORE_STOP):
        assert target.failed(NOW, OLD, failures) is AfterFailure.TRIED_AGAIN
    assert target.failed(NOW, OLD, TRIES_BEFORE_STOP) is AfterFailure.TARGET_OFF
    assert target.standing is Standing.STOPPED
    target.succeeded(NOW)  # what was under way
    assert target.standing.is_off


def test_one_event_that_fails_for_days_is_given_up_while_others_are_taken() -> None:
    """It is about the event, and not about the target."""
    target = TargetStanding()
    target.succeeded(NOW - timedelta(hours=1))
    assert target.failed(NOW, OLD, 1) is AfterFailure.GIVEN_UP
    assert not target.standing.is_off


def test_a_target_that_is_gone_stays_off() -> None:
    """Whatever comes of what was under way."""
    target = TargetStanding()
    assert target.gone(NOW) is AfterFailure.TARGET_OFF
    assert target.failed(NOW, YOUNG, 1) is AfterFailure.TARGET_OFF
    assert target.standing is Standing.GONE
