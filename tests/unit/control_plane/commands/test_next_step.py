"""What is said to whoever was refused."""

import pytest

from control_plane.commands.next_step import next_step


@pytest.mark.parametrize(
    "status, words",
    [
        (401, "operators rotate NAME"),
        (403, "operators list`, on the control plane's host"),
        (404, "connections list --all"),
        (429, "try again in 7 s"),
        (500, "by the request id"),
        (503, "try again in 7 s; /readyz"),
    ],
)
def test_a_refusal_says_what_to_do(status: int, words: str) -> None:
    """In words that can be typed."""
    said = next_step(status, ["connections"], is_login=False, retry_after_seconds=7)
    assert words in str(said)


@pytest.mark.parametrize("status", [400, 409, 412, 413, 422])
def test_a_refusal_that_says_it_itself_is_left_alone(status: int) -> None:
    """The API's own words know more."""
    assert next_step(status, ["connections"], is_login=False, retry_after_seconds=None) is None


def test_a_connection_without_a_grant_is_not_looked_for_in_a_list() -> None:
    """It is there, and the refusal says why there is nothing to grant."""
    path = ["connections", "1", "grant"]
    assert next_step(404, path, is_login=False, retry_after_seconds=None) is None


def test_a_login_is_made_again_and_a_token_is_not() -> None:
    """Whoever logged in has no token to rotate."""
    said = next_step(401, ["me"], is_login=True, retry_after_seconds=None)
    assert said == "`control-plane login` logs you in again"
