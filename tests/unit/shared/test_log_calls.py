"""Every call of our log, read from the source: literal events, and fields that are in the table."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.log_fields import FIELDS

REPOSITORY = Path(__file__).resolve().parents[3]
PACKAGES = ("control_plane", "facade", "shared")
LEVELS = {"debug", "info", "warning", "error", "exception", "critical"}
OWN_FIELDS = {"exc_info", "rendered"}


def loggers(tree: ast.Module) -> set[str]:
    """Return the names that hold what `get_logger` returned."""
    return {
        target.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        and isinstance(node.value, ast.Call)
        and isinstance(node.value.func, ast.Name)
        and node.value.func.id == "get_logger"
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def complaints(source: str) -> Iterator[str]:
    """Say what is wrong with each log call of a module."""
    tree = ast.parse(source)
    names = loggers(tree)
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        match node.func:
            case ast.Attribute(value=ast.Name(id=name), attr=level) if name in names:
                yield from _complaints_of_call(node, level)
            case ast.Name(id="log_context"):
                yield from _complaints_of_fields(node)
            case _:
                pass


def _complaints_of_call(call: ast.Call, level: str) -> Iterator[str]:
    if level not in LEVELS:
        yield f"{call.lineno}: {level} is not one of {sorted(LEVELS)}"
    match call.args:
        case [ast.Constant(value=str())]:
            pass
        case _:
            yield f"{call.lineno}: the event is one literal, without arguments"
    yield from _complaints_of_fields(call)


def _complaints_of_fields(call: ast.Call) -> Iterator[str]:
    for keyword in call.keywords:
        if keyword.arg is not None and keyword.arg not in FIELDS.keys() | OWN_FIELDS:
            yield f"{call.lineno}: {keyword.arg} is not in shared/log_fields.py"


@pytest.mark.parametrize("package", PACKAGES)
def test_our_log_calls_lose_nothing_and_tell_nothing(package: str) -> None:
    """A field that is not in the table would be redacted; a formatted event would not."""
    found = [
        f"{file.relative_to(REPOSITORY)}:{complaint}"
        for file in sorted((REPOSITORY / package).rglob("*.py"))
        for complaint in complaints(file.read_text())
    ]
    assert found == []


@pytest.mark.parametrize(
    "call",
    [
        'log.info(f"pull of {host}")',
        'log.info("pull of %s", host)',
        "log.info(event)",
        "log.info()",
        'log.info("pull", token=token)',
        'log.msg("pull")',
        'log.bind("pull")',
        "log_context(token=token)",
    ],
)
def test_a_careless_call_is_found(call: str) -> None:
    """Otherwise the test above would prove nothing."""
    source = f"log = get_logger(__name__)\n{call}\n"
    assert list(complaints(source))


def test_a_careful_call_is_not() -> None:
    """As the module's docstring shows it."""
    source = 'log = get_logger(__name__)\nlog.info("pull", host=h, exc_info=e, **more)\n'
    assert list(complaints(source)) == []
