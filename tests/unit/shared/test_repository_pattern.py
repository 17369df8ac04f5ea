"""RepositoryPattern: which repositories a connection may serve."""

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from shared.oci import RepositoryName
from shared.repository_pattern import (
    InvalidRepositoryPatternError,
    RepositoryPattern,
    RepositoryPatterns,
)
from tests.unit.shared.strategies import name_components, repository_names

# Few letters, so that patterns and names meet often.
_parts = st.one_of(st.just("**"), st.text("ab*", min_size=1, max_size=5)).filter(
    lambda part: part == "**" or "**" not in part
)
_patterns = st.lists(_parts, min_size=1, max_size=4).map("/".join)
_names = st.lists(st.text("ab", min_size=1, max_size=5), min_size=1, max_size=4).map("/".join)


def component_fits(part: str, component: str) -> bool:
    """Tell by trying everything whether a component fits a part."""
    if not part:
        return not component
    if part[0] == "*":
        return any(component_fits(part[1:], component[n:]) for n in range(len(component) + 1))
    return component[:1] == part[0] and component_fits(part[1:], component[1:])


def fits(parts: list[str], components: list[str]) -> bool:
    """Tell by trying everything whether a name fits a pattern."""
    if not parts:
        return not components
    if parts[0] == "**":
        return any(fits(parts[1:], components[n:]) for n in range(1, len(components) + 1))
    return bool(components) and (
        component_fits(parts[0], components[0]) and fits(parts[1:], components[1:])
    )


@given(_patterns, _names)
def test_matches_what_a_slow_and_obvious_search_matches(pattern: str, name: str) -> None:
    """A pattern that matches more than it says serves what nobody approved."""
    expected = fits(pattern.split("/"), name.split("/"))
    assert RepositoryPattern.parse(pattern).matches(RepositoryName.parse(name)) == expected


@given(st.lists(_patterns, max_size=5), _names)
def test_several_patterns_match_what_one_of_them_matches(patterns: list[str], name: str) -> None:
    """They are tried in one pass: none may go on in the next one's place."""
    parsed = [RepositoryPattern.parse(each) for each in patterns]
    expected = any(fits(each.split("/"), name.split("/")) for each in patterns)
    assert RepositoryPatterns.of(parsed).match(RepositoryName.parse(name)) == expected


@pytest.mark.parametrize(
    "pattern, name, expected",
    [
        ("team/app", "team/app", True),
        ("team/app", "team/app/x", False),
        ("team/app", "team/appx", False),
        ("team/*", "team/app", True),
        ("team/*", "team", False),
        ("team/*", "team/app/x", False),
        ("team/**", "team/app/x", True),
        ("team/**", "team", False),
        ("**", "a", True),
        ("**/gateway", "gateway", False),
        ("**/gateway", "a/b/gateway", True),
        ("team/*/gateway", "team/a/gateway", True),
        ("a.b", "axb", False),
        ("app-*", "app-one", True),
        ("app-*", "app", False),
    ],
)
def test_pattern_of_the_interface(pattern: str, name: str, expected: bool) -> None:  # noqa: FBT001  # a table
    """`*` stays within one component, `**` takes one or more whole ones."""
    assert RepositoryPattern.parse(pattern).matches(RepositoryName.parse(name)) is expected


@given(repository_names)
def test_a_name_is_its_own_pattern_and_everything_fits_two_stars(name: RepositoryName) -> None:
    """A plain name selects that repository alone."""
    assert RepositoryPattern.parse(str(name)).matches(name)
    assert RepositoryPattern.parse("**").matches(name)


@given(name_components, name_components)
def test_a_plain_pattern_matches_no_other_name(one: str, other: str) -> None:
    """The dot of a name is a dot."""
    matched = RepositoryPattern.parse(one).matches(RepositoryName.parse(other))
    assert matched == (one == other)


def test_a_pattern_of_many_stars_is_answered() -> None:
    """As one backtracking expression this outlasted the test run: any device could ask for it."""
    pattern = RepositoryPattern.parse("*a" * 127 + "c")
    assert not pattern.matches(RepositoryName.parse("a" * 254 + "b"))
    components = RepositoryPattern.parse("/".join(["**", "a"] * 40))
    assert not components.matches(RepositoryName.parse("/".join(["a"] * 126 + ["b"])))


class Counted(int):
    """A whole number that counts the operations on it and on what comes of it."""

    operations = 0

    def _counted(self, result: int) -> "Counted":
        Counted.operations += 1
        return Counted(result)

    def __lshift__(self, other: int) -> "Counted":
        return self._counted(int(self) << other)

    def __and__(self, other: int) -> "Counted":
        return self._counted(int(self) & other)

    def __or__(self, other: int) -> "Counted":
        return self._counted(int(self) | other)


@pytest.mark.parametrize(
    "pattern",
    [
        "/".join(["**", "*"] * 51),
        "/".join(["**", "a"] * 51),
        "*a" * 127,
        "/".join(["a*"] * 85),
    ],
)
@pytest.mark.parametrize("name", ["/".join(["a"] * 125), "a" * 255, "/".join(["aa"] * 85)])
def test_the_work_grows_with_the_name_alone(pattern: str, name: str) -> None:
    """256 patterns with stars, and a name that a device made up, took 395 ms to 9 s."""
    patterns = [RepositoryPattern.parse(pattern) for _ in range(256)]
    compiled = RepositoryPatterns.of(patterns)
    Counted.operations = 0
    evolve(compiled, begins=Counted(compiled._begins)).match(  # noqa: SLF001 - where it begins
        RepositoryName.parse(name)
    )
    assert 0 < Counted.operations <= 4 * len(name) + 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/",
        "a/",
        "/a",
        "a//b",
        "***",
        "a**",
        "**a",
        "a/b**",
        "a/***/b",
        "A",
        "a?",
        "[ab]",
        "a b",
        "a\n",
        "{a}",
        "\u00e4",
        "a\\b",
        "a:b",
        "a" * 256,
    ],
)
def test_other_texts_are_no_patterns(text: str) -> None:
    """A character that means nothing here may mean something to its author."""
    with pytest.raises(InvalidRepositoryPatternError):
        RepositoryPattern.parse(text)
