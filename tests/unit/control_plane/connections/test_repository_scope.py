"""A scope in IAM's wildcards: never narrower than what the facade serves."""

from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.connections.repository_scope import iam_resources, literal_heads
from shared.oci import RepositoryName
from shared.repository_pattern import RepositoryPattern
from tests.unit.shared.strategies import repository_names, repository_patterns

# Few letters, so that names, prefixes and patterns meet.
near_components = st.sampled_from(["a", "b", "ab", "a-b"])
near_names = (
    st.lists(near_components, min_size=1, max_size=4).map("/".join).map(RepositoryName.parse)
)
near_patterns = (
    st.lists(near_components | st.sampled_from(["*", "**", "a*", "*b"]), min_size=1, max_size=4)
    .map("/".join)
    .map(RepositoryPattern.parse)
)
names = near_names | repository_names
patterns = st.lists(near_patterns | repository_patterns, max_size=4)


def is_served(
    name: RepositoryName, prefix: RepositoryName | None, scope: list[RepositoryPattern]
) -> bool:
    """Tell what the facade decides."""
    within = prefix is None or name.is_within(prefix)
    return within and (not scope or any(pattern.matches(name) for pattern in scope))


@given(names, st.none() | names, patterns)
def test_what_the_facade_serves_the_policy_allows(
    name: RepositoryName, prefix: RepositoryName | None, scope: list[RepositoryPattern]
) -> None:
    """A policy that is too narrow is a device that cannot pull."""
    resources = iam_resources(prefix, scope)
    assert resources
    if is_served(name, prefix, scope):
        assert any(fnmatchcase(str(name), resource) for resource in resources)


@given(near_names, near_names, patterns)
def test_a_prefix_is_never_left(
    name: RepositoryName, prefix: RepositoryName, scope: list[RepositoryPattern]
) -> None:
    """What another connection has, this role need not read."""
    for resource in iam_resources(prefix, scope):
        if fnmatchcase(str(name), resource):
            assert name.is_within(prefix)


@pytest.mark.parametrize(
    "prefix, scope, resources",
    [
        (None, [], ("*",)),
        ("team", [], ("team", "team/*")),
        (None, ["team/app"], ("team/app",)),
        (None, ["team/*", "models/**"], ("team/*", "models/*")),
        ("team", ["*/app"], ("team/app",)),
        ("team", ["**/app"], ("team", "team/*")),
        ("team", ["other/app", "team/app"], ("team/app",)),
        ("team/x", ["team"], ("team/x", "team/x/*")),
    ],
)
def test_scopes_as_resources(
    prefix: str | None, scope: list[str], resources: tuple[str, ...]
) -> None:
    """As they stand in the policy."""
    parsed = RepositoryName.parse(prefix) if prefix else None
    assert iam_resources(parsed, [RepositoryPattern.parse(text) for text in scope]) == resources


@pytest.mark.parametrize(
    "prefix, scope, heads",
    [
        (None, [], ()),
        ("project/repository", [], ("project/repository",)),
        ("project", [], ()),
        (None, ["p/r/a", "p/r/b", "p/s/**"], ("p/r", "p/s")),
        (None, ["p/r/a", "p/*/b"], ()),
    ],
)
def test_heads_are_told_only_where_all_are(
    prefix: str | None, scope: list[str], heads: tuple[str, ...]
) -> None:
    """A binding on some of the repositories would leave the others unreadable."""
    parsed = RepositoryName.parse(prefix) if prefix else None
    found = literal_heads(parsed, [RepositoryPattern.parse(text) for text in scope], 2)
    assert found == heads
