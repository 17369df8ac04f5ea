"""What a program says of itself costs no import of its commands, and is what they say."""

import subprocess
import sys

import click
import pytest

from control_plane.cli import cli
from facade.cli import main as facade
from shared.lazy_commands import LazyGroup

PROGRAMS: dict[str, click.Command] = {"control_plane.cli": cli, "facade.cli": facade}
WIDE = 10_000  # columns, so that nothing is cut off
# Runs a command line, and prints which of the slow packages were imported for it.
PRINTS_IMPORTED = """
import sys
program, *words = sys.argv[1:]
sys.argv = ["program", *words]
try:
    {function}()
except SystemExit as end:
    assert end.code == 0, end.code
print("imported:", sorted({"aiohttp", "asyncpg", "alembic", "uvloop"} & sys.modules.keys()))
"""


@pytest.mark.parametrize("module", PROGRAMS)
def test_the_lines_of_the_help_are_the_commands_own(module: str) -> None:
    """They are read from the source, where the command has its docstring."""
    group = PROGRAMS[module]
    assert isinstance(group, LazyGroup)
    context = click.Context(group, max_content_width=WIDE, terminal_width=WIDE)
    formatter, expected = context.make_formatter(), context.make_formatter()
    group.format_commands(context, formatter)
    click.Group.format_commands(group, context, expected)
    assert formatter.getvalue() == expected.getvalue()
    assert formatter.getvalue().count("\n") > len(group.list_commands(context))


@pytest.mark.parametrize("words", ["--version", "--help"])
@pytest.mark.parametrize("module", PROGRAMS)
def test_a_program_says_what_it_is_without_importing_its_commands(module: str, words: str) -> None:
    """It took a second of CPU."""
    function = "cli" if module == "control_plane.cli" else "main"
    program = f"from {module} import {function}\n{PRINTS_IMPORTED.replace('{function}', function)}"
    ran = subprocess.run(
        [sys.executable, "-c", program, module, words], capture_output=True, check=True, text=True
    )
    assert ran.stdout.splitlines()[-1] == "imported: []"
