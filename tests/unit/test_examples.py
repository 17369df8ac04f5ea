"""Every example of the pages is one that its program takes.

What they do is tested where they are run: `tests/system/control_plane/test_documented_commands.py`
types the control plane's and PostgreSQL's lines, `tests/system/facade/test_documented_clients.py`
sets clients up, `tests/system/test_make_run.py` runs `make run`, and
`tests/system/test_installation.py` installs the wheel.
"""

import ast
import configparser
import importlib.util
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import jinja2
import orjson
import pytest

from control_plane.cli import cli
from deploy.dev.debian import REPOSITORY
from deploy.dev.log_field_meanings import OWN_FIELDS
from facade.cli import main as facade
from facade.devices.handshake_end import HandshakeEnd
from shared.log_fields import FIELDS
from tests.support.examples import (
    Example,
    TypedCommand,
    commands,
    commands_in_running_text,
    examples,
    pages,
)

PROGRAMS: dict[str, click.Command] = {"control-plane": cli, "facade": facade}
# Their words are not ours to check: other tests type them, or what is deployed with them.
OTHERS = frozenset(
    {"cd", "cp", "export", "git", "install", "mkdir", "pg_dump", "pg_restore", "pip"}
)
DEPLOYERS = frozenset(
    {
        "apt-get",
        "curl",
        "docker",
        "dpkg",
        "helm",
        "kubectl",
        "podman",
        "sha256sum",
        "sudo",
        "systemctl",
    }
)
FILES = (click.File, click.Path)  # the examples' are not there
# By other tests, line by line.
RUN_AS_THEY_STAND = {
    "sql": {"docs/operating.md"},
    "nginx": {"docs/clients.md"},
    "yaml": {"docs/configuration-as-files.md", "docs/devices.md", "docs/webhooks.md"},
}
PAGES = [page for page in pages() if "deploy" not in page.relative_to(REPOSITORY).parts]
# `make check-deploy` has the others.
BLOCKS = [block for page in PAGES for block in examples(page)]
SHELL = [block for block in BLOCKS if block.is_shell]


def given_to(typed: TypedCommand) -> list[tuple[click.Parameter, Any]]:
    """Return what click reads for each parameter; raise what it says of one that is not there."""
    command: click.Command = PROGRAMS[typed.program]
    words, context = list(typed.words[1:]), click.Context(command)
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        name, found, words = command.resolve_command(context, words)
        assert found is not None
        command, context = found, click.Context(found, context, name)
    given, left, _ = command.make_parser(context).parse_args(words)
    assert isinstance(command, click.Group) or left == [], left
    read = [(parameter, given.get(parameter.name or "")) for parameter in command.params]
    for parameter, value in read:
        if not is_missing(parameter, value) and not isinstance(parameter.type, FILES):
            parameter.type_cast_value(context, value)
    return read


def is_missing(parameter: click.Parameter, value: object) -> bool:
    """Tell whether a parameter was not given."""
    return value is None or parameter.value_is_missing(value)


def require_all_given(typed: TypedCommand) -> None:
    """A line that is typed as it stands has every argument and option that is required."""
    for parameter, value in given_to(typed):
        assert not (parameter.required and is_missing(parameter, value)), parameter.name


def check(command: TypedCommand) -> None:
    """Fail unless the command's program is known and takes its words."""
    match command.program:
        case "control-plane" | "facade":
            given_to(command)
        case "make":
            check_make(command.words[1:])
        case "python" | "python3":
            assert command.words[1] == "-m"
            assert importlib.util.find_spec(command.words[2]), command.words
        case program:
            assert program in OTHERS | DEPLOYERS, f"no test types {program}"


def check_make(words: tuple[str, ...]) -> None:
    """The Makefile has the target, and reads the variables."""
    makefile = (REPOSITORY / "Makefile").read_text("utf-8")
    target, *variables = words
    assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    for name in (variable.partition("=")[0] for variable in variables):
        assert re.search(rf"\$\({name}\b|^export .*\b{name}\b", makefile, re.MULTILINE), name


@pytest.mark.parametrize("block", SHELL, ids=str)
def test_every_line_of_a_shell_is_taken(block: Example) -> None:
    """Its program is there, with these options and arguments."""
    typed = list(commands(block.text))
    assert typed
    for command in typed:
        check(command)
        if command.program in PROGRAMS:
            require_all_given(command)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_every_command_that_is_named_is_there(page: Path) -> None:
    """In running text, mostly without its arguments."""
    if page.name != "CHANGELOG.md":  # it tells of what was
        for command in commands_in_running_text(page, frozenset(PROGRAMS)):
            check(command)


@pytest.mark.parametrize(
    "line",
    [
        "control-plane operators ad alice --role connector",
        "control-plane operators add alice --rol connector",
        "control-plane operators add alice --role conector",
        "control-plane operators add alice bob --role connector",
        "facade chek HOST",
        "make everything",
        "make bench SPEED=9",
        "telnet localhost",
    ],
)
def test_a_wrong_line_is_found(line: str) -> None:
    """A check that finds nothing would prove nothing."""
    (command,) = commands(line)
    with pytest.raises((click.UsageError, AssertionError)):
        check(command)


def test_a_line_without_what_is_required_is_found() -> None:
    """As above."""
    (command,) = commands("control-plane operators add --role connector")
    with pytest.raises(AssertionError):
        require_all_given(command)


def every_command(
    command: click.Command, context: click.Context, path: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Yield each command that does something, with the words that it is typed by."""
    if not isinstance(command, click.Group):
        yield path, command
        return
    for name in command.list_commands(context):
        found = command.get_command(context, name)
        assert found is not None
        yield from every_command(found, click.Context(found, context, name), (*path, name))


COMMANDS = {
    path: command
    for program, group in PROGRAMS.items()
    for path, command in every_command(group, click.Context(group), (program,))
}


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_the_help_of_every_command_ends_with_examples(path: tuple[str, ...]) -> None:
    """Each is a line of this very command, as its program takes it."""
    found = COMMANDS[path]
    help_text = found.get_help(click.Context(found, info_name=" ".join(path)))
    lines = help_text.partition("\nExamples:\n")[2].splitlines()
    assert lines
    for line in lines:
        (typed,) = commands(line)
        assert typed.words[: len(path)] == path
        check(typed)
        require_all_given(typed)


# They print no result, or lines that are JSON already.
WITHOUT_FORMS = {
    ("control-plane", "migrate"),
    ("control-plane", "serve"),
    ("facade", "serve"),
    ("control-plane", "login"),
    ("control-plane", "logout"),
    ("control-plane", "webhooks", "test"),
    ("control-plane", "completion"),
    ("control-plane", "audit", "export"),
    ("control-plane", "audit", "accept-restore"),
}


@pytest.mark.parametrize("path", sorted(COMMANDS.keys() - WITHOUT_FORMS), ids=" ".join)
def test_every_result_is_there_as_json_and_as_yaml(path: tuple[str, ...]) -> None:
    """Programs read the one, and people who keep it in files the other."""
    options = {option for each in COMMANDS[path].params for option in each.opts}
    assert {"--json", "--yaml"} <= options


def run_by_unit(block: str) -> Iterator[TypedCommand]:
    """Yield what a systemd unit starts."""
    unit = configparser.ConfigParser(interpolation=None)
    unit.read_string(block)
    yield from commands(unit["Service"]["ExecStart"])


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_every_other_block_is_of_a_kind_that_is_checked(block: Example) -> None:
    """What a language's blocks hold is read as that; what is not known fails."""
    match block.language:
        case "console" | "sh" | "":
            pass  # above; a drawing
        case "json" if '"code"' in block.text:
            line = orjson.loads(block.text)
            assert line.keys() <= FIELDS.keys() | OWN_FIELDS.keys()
            assert "code" not in line or HandshakeEnd(line["code"])
        case "json":
            orjson.loads(block.text)
        case "toml":
            tomllib.loads(block.text)
        case "ini":
            for command in run_by_unit(block.text):
                check(command)
        case "python":
            ast.parse(block.text)
        case "jinja":
            jinja2.Environment(autoescape=True).parse(block.text)
        case "sql" | "nginx" | "yaml" as language:
            assert block.page in RUN_AS_THEY_STAND[language]
        case language:
            pytest.fail(f"{block.page} has a block in {language}, which no test checks")
