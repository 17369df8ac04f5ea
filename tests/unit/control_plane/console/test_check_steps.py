"""A check step by step."""

import pytest

from control_plane.console.check_steps import check_steps, steps_so_far
from shared.upstream.check import CheckStage


def steps(code: str | None, scheme: str | None = None) -> list[str]:
    """Return the states of a check's steps."""
    view = {"problem": code, "auth_scheme": scheme, "detail": "why"}
    return [each.state for each in check_steps(view)]


@pytest.mark.parametrize(
    "code, scheme, states",
    [
        (None, "bearer", ["done"] * 5),
        ("not_resolved", None, ["failed", *["open"] * 4]),
        ("not_reachable", None, ["done", "failed", *["open"] * 3]),
        ("tls_failed", None, [*["done"] * 2, "failed", *["open"] * 2]),
        ("not_a_registry", None, [*["done"] * 3, "failed", "open"]),
        ("timeout", "bearer", [*["done"] * 4, "failed"]),
        ("credential_refused", "basic", [*["done"] * 4, "failed"]),
        ("aws_not_asked", None, []),
    ],
)
def test_a_check_ends_at_the_step_of_its_problem(
    code: str | None, scheme: str | None, states: list[str]
) -> None:
    """What is behind it was never reached."""
    assert steps(code, scheme) == states


def test_plain_http_has_no_step_of_tls() -> None:
    """Nothing was believed there."""
    view = {"problem": None, "auth_scheme": "basic", "detail": None}
    names = [each.name for each in check_steps(view, plain_http=True)]
    assert names == ["Name", "Address", "Challenge", "Token"]


def test_the_words_stand_at_the_step_that_failed() -> None:
    """Alone."""
    view = {"problem": "tls_failed", "auth_scheme": None, "detail": "why"}
    assert [each.words for each in check_steps(view)] == ["", "", "why", "", ""]


def test_a_check_that_goes_on_says_what_is_tried_now() -> None:
    """What is done, what is tried, and what comes after it."""
    stages = [*CheckStage]
    states = [
        [
            each.state
            for each in steps_so_far(stages[:count], plain_http=plain_http, repository=True)
        ]
        for plain_http, count in ((False, 0), (False, 2), (True, 1), (True, len(stages)))
    ]
    assert states == [
        ["asked", *["open"] * 5],
        [*["done"] * 3, "asked", *["open"] * 2],
        ["done", "asked", *["open"] * 3],
        ["done"] * 5,
    ]


@pytest.mark.parametrize("code", ["repository_refused", "repository_unknown", "timeout"])
def test_a_repository_is_refused_after_the_login(code: str) -> None:
    """Whatever the registry says of it then; before, the login was what failed."""
    view = {"problem": code, "auth_scheme": "bearer", "detail": "why"}
    after = check_steps(view, repository=True, is_logged_in=True)
    assert [each.state for each in after] == [*["done"] * 5, "failed"]
    if code == "timeout":
        before = check_steps(view, repository=True)
        assert [each.state for each in before] == [*["done"] * 4, "failed", "open"]
