"""What `docs/operating.md` and `docs/devices.md` say is what the code does."""

import re

import pytest

from control_plane.operators.permissions import Role
from deploy.dev.debian import REPOSITORY
from shared.identity_form import DEFAULT_URI_PATTERN, IdentityKind
from shared.oci import RepositoryName
from shared.repository_pattern import RepositoryPattern
from shared.upstream.hosts import registry_host_from_people

PAGE = (REPOSITORY / "docs" / "operating.md").read_text()
DEVICES = (REPOSITORY / "docs" / "devices.md").read_text()
CODE = re.compile("`([^`]+)`")


def rows(heading: str, page: str = PAGE) -> list[list[str]]:
    """Return the cells of the last table below a heading, without its own heading."""
    section = page.partition(f"## {heading}")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    last = max(at for at, line in enumerate(lines) if line.startswith("|---"))
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[last + 1 :]]


@pytest.mark.parametrize("row", rows("Which repositories: patterns"), ids=lambda row: str(row[0]))
def test_the_patterns_fit_what_the_page_says(row: list[str]) -> None:
    """Each example and each counter-example of the table."""
    _, _, pattern, fitting, others = row
    (text,) = CODE.findall(pattern)
    matches = RepositoryPattern.parse(text).matches
    assert all(matches(RepositoryName.parse(name)) for name in CODE.findall(fitting))
    assert not any(matches(RepositoryName.parse(name)) for name in CODE.findall(others))
    assert CODE.findall(fitting)
    assert CODE.findall(others)


def test_every_kind_of_identity_is_explained() -> None:
    """With the pattern that is really the default."""
    identities = rows("What a device certificate must contain", DEVICES)
    assert [CODE.findall(row[0])[0] for row in identities] == [kind.value for kind in IdentityKind]
    assert f"`{DEFAULT_URI_PATTERN}`" in DEVICES


def test_every_role_is_explained() -> None:
    """In the order in which each has what the one before it has."""
    assert [CODE.findall(row[0])[0] for row in rows("Who may do what")] == [*Role]


def test_docker_hub_has_the_names_that_the_page_gives() -> None:
    """All of them are one host."""
    sentence = PAGE.partition("Docker Hub is ")[2].partition(")")[0]
    name, *others = CODE.findall(sentence)
    assert others
    for each in (name, *others):
        assert str(registry_host_from_people(each)) == name
