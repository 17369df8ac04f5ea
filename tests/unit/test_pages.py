"""Every link of a page to another page, file or heading of this repository leads somewhere."""

import re
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
_LINK = re.compile(r"\]\((?!https?://)(?P<path>[^)#\s]*)(?:#(?P<heading>[^)\s]*))?\)")
_CODE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"`(?P<path>(?:facade|control_plane|shared|tests|deploy|docs)/[\w./-]+)`")


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


def test_a_dead_link_is_found(tmp_path: Path) -> None:
    """A check that finds nothing would prove nothing."""
    page = tmp_path / "page.md"
    page.write_text("# Here\n[good](#here) [bad](#there) [gone](gone.md)\n")
    assert dead_links(page) == ["](#there)", "](gone.md)"]
