"""The one table: medians, ratios, and each bar with whether it is met. Pure."""

import io
from collections.abc import Sequence

from rich.box import MARKDOWN
from rich.console import Console
from rich.table import Table

from tests.bench.figures import DISTRIBUTION, FACADE, NGINX, RIVALS, Figure
from tests.bench.observations import Observations, Verdict

WIDTH = 220  # columns: a figure stays in one line, also where the output is a file
NOT_MEASURED = ""
ALWAYS = (NGINX, DISTRIBUTION)  # have a column, also where they were not measured


def render(figures: Sequence[Figure], observations: Observations) -> str:
    """Return the lines of every figure that was measured, and what the bars come to."""
    measured = [figure for figure in figures if observations.of(figure, FACADE)]
    rivals = [name for name in RIVALS if name in ALWAYS or _is_seen(name, measured, observations)]
    table = Table(box=MARKDOWN)
    table.add_column("measure", no_wrap=True)
    table.add_column("unit")
    for name in (FACADE, *rivals, *(f"facade / {rival}" for rival in rivals)):
        table.add_column(name, justify="right", no_wrap=True)
    for figure in measured:
        table.add_row(*_row(figure, observations, rivals))
    output = io.StringIO()
    Console(file=output, width=WIDTH, color_system=None).print(table)
    lines = [line.rstrip() for line in output.getvalue().splitlines() if line.strip()]
    return "\n".join([*lines, "", _conclusion(measured, observations)])


def _is_seen(rival: str, measured: Sequence[Figure], observations: Observations) -> bool:
    return any(observations.of(figure, rival) for figure in measured)


def _row(figure: Figure, observations: Observations, rivals: Sequence[str]) -> list[str]:
    verdicts = {verdict.bar.rival: verdict for verdict in observations.verdicts(figure)}
    facade = _number(observations.median(figure, FACADE))
    return [
        figure.title,
        figure.unit,
        _judged(facade, verdicts.get(None)),
        *(_number(observations.median(figure, rival)) for rival in rivals),
        *(
            _judged(_number(observations.ratio(figure, rival)), verdicts.get(rival))
            for rival in rivals
        ),
    ]


def _judged(number: str, verdict: Verdict | None) -> str:
    if verdict is None:
        return number
    bar = f"{verdict.bar.side.value} {verdict.bar.limit:g}"
    return f"{number}  ({bar} {'met' if verdict.is_met else 'MISSED'})"


def _number(value: float | None) -> str:
    if value is None:
        return NOT_MEASURED
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _conclusion(figures: Sequence[Figure], observations: Observations) -> str:
    verdicts = [verdict for figure in figures for verdict in observations.verdicts(figure)]
    met = sum(verdict.is_met for verdict in verdicts)
    return f"bars met: {met} of {len(verdicts)}"
