"""Breaks what each row guards, in a copy of the product, and sees the row fail.

    make adversary-broken TESTS="-k registry"

takes pytest's own arguments. It prints a line for each row, then the rows' table, and ends with 1
if a row did not fail.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest
from attrs import define, field

from tests.adversary.guards import Break, breaks_of

REPOSITORY: Final = Path(__file__).parents[2]
COPIED: Final = ("control_plane", "facade", "shared", "tests", "deploy", "docs")
COPIED_FILES: Final = ("pyproject.toml", "Makefile")
_FAILED: Final = re.compile(r"^(?:FAILED|ERROR) (.*?)(?: - (.*))?$", re.MULTILINE)
_TABLE: Final = re.compile(r"^=+ attacks =+\n(.*?)\n(?:\n|=)", re.MULTILINE | re.DOTALL)


@define
class Collector:
    """A plugin of pytest that keeps the rows."""

    rows: list[pytest.Item] = field(factory=list)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Keep them."""
        self.rows = list(session.items)


def main() -> None:
    """Try what is asked for."""
    collector = Collector()
    arguments = ["--collect-only", "-qq", "-m", "attack", "tests/adversary", *sys.argv[1:]]
    if pytest.main(arguments, plugins=[collector]) != pytest.ExitCode.OK:
        raise SystemExit(2)
    with tempfile.TemporaryDirectory(prefix="broken-") as folder:
        copy = _copied(Path(folder))
        held = [
            row
            for what, rows in breaks_of(collector.rows).items()
            for row in _held(what, rows, copy)
        ]
    raise SystemExit(1 if held else 0)


def _copied(folder: Path) -> Path:
    for name in COPIED:
        shutil.copytree(REPOSITORY / name, folder / name, ignore=shutil.ignore_patterns("*.pyc"))
    for name in COPIED_FILES:
        shutil.copy(REPOSITORY / name, folder)
    return folder


def _held(what: Break, rows: Sequence[str], copy: Path) -> list[str]:
    """Return the rows that do not fail although what they guard is broken."""
    before = {path: (copy / path).read_text() for path in what.paths}
    try:
        _write(copy, what.applied(before))
        printed = _run(rows, copy)
    finally:
        _write(copy, before)
    failed = dict(_FAILED.findall(printed))
    for row in rows:
        _say(f"{row}: {failed.get(row, 'DID NOT FAIL')}")
    for table in _TABLE.findall(printed):
        _say(table)
    return [row for row in rows if row not in failed]


def _write(folder: Path, texts: dict[str, str]) -> None:
    for path, text in texts.items():
        (folder / path).write_text(text)


def _run(rows: Sequence[str], copy: Path) -> str:
    options = ("-q", "--disable-warnings", "-p", "no:cacheprovider", "--tb=no")
    run = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *rows],
        cwd=copy,
        env=os.environ | {"COLUMNS": "400"},  # a failure's reason is not cut
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode not in {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED}:
        raise SystemExit(run.stdout + run.stderr)
    return run.stdout


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
