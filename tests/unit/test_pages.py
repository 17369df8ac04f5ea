"""Every link of a page to another page, file or heading of this repository leads somewhere."""

import re
import subprocess
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
MOST_WORDS = 3000  # a quarter of an hour
_LINK = re.compile(r"\]\((?!https?://)(?P<path>[^)#\s]*)(?:#(?P<heading>[^)\s]*))?\)")
_CODE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_TABLE = re.compile(r"^(?:\|.*\n)+", re.MULTILINE)
_TEST = re.compile(r"`(?P<path>tests/[\w./-]+\.py)::(?P<name>\w+)`")
_FILE = re.compile(r"`(?P<path>(?:facade|control_plane|shared|tests|deploy|docs)/[\w./-]+)`")


# In the words of a room's own page, its files and folders are named from there.
_OWN = re.compile(r"`(?P<path>[\w.-]+/(?:[\w.-]+/)*[\w.-]*\.(?:py|sql|md|json)|[a-z_]+\.py)`")
_ROOMS = {
    "docs/architecture.md": ("facade", "control_plane"),
    "docs/bytes.md": ("facade",),
    "docs/device-costs.md": ("facade",),
    "docs/facade.md": ("facade",),
    "docs/control-plane.md": ("control_plane",),
    "docs/operators.md": ("control_plane",),
    "facade/README.md": ("facade",),
    "control_plane/README.md": ("control_plane",),
    "shared/README.md": ("shared",),
    "shared/upstream/README.md": ("shared/upstream",),
    "shared/postgres/README.md": ("shared/postgres",),
    "tests/README.md": ("tests",),
}


def pages() -> list[Path]:
    """Return every page that git knows."""
    command = ["git", "ls-files", "-co", "--exclude-standard", "*.md"]
    listed = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    return [REPOSITORY / line for line in listed.stdout.splitlines()]


def headings(page: Path) -> set[str]:
    """Return the anchors of a page, as forges make them."""
    lines = _CODE.sub("", page.read_text("utf-8")).splitlines()
    texts = [line.lstrip("#").strip().lower() for line in lines if line.startswith("#")]
    return {re.sub(r"[^\w\- ]", "", text).replace(" ", "-") for text in texts}


def dead_links(page: Path) -> list[str]:
    """Return what a page links to and is not there."""
    dead = []
    for link in _LINK.finditer(_CODE.sub("", page.read_text("utf-8"))):
        target = (page.parent / link["path"]).resolve() if link["path"] else page
        if not target.exists() or (link["heading"] and link["heading"] not in headings(target)):
            dead.append(link[0])
    return dead


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_a_page_names_only_what_is_there(page: Path) -> None:
    """Links, and paths of this repository in backticks."""
    assert dead_links(page) == []
    if page.name == "CHANGELOG.md":
        return  # it tells of what was
    named = [found["path"] for found in _FILE.finditer(_CODE.sub("", page.read_text("utf-8")))]
    assert [path for path in named if not (REPOSITORY / path).exists()] == []


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_a_page_names_only_tests_that_are_there(page: Path) -> None:
    """What it says was tried can be tried again."""
    for named in _TEST.finditer(page.read_text("utf-8")):
        assert f"def {named['name']}(" in (REPOSITORY / named["path"]).read_text("utf-8")


def names_with_two_rows(page: Path) -> list[str]:
    """Return the names in backticks that begin more than one row of a table."""
    twice = []
    for table in _TABLE.findall(_CODE.sub("", page.read_text("utf-8"))):
        firsts = Counter(row.split("|")[1].strip() for row in table.splitlines())
        twice += [first for first, rows in firsts.items() if rows > 1 and "`" in first]
    return twice


@pytest.mark.parametrize(
    "page",
    [each for each in pages() if each.name == "README.md"],
    ids=lambda page: str(page.relative_to(REPOSITORY)),
)
def test_a_name_has_one_row(page: Path) -> None:
    """Of two rows about one room or file, as a merge may leave them, one is out of date."""
    assert names_with_two_rows(page) == []


def test_a_second_row_is_found(tmp_path: Path) -> None:
    """In one table; another table may tell of the same name."""
    page = tmp_path / "page.md"
    page.write_text("| `a` | 1 |\n| `b` | 2 |\n| `a` | 3 |\n\n| `b` | 4 |\n")
    assert names_with_two_rows(page) == ["`a`"]


def test_a_dead_link_is_found(tmp_path: Path) -> None:
    """A check that finds nothing would prove nothing."""
    page = tmp_path / "page.md"
    page.write_text("# Here\n[good](#here) [bad](#there) [gone](gone.md)\n")
    assert dead_links(page) == ["](#there)", "](gone.md)"]


def test_each_page_of_the_docs_is_in_the_index() -> None:
    """A page that nothing leads to is read by nobody."""
    docs = REPOSITORY / "docs"
    index = (docs / "README.md").read_text("utf-8")
    names = [page.name for page in docs.glob("*.md") if page.name != "README.md"]
    names += [f"{page.parent.name}/README.md" for page in docs.glob("*/README.md")]
    assert [name for name in names if f"({name})" not in index] == []


def is_too_long(page: Path) -> bool:
    """Tell whether nobody will read a page to its end; what is made by a program is looked up."""
    text = page.read_text("utf-8")
    is_made = "do not edit it by hand" in text
    return not is_made and len(text.split()) > MOST_WORDS


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_a_page_can_be_read_at_one_sitting(page: Path) -> None:
    """What has more to say is two pages, for two readers or on two subjects."""
    if page.name != "CHANGELOG.md":  # it grows with each release, and its entries are short
        assert not is_too_long(page)


def test_a_long_page_is_found(tmp_path: Path) -> None:
    """Unless a program made it."""
    page = tmp_path / "page.md"
    page.write_text("word " * (MOST_WORDS + 1))
    assert is_too_long(page)
    page.write_text("Made by `make docs`; do not edit it by hand. " + "word " * MOST_WORDS)
    assert not is_too_long(page)


def files_not_there(page: Path, rooms: Iterable[str]) -> list[str]:
    """Return the files that a page names and that are not there, in its rooms or elsewhere."""
    named = {found["path"] for found in _OWN.finditer(_CODE.sub("", page.read_text("utf-8")))}
    known = module_names()
    return sorted(
        path
        for path in named
        if not (REPOSITORY / path).exists()
        and not any((REPOSITORY / room / path).exists() for room in rooms)
        and ("/" in path or path not in known)
        and "NNNN" not in path  # a number that somebody chooses
    )


def module_names() -> set[str]:
    """Return the name of every module of the repository, without its folder."""
    packages = ("control_plane", "deploy", "facade", "shared", "tests")
    return {path.name for name in packages for path in (REPOSITORY / name).rglob("*.py")}


@pytest.mark.parametrize("page, rooms", _ROOMS.items(), ids=_ROOMS)
def test_a_page_of_rooms_names_only_files_that_are_there(page: str, rooms: Sequence[str]) -> None:
    """A file that was moved is moved on the page as well."""
    assert files_not_there(REPOSITORY / page, rooms) == []


def test_a_file_that_was_moved_is_found(tmp_path: Path) -> None:
    """Of one room it is named with its folder; a module may be named alone."""
    page = tmp_path / "page.md"
    page.write_text("`pulls/gate.py` `gate.py` `pulls/gone.py` `gone.py` `facade/pulls/gate.py`\n")
    assert files_not_there(page, ["facade"]) == ["gone.py", "pulls/gone.py"]


@pytest.mark.parametrize("folder", ["facade", "control_plane", "shared", "shared/upstream"])
def test_each_room_has_its_row(folder: str) -> None:
    """Whoever makes a room says on the page of its house what lives there."""
    page = (REPOSITORY / folder / "README.md").read_text("utf-8")
    rooms = [path.parent.name for path in (REPOSITORY / folder).glob("*/__init__.py")]
    rows = [line.split("|")[1] for line in page.splitlines() if line.startswith("|")]
    assert rooms
    assert [room for room in rooms if not any(f"`{room}/`" in row for row in rows)] == []


@pytest.mark.parametrize("folder", ["shared", "shared/upstream", "shared/postgres"])
def test_each_file_of_what_is_shared_has_its_row(folder: str) -> None:
    """There are no floors that would say where to look."""
    page = (REPOSITORY / folder / "README.md").read_text("utf-8")
    names = [path.name for path in (REPOSITORY / folder).glob("*.py") if path.stem != "__init__"]
    assert [name for name in names if f"`{name}`" not in page] == []
