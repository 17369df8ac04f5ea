"""How results are printed: lists, single things and JSON, for people and for programs.

At a terminal a list's lines are cut to its width; elsewhere, and with `--wide`, nothing is cut. If
`COLUMNS` is set, it is the terminal's width, as it is for other programs.
"""

import shutil
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from itertools import chain, repeat
from typing import Any, Final

import click
import orjson
from attrs import define, field
from rich.console import Console

from control_plane.commands.columns import Column, Table, one_line
from control_plane.commands.running import say
from shared.output_form import OutputForm

_INDENT: Final = "  "

wide = click.option("--wide", is_flag=True, help="More columns, and nothing is cut.")


def print_value(value: object, form: OutputForm) -> None:
    """Print a value as the API has it."""
    click.echo(form.text(value))


def print_document(value: object, form: OutputForm) -> None:
    """Print one of several values: a line of JSON, or a document of YAML."""
    if form is OutputForm.YAML:
        click.echo("---")
    print_value(value, form)


async def print_items(pages: AsyncIterator[Sequence[object]], form: OutputForm) -> None:
    """Print a list, each page as it arrives: JSON on one line, which has no end if that fails."""
    if form is OutputForm.YAML:
        is_empty = True
        async for page in pages:
            is_empty &= not page
            if page:
                click.echo(form.text(page))
        if is_empty:
            click.echo("[]")
        return
    before = b"["
    async for page in pages:
        for item in page:
            click.echo(before + orjson.dumps(item), nl=False)
            before = b","
    click.echo(b"[]" if before == b"[" else b"]")


def print_list(
    columns: Sequence[Column], rows: Sequence[Iterable[object]], *, nothing: str, wide: bool
) -> None:
    """Print one line a row; say `nothing` if there is no row."""
    printer = ListPrinter(wide=wide)
    printer.print(columns, rows)
    printer.finish(nothing)


@define
class ListPrinter:
    """Prints a list a few rows at a time; if the columns change, they get a new header."""

    wide: bool
    _table: Table | None = field(default=None, init=False)

    def print(self, columns: Sequence[Column], rows: Sequence[Iterable[object]]) -> None:
        """Print one line a row."""
        if not rows:
            return
        if self._table is None or self._table.columns != columns:
            width = None if self.wide else terminal_width()
            self._table = Table(columns, width, is_coloured=has_colours())
        for line in self._table.lines(rows):
            click.echo(line)

    def finish(self, nothing: str) -> None:
        """Say `nothing` if there was no row."""
        if self._table is None:
            say(nothing)


def show_view(view: Mapping[str, Any], form: OutputForm | None) -> None:
    """Print an object of the API, for programs or in words."""
    if form:
        print_value(view, form)
    else:
        print_fields(view)


def print_fields(view: Mapping[str, Any]) -> None:
    """Print each field that has a value with its name; a value of several lines comes below."""
    shown = {name: value for name, value in view.items() if value not in (None, [], "", {})}
    width = max((len(name) for name in shown), default=0) + len(":")
    for name, value in shown.items():
        for label, line in zip(chain([f"{name}:"], repeat("")), _texts(value), strict=False):
            click.echo(f"{label:<{width}}{_INDENT}{line}")


def has_colours() -> bool:
    """Tell whether standard output is a terminal with colours, and nobody set NO_COLOR."""
    console = Console()
    return console.color_system is not None and not console.no_color


def terminal_width() -> int | None:
    """Return how many cells a line of standard output has; None if that is no terminal."""
    return shutil.get_terminal_size((0, 0)).columns or None


def _texts(value: object) -> list[str]:
    """Return the lines of a value, at least one, without anything that steers a terminal."""
    match value:
        case str():
            return [one_line(line) for line in value.splitlines()] or [""]
        case list():
            return [line for item in value for line in _texts(item)] or [""]
        case dict():
            return [line for name, item in value.items() for line in _named(name, item)] or [""]
        case _:
            return [orjson.dumps(value).decode()]


def _named(name: str, value: object) -> Iterator[str]:
    first, *more = _texts(value)
    yield f"{name}: {first}"
    yield from (_INDENT + line for line in more)
