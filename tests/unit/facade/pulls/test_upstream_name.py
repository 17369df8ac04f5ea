"""What a device asks for is authorised by its name at the registry, however it is written."""

import pytest

from facade.pulls.known_pull import KnownPull
from facade.pulls.pull_handler import asked_for
from shared.repository_pattern import RepositoryPattern

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    "asked, name",
    [
        ("docker.io/alpine", "library/alpine"),
        ("docker.io/library/alpine", "library/alpine"),
        ("docker.io/team/app", "team/app"),
        ("ghcr.io/alpine", "alpine"),
    ],
)
def test_a_pattern_is_held_against_the_name_at_the_registry(asked: str, name: str) -> None:
    """Docker's official images have a namespace, which some clients write out and some do not."""
    known = asked_for("GET", f"/v2/{asked}/manifests/{DIGEST}")
    assert isinstance(known, KnownPull)
    pull = known.pull
    assert pull.repository.value == name
    assert RepositoryPattern.parse(name).matches(pull.repository)
