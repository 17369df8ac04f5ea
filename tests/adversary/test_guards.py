"""Each row says what it guards, and that is in the product: `make adversary-broken` breaks it."""

from pathlib import Path

import pytest

from tests.adversary.guards import TIMES, Break, breaks_of

ROOT = Path(__file__).parents[2]
PRODUCT = "FIRST: Final = 3\n\n\nclass Settings:\n    second: Count = 4  # of a kind\n"


def test_each_row_says_what_it_guards(rows: list[pytest.Item]) -> None:
    """Or why it guards nothing: a row that cannot fail is no row."""
    silent = [
        row.nodeid
        for row in rows
        if bool(Break.of(row)) == (row.get_closest_marker("guards_nothing") is not None)
    ]
    assert not silent


def test_what_the_rows_guard_is_in_the_product(rows: list[pytest.Item]) -> None:
    """Whoever renames or moves it says so here, too."""
    for what in breaks_of(rows):
        before = {path: (ROOT / path).read_text() for path in what.paths}
        assert all(text != before[path] for path, text in what.applied(before).items())


def test_the_bounds_that_rows_guard_are_on_a_page(rows: list[pytest.Item]) -> None:
    """Which another test compares with the code."""
    page = "".join(path.read_text() for path in (ROOT / "docs" / "bounds").glob("*.md"))
    named = {name for what in breaks_of(rows) for name in what.raised}
    assert [name for name in sorted(named) if f"`{_on_the_page(name)}`" not in page] == []


def _on_the_page(name: str) -> str:
    module, _, constant = name.rpartition(".")
    is_setting = module.endswith(".config")
    return f"FACADE_{constant.upper()}" if is_setting else name


def test_a_bound_is_raised_and_a_text_replaced() -> None:
    """Constants, and defaults of settings."""
    what = Break(
        frozenset({"m.FIRST", "m.second"}), frozenset({("m.py", "of a kind", "of any kind")})
    )
    text = what.applied({"m.py": PRODUCT})["m.py"]
    assert f"FIRST: Final = {TIMES} * 3\n" in text
    assert f"    second: Count = {TIMES} * 4  # of any kind\n" in text


@pytest.mark.parametrize("name", ["m.THIRD", "m.FIR"])
def test_a_bound_that_is_not_there_is_told(name: str) -> None:
    """Else nothing would be broken, and no row could be seen failing."""
    with pytest.raises(ValueError, match="stands 0 times"):
        Break(frozenset({name}), frozenset()).applied({"m.py": PRODUCT})
