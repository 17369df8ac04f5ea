"""What `docs/decisions/` says where something was decided is still so."""

import re
from pathlib import Path

import pytest

from deploy.dev.debian import REPOSITORY

DECISIONS = REPOSITORY / "docs" / "decisions"
PAGES = sorted(page for page in DECISIONS.glob("*.md") if page.name != "README.md")
TEST = re.compile(r"`(?P<path>tests/[\w./]+\.py)`, `(?P<name>test_\w+)`")
NAMED = re.compile(r"\bdocs/decisions/[\w-]+\.md\b")
LONGEST_ROW = 600  # characters; what needs more is told in a section below the table
PRODUCT = ("facade", "control_plane", "shared", "deploy")


def rows_of(text: str) -> list[str]:
    """Return the rows of a page's one table; raise `ValueError` if some stand elsewhere."""
    lines = text.splitlines()
    found = [at for at, line in enumerate(lines) if line.startswith("| ")]
    heading, *rows = found
    if rows != [*range(heading + 2, heading + 2 + len(rows))]:
        raise ValueError("a row stands outside of the table")
    return [lines[at] for at in rows]


def test_a_row_behind_the_table_is_found() -> None:
    """A merge may leave one at the end of the page, where nobody sees it as a row."""
    table = "| decided | because |\n|---|---|\n| a | b |\n"
    assert rows_of(table) == ["| a | b |"]
    with pytest.raises(ValueError, match="outside"):
        rows_of(f"{table}\nMore.\n| c | d |\n")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.name))
def test_each_row_says_when_and_how_to_repeat_it(page: Path) -> None:
    """A page has one table: decided, because, date, to repeat, where. Each row is short."""
    rows = rows_of(page.read_text("utf-8"))
    assert rows
    assert [row for row in rows if len(row) > LONGEST_ROW] == []
    for row in rows:
        decided, because, date, repeat, where = (cell.strip() for cell in row[2:-2].split(" | "))
        assert decided
        assert because
        assert re.fullmatch(r"20\d\d-\d\d-\d\d", date), row
        assert repeat
        assert where
    for test in TEST.finditer(page.read_text("utf-8")):
        assert f"def {test['name']}(" in (REPOSITORY / test["path"]).read_text("utf-8")


def test_every_page_is_in_the_index() -> None:
    """Whoever looks for a reason begins there."""
    index = (DECISIONS / "README.md").read_text("utf-8")
    assert [page.name for page in PAGES if f"({page.name})" not in index] == []


def test_code_names_only_pages_that_are_there() -> None:
    """A comment that points nowhere is worse than none."""
    named = {
        found
        for folder in PRODUCT
        for path in (REPOSITORY / folder).rglob("*")
        if path.suffix in {".py", ".sql", ".cnf"}
        for found in NAMED.findall(path.read_text("utf-8"))
    }
    assert len(named) > 1
    assert [page for page in named if not (REPOSITORY / page).is_file()] == []
