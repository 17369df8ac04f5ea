"""What a device asks for is authorised by its name at the registry, however it is written."""

import pytest

from facade.pulls.pull_handler import asked_for
from facade.values.pull_path import Pull
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
    pull = asked_for("GET", f"/v2/{asked}/manifests/{DIGEST}")
    assert isinstance(pull, Pull)
    assert pull.repository.value == name
    assert RepositoryPattern.parse(name).matches(pull.repository)
