"""Each attack of `docs/trust.md` has a test, and each test of the attacks has its row."""

import re

from deploy.dev.debian import REPOSITORY

PAGE = REPOSITORY / "docs" / "trust.md"
ATTACKS = REPOSITORY / "tests" / "system" / "devices" / "test_agent_attacks.py"
TEST = re.compile(r"`(test_\w+)`")
PAPERS = (
    "arbitrary software",
    "rollback",
    "indefinite freeze",
    "endless data",
    "slow retrieval",
    "extraneous dependencies",
    "mix and match",
    "wrong software",
    "malicious mirror",
    "key compromise",
    "partial bundle",
)


def rows() -> dict[str, list[str]]:
    """Return the tests of each attack of the table."""
    cells = [line.strip("| ").split(" | ") for line in PAGE.read_text("utf-8").splitlines()]
    return {row[0]: TEST.findall(row[-1]) for row in cells if TEST.search(row[-1])}


def test_each_attack_of_the_papers_has_a_row_with_tests() -> None:
    """None is forgotten."""
    listed = rows()
    assert [attack for attack in PAPERS if not any(attack in row for row in listed)] == []
    assert all(listed.values())


def test_the_table_and_the_tests_are_one() -> None:
    """A test that was renamed is renamed on the page as well."""
    named = {name for tests in rows().values() for name in tests}
    text = "".join(
        path.read_text("utf-8") for path in (REPOSITORY / "tests").rglob("test_*agent*.py")
    )
    assert [name for name in named if f"def {name}(" not in text] == []
    attacks = re.findall(r"^async def (test_\w+)\(", ATTACKS.read_text("utf-8"), re.MULTILINE)
    assert [name for name in attacks if name not in named] == []


def test_each_bound_of_the_agent_has_its_row() -> None:
    """By the constant's name, so that whoever adds one says what it is for."""
    code = "".join(
        path.read_text("utf-8")
        for path in (REPOSITORY / "deploy" / "devices" / "agent" / "device_agent").rglob("*.py")
    )
    bound = r"^((?:MAX|MIN)_\w+|(?:PODMAN|RELOAD)_SECONDS)(?:: Final)? ="
    bounds = set(re.findall(bound, code, re.MULTILINE))
    named = set(re.findall(r"`([A-Z_]+)`", PAGE.read_text("utf-8")))
    assert len(bounds) > 20
    assert bounds == named
