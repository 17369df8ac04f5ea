"""SECURITY.md, "Bounds": every bound that it names is in the code, with that value."""

import importlib
import re
from pathlib import Path

import pytest

from deploy.dev import settings_page

ROOT = Path(__file__).parents[2]
_UNITS = {"": 1.0, "bytes": 1.0, "s": 1.0, "min": 60.0, "h": 3600.0, "days": 86400.0} | {
    unit: 1024.0**power for power, unit in enumerate(("KiB", "MiB", "GiB", "TiB"), start=1)
}


def _rows() -> list[tuple[str, str, str]]:
    """Return what, bound and name of each row."""
    section = (ROOT / "SECURITY.md").read_text().partition("\n## Bounds\n")[2]
    section = section.partition("\n## ")[0]
    rows = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("| ")]
    named = [[cell.strip() for cell in row] for row in rows if row[0].strip() != "what"]
    return [(what, bound, name.strip("`")) for what, _per, bound, name, _measured in named]


ROWS = _rows()
SETTINGS = settings_page.page()


def _number(text: str) -> float:
    found = re.fullmatch(r"([0-9,.]+) ?([A-Za-z]*)", text)
    assert found, f"not a number with a unit: {text}"
    return float(found[1].replace(",", "")) * _UNITS[found[2]]


@pytest.mark.parametrize(
    "what, bound, name", ROWS, ids=[f"{name}: {what}" for what, _, name in ROWS]
)
def test_a_bound_is_what_the_code_says(what: str, bound: str, name: str) -> None:
    """A page of bounds that is not compared is soon wrong."""
    assert what
    if name.isupper():
        default = re.search(rf"\| `{name}` \| (.*?) \|", SETTINGS)
        assert default, f"no setting {name}"
        if bound != "as set":
            assert _number(default[1].strip("`")) == _number(bound)
        return
    module, _, constant = name.rpartition(".")
    assert getattr(importlib.import_module(module), constant) == _number(bound)


def test_no_bound_is_named_twice() -> None:
    """One of them would be changed, and the other one not."""
    names = [name for _, _, name in ROWS]
    assert len(names) > 40
    assert len(set(names)) == len(names)
