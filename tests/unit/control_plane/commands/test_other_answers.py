"""A service that answers almost as the control plane does: a command says so, and never breaks.

It is asked with the real commands, over a real socket.
"""

from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.commands import run_command
from tests.support.simulators.other_service import (
    FINGERPRINT,
    ID,
    MISSING,
    OtherService,
    Place,
    places_of,
    serving,
)

OTHERS: tuple[object, ...] = (
    MISSING,
    None,
    7,
    True,
    "text",
    "",
    [],
    [7],
    [[]],
    {},
    {"a": 1},
    {"a": {"b": []}},
)
COMMANDS = (
    ("connections", "list", "--all"),
    ("connections", "list", "--wide", "--all"),
    ("connections", "list", "--json"),
    ("connections", "show", ID),
    ("connections", "show", "ghcr.io"),
    ("connections", "show", "3f2a"),
    ("connections", "review", ID),
    ("connections", "approve", ID, "--fingerprint", FINGERPRINT),
    ("connections", "approve", ID, "--fingerprint", FINGERPRINT, "--keep-expiry"),
    ("connections", "send-back", ID, "--comment", "why?"),
    ("connections", "add", "ghcr.io", "--anonymous"),
    ("connections", "check", "ghcr.io", "--anonymous"),
    ("connections", "edit", ID, "--all-fleets"),
    ("connections", "rotate", ID, "--token-stdin"),
    ("connections", "discard", ID),
    ("connections", "revoke", ID),
    ("connections", "grant", ID),
    ("connections", "grant", ID, "--policy", "trust"),
    ("connections", "history", ID),
    ("connections", "history", ID, "--wide"),
    ("export",),
    ("devices", "revoke", "press-7"),
    ("devices", "revoke", "--from", "-"),
    ("devices", "list"),
    ("devices", "list", "--wide"),
    ("devices", "lift", "text"),
    ("sessions", "list"),
    ("sessions", "who"),
    ("sessions", "end", "te"),
    ("audit", "list", "--wide"),
    ("apply", "--file", "-"),
    ("apply", "--file", "-", "--prune", "--yes"),
    ("apply", "--file", "-", "--approve", FINGERPRINT, "--keep-expiry"),
    ("login",),
)
FILE = """
set: production
connections:
  other:
    host: quay.io
    provider: static
"""


@pytest.fixture(scope="module")
def service() -> OtherService:
    """Return what answers."""
    return OtherService()


@pytest.fixture(scope="module")
def configured(service: OtherService) -> Iterator[dict[str, str]]:
    """Serve it, and return the settings of whoever asks it."""
    with serving(service) as found:
        yield found


@cache
def places(method: str, path: str) -> tuple[Place, ...]:
    """Return every place of an answer."""
    return tuple(places_of(OtherService().answer_of(method, path)))


def ended(settings: dict[str, str], command: tuple[str, ...]) -> Any:
    """Run a command; what is raised but its end is raised here, too."""
    return run_command(settings, *command, given=FILE if command[0] == "apply" else "text\n")


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_no_answer_breaks_a_command(
    service: OtherService, configured: dict[str, str], command: tuple[str, ...]
) -> None:
    """A field that is missing or of another type ends it with words, or is not read at all."""
    service.changed_at, service.asked = (), []
    ended(configured, command)
    asked = list(dict.fromkeys(service.asked))
    assert asked
    found = [(each, place) for each in asked for place in places(*each.split(" "))]

    @settings(max_examples=12, suppress_health_check=list(HealthCheck))
    @given(st.sampled_from(found), st.sampled_from(OTHERS))
    def holds(changed: tuple[str, Place], other: object) -> None:
        service.changed_in, service.changed_at = changed
        service.changed_to = other
        ran = ended(configured, command)
        assert ran.status in {0, 1, 2, 3}
        if "is not the control plane" in ran.words:
            assert ran.status == 1
            assert configured["CONTROL_PLANE_URL"] in ran.words

    if found:
        holds()
