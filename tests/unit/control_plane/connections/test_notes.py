"""What is said of a connection that a facade will refuse, or that fits nothing."""

import datetime as dt

import pytest

from control_plane.connections.notes import connection_notes
from control_plane.connections.request import parse_connection_request


def notes(host: str, **fields: object) -> list[str]:
    """Return the notes of an anonymous connection."""
    request = parse_connection_request({"host": host, "provider": "static", **fields})
    now = dt.datetime.now(dt.UTC)
    return connection_notes(request.document(connected_by="alice", connected_at=now), None)


@pytest.mark.parametrize(
    "host, pattern",
    [
        ("quay.io", "quay.io/team/*"),
        ("docker.io", "docker.io/library/*"),
        ("docker.io", "registry-1.docker.io/library/*"),
        ("registry.local:5000", "registry.local_5000/**"),
    ],
)
def test_a_pattern_that_begins_with_the_host_is_told(host: str, pattern: str) -> None:
    """It was pasted; the connection would serve nothing."""
    (note,) = notes(host, repositories=[pattern])
    rest = pattern.partition("/")[2]
    assert f"the pattern {pattern} begins with the host" in note
    assert f"is {rest} meant?" in note


def test_a_prefix_that_begins_with_the_host_is_told() -> None:
    """With or without something behind it."""
    for prefix in ("ghcr.io/team", "ghcr.io"):
        (note,) = notes("ghcr.io", repository_prefix=prefix)
        assert f"the prefix {prefix} begins with the host" in note


@pytest.mark.parametrize("pattern", ["other/*", "te/**", "team", "*/other/x"])
def test_a_pattern_that_fits_nothing_below_the_prefix_is_told(pattern: str) -> None:
    """Patterns are of the whole name, with the prefix in it."""
    (note,) = notes("ghcr.io", repository_prefix="team/app", repositories=[pattern])
    assert note == f"no repository below the prefix team/app fits the pattern {pattern}"


@pytest.mark.parametrize(
    "host, prefix, pattern",
    [
        ("quay.io", "", "team/*"),
        ("quay.io", "", "**"),
        ("harbor.example", "", "docker.io/library/*"),  # a proxy of another registry
        ("quay.io", "team/app", "team/app"),
        ("quay.io", "team/app", "team/app/x"),
        ("quay.io", "team/app", "te*/**"),
        ("quay.io", "team/app", "*/a*p/*"),
    ],
)
def test_what_may_fit_is_not_told(host: str, prefix: str, pattern: str) -> None:
    """A note that is no news is not read the next time."""
    assert notes(host, repository_prefix=prefix, repositories=[pattern]) == []


@pytest.mark.parametrize(
    "host", ["169.254.169.254", "0.0.0.1", "169.254.1.1:5000", "224.0.0.1", "168.63.129.16"]
)
def test_an_address_that_nobody_ever_speaks_to_is_not_said_to_need_a_network(host: str) -> None:
    """No allowed network mends it."""
    (note,) = notes(host)
    assert "no facade ever speaks to it, whatever is allowed" in note
    assert "needs an allowed network" in notes("10.0.0.1")[0]
