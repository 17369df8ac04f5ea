"""`control-plane connections history`: who did what to a connection when, and what it changed."""

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Final

import click

from control_plane.commands.answers import ActAnswer
from control_plane.commands.api_client import ApiClient
from control_plane.commands.columns import PROBLEM, Column
from control_plane.commands.connection_options import connection_name
from control_plane.commands.named_connection import named_connection
from control_plane.commands.printing import ListPrinter, print_items, wide
from control_plane.commands.running import command
from control_plane.commands.usage import Command
from control_plane.console.history_shown import ShownAct, ShownChange, shown_act
from control_plane.serving.config import ClientSettings
from control_plane.serving.environment import settings
from shared.output_form import OutputForm, output_form

_NARROW: Final = (
    Column("SEQ"),
    Column("AT"),
    Column("WHO", least=8),
    Column("DID"),
    Column("CHANGED", least=20),
)
_WIDE: Final = (*_NARROW, Column("SAID"))


@click.command(
    cls=Command,
    examples=(
        "control-plane connections history ghcr.io",
        "control-plane connections history ghcr.io --last 5 --wide",
    ),
)
@connection_name
@click.option("--last", type=click.IntRange(min=1), help="Only so many acts, the newest.")
@wide
@output_form
@command
async def history(name: str, *, last: int | None, wide: bool, form: OutputForm | None) -> None:
    """Show who did what to a connection when, the newest act first.

    Each act is believed by its signed entry of the audit log, or has a PROBLEM. CHANGED names the
    fields that differ; with --wide it has what each was and became, and SAID has what was said with
    the act. A secret is never told.
    """
    async with ApiClient.open(settings(ClientSettings)) as api:
        connection_id = await named_connection(api, name, reading=True)
        pages = _acts(api, connection_id, last)
        if form:
            await print_items(pages, form)
            return
        printer = ListPrinter(wide=wide)
        async for items in pages:
            _print(items, printer)
    printer.finish("Nothing was done to it.")


async def _acts(
    api: ApiClient, connection_id: str, last: int | None
) -> AsyncIterator[list[ActAnswer]]:
    remaining = last
    async for page in api.pages(ActAnswer, "connections", connection_id, "history"):
        yield page.items[:remaining]
        if remaining is not None:
            remaining -= len(page.items)
            if remaining <= 0:
                return


def _print(items: Sequence[ActAnswer], printer: ListPrinter) -> None:
    acts = [shown_act(item) for item in items]
    columns = _WIDE if printer.wide else _NARROW
    if any(act.problem for act in acts):
        columns = (*columns, PROBLEM)
    printer.print(columns, [*_rows(acts, columns)])


def _rows(acts: Sequence[ShownAct], columns: Sequence[Column]) -> Iterator[list[object]]:
    is_wide = columns[: len(_WIDE)] == _WIDE
    for act in acts:
        cells = {
            "SEQ": act.sequence,
            "AT": act.at,
            "WHO": act.who,
            "DID": act.what.removesuffix(" it") if act.at else None,
            "CHANGED": "; ".join(_told(each, is_wide=is_wide) for each in act.changes),
            "SAID": act.said,
            "PROBLEM": act.problem,
        }
        yield [cells[column.header] for column in columns]


def _told(change: ShownChange, *, is_wide: bool) -> str:
    if not is_wide:
        return change.label
    return f"{change.label}: {', '.join(change.before)} -> {', '.join(change.after)}"
