"""Whatever a command asks at a terminal, an option answers too."""

import ast
from collections import Counter
from pathlib import Path

import click
import pytest

from control_plane import commands
from control_plane.cli import cli

FOLDER = Path(commands.__path__[0])
# By the function that asks: the commands that reach it, and the options that answer.
ANSWERS: dict[tuple[str, str], dict[str, tuple[str, ...]]] = {
    ("connection_approval.py", "_asked"): {"connections approve": ("--fingerprint",)},
    ("connection_approval.py", "_asked_comment"): {"connections send-back": ("--comment",)},
    ("connection_login.py", "_answer"): {
        "connections add": (
            "--username",
            "--anonymous",
            "--role-arn",
            "--service-account-key-file",
        )
    },
    ("connection_options.py", "_secret"): {
        "connections add": ("--token-stdin",),
        "connections edit": ("--token-stdin",),
        "connections rotate": ("--token-stdin",),
    },
    ("certainty.py", "require_certainty"): dict.fromkeys(
        (
            "apply",
            "connections discard",
            "connections revoke",
            "devices revoke",
            "operators remove",
            "sessions end",
        ),
        ("--yes",),
    ),
}


def asking_functions() -> Counter[tuple[str, str]]:
    """Return how often each function of the commands asks."""
    found = Counter[tuple[str, str]]()
    for path in FOLDER.glob("*.py"):
        for function in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                found[path.name, function.name] += sum(map(is_question, ast.walk(function)))
    return +found


def is_question(node: ast.AST) -> bool:
    """Tell whether this asks somebody."""
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in {"prompt", "confirm", "getchar", "getpass", "pause", "edit"}
    )


def options_of(words: str) -> set[str]:
    """Return the options of a command."""
    command: click.Command = cli
    context = click.Context(cli)
    for word in words.split():
        assert isinstance(command, click.Group)
        found = command.get_command(context, word)
        assert found is not None
        command = found
    return {option for each in command.params for option in (*each.opts, *each.secondary_opts)}


def test_every_question_is_known_here() -> None:
    """A new one needs an option, and a line above."""
    assert set(asking_functions()) == ANSWERS.keys()


@pytest.mark.parametrize(
    "words, answers",
    [(words, answers) for by_command in ANSWERS.values() for words, answers in by_command.items()],
)
def test_an_option_answers(words: str, answers: tuple[str, ...]) -> None:
    """So that no pipeline waits for somebody."""
    assert set(answers) <= options_of(words)
