"""What a shell says of a check that could not tell."""

import pytest

from control_plane.commands.check_words import why_not_told


@pytest.mark.parametrize(
    "problem, plain_http, says",
    [
        ("not_reachable", True, True),
        ("not_reachable", False, False),
        ("timeout", True, False),
    ],
)
def test_plain_http_is_doubted_where_something_hung_up(
    problem: str, *, plain_http: bool, says: bool
) -> None:
    """What speaks TLS does so, and "nothing answers there" was not true."""
    said = why_not_told("registry.example", problem, plain_http=plain_http)
    assert ("if it speaks TLS, leave out --plain-http" in said) is says
