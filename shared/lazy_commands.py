"""Groups of commands that are imported when they are called.

`--version` and `--help` of a program need none of them: a line of help is the docstring in the
source of its command.
"""

import ast
from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click
from typing_extensions import override

from shared.importing import without_collecting


class LazyGroup(click.Group):
    """Knows the module of each command. There it is the function of its name, with `_` for `-`."""

    def __init__(self, *arguments: Any, modules: Mapping[str, str], **settings: Any) -> None:
        """Take the modules, by the names of the commands in the order of the help."""
        super().__init__(*arguments, **settings)
        self._modules = modules

    @override
    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names."""
        return list(self._modules)

    @override
    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command, or return none."""
        if cmd_name not in self._modules:
            return None
        with without_collecting():
            module = import_module(self._modules[cmd_name])
            found = getattr(module, _function_of(cmd_name))
        if not isinstance(found, click.Command):
            raise TypeError(cmd_name)
        return found

    @override
    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write a line for each command, without importing it."""
        limit = formatter.width - 6 - max(map(len, self._modules))
        rows = [(name, self._short_help(name, limit)) for name in self._modules]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def _short_help(self, name: str, limit: int) -> str:
        spec, function = find_spec(self._modules[name]), _function_of(name)
        if spec is None or spec.origin is None:
            raise ModuleNotFoundError(self._modules[name])
        for node in ast.parse(Path(spec.origin).read_text("utf-8")).body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == function:
                return click.Command(name, help=ast.get_docstring(node)).get_short_help_str(limit)
        raise LookupError(name)


def _function_of(command: str) -> str:
    return command.replace("-", "_")
