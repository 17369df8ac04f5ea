"""The version that the programs tell is the newest release of the changelog."""

import re
import tomllib
from datetime import date

from deploy.dev.debian import REPOSITORY
from shared.generation_bound import BUILT_AFTER

CHANGELOG = REPOSITORY / "CHANGELOG.md"
KINDS = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}  # Keep a Changelog
LONGEST_ENTRY = 400  # characters: the longest one names nine settings
_RELEASE = re.compile(r"(?P<version>\d+\.\d+\.\d+) — (?P<date>\d{4}-\d{2}-\d{2})")


def test_the_newest_release_is_the_version_of_this_tree() -> None:
    """Below "Unreleased", each with its date, newest first."""
    changelog = CHANGELOG.read_text("utf-8")
    unreleased, *headings = re.findall(r"^## (.*)$", changelog, re.MULTILINE)
    releases = [_RELEASE.fullmatch(heading) for heading in headings]
    assert unreleased == "Unreleased"
    assert releases
    assert all(releases), headings
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]
    found = [(release["version"], release["date"]) for release in releases if release]
    assert found[0][0] == project["version"]
    dates = [date.fromisoformat(day) for _, day in found]
    assert dates == sorted(dates, reverse=True)
    assert dates[0] == BUILT_AFTER.date()


def test_entries_are_short_and_of_a_known_kind() -> None:
    """Who upgrades reads all of them; reasons and figures are in commits and decisions."""
    changelog = CHANGELOG.read_text("utf-8")
    kinds = re.findall(r"^### (.*)$", changelog, re.MULTILINE)
    entries = re.findall(r"^- (.*(?:\n  .*)*)", changelog, re.MULTILINE)
    assert kinds
    assert set(kinds) <= KINDS
    assert entries
    assert [entry for entry in entries if len(entry) > LONGEST_ENTRY] == []
