"""The one table: medians, ratios, and each bar with whether it is met. Pure."""

import io
from collections.abc import Sequence

from rich.box import MARKDOWN
from rich.console import Console
from rich.table import Table

from tests.bench.figures import FACADE, RIVALS, Figure
from tests.bench.observations import Observations, Verdict

WIDTH = 160  # columns: the whole table in one line each, also where the output is a file


def render(figures: Sequence[Figure], observations: Observations) -> str:
    """Return the lines of every figure that was measured."""
    table = Table(box=MARKDOWN)
    table.add_column("measure")
    table.add_column("unit")
    for name in (FACADE, *RIVALS):
        table.add_column(name, justify="right")
    for rival in RIVALS:
        table.add_column(f"facade / {rival}", justify="right")
    table.add_column("bar")
    for figure in figures:
        if observations.of(figure, FACADE):
            table.add_row(*_row(figure, observations))
    output = io.StringIO()
    Console(file=output, width=WIDTH, color_system=None).print(table)
    return "\n".join(line.rstrip() for line in output.getvalue().splitlines() if line.strip())


def _row(figure: Figure, observations: Observations) -> list[str]:
    medians = [observations.median(figure, name) for name in (FACADE, *RIVALS)]
    ratios = [observations.ratio(figure, rival) for rival in RIVALS]
    verdicts = [_words(verdict) for verdict in observations.verdicts(figure)]
    return [
        figure.title,
        figure.unit,
        *(_number(each) for each in medians),
        *(_number(each) for each in ratios),
        "; ".join(verdicts),
    ]


def _words(verdict: Verdict) -> str:
    bar = verdict.bar
    of = f" {bar.rival}" if bar.rival else ""
    return f"{bar.side.value} {bar.limit:g}{of}: {'met' if verdict.is_met else 'MISSED'}"


def _number(value: float | None) -> str:
    if value is None:
        return ""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"
