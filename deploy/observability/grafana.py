"""Dashboards as code: rows of panels, each of some expressions, and Grafana's JSON of them.

Expressions may say `$namespace` and `$instance` (chosen above the dashboard), `$__rate_interval`
and `$__range`.
"""

from string import ascii_uppercase
from typing import Any, Final

import orjson
from attrs import frozen
from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as common_models
from grafana_foundation_sdk.models import dashboard as models

_SOURCE: Final = models.DataSourceRef(type_val="prometheus", uid="${source}")
_ALL: Final = models.VariableOption(text="All", value="$__all", selected=True)
_COLUMNS: Final = 24  # Grafana's grid


@frozen
class Line:
    """One expression, and what its series are called: words, or a template of labels."""

    expression: str
    called: str


@frozen
class Graph:
    """What happens over time."""

    title: str
    unit: str
    lines: tuple[Line, ...]
    says: str = ""
    width: int = 8
    stacked: bool = False


@frozen
class Number:
    """What is so now."""

    title: str
    unit: str
    expression: str
    says: str = ""
    called: str = ""
    bad_from: float | None = None
    bad_below: float | None = None
    width: int = 4


Panel = Graph | Number


@frozen
class Row:
    """Panels that answer one question."""

    title: str
    panels: tuple[Panel, ...]


@frozen
class Board:
    """A dashboard. `uid` is part of its address: it stays."""

    uid: str
    title: str
    says: str
    job: str  # whose namespaces and instances can be chosen
    rows: tuple[Row, ...]

    def expressions(self) -> list[str]:
        """Return every expression of every panel."""
        panels = [panel for row in self.rows for panel in row.panels]
        return [
            expression
            for panel in panels
            for expression in (
                [line.expression for line in panel.lines]
                if isinstance(panel, Graph)
                else [panel.expression]
            )
        ]

    def text(self) -> bytes:
        """Return the JSON that Grafana takes."""
        built = _built(self)
        plain: Any = orjson.loads(JSONEncoder(sort_keys=True).encode(built))
        return orjson.dumps(plain, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS) + b"\n"


def _built(board: Board) -> models.Dashboard:
    builder = (
        dashboard.Dashboard(board.title)
        .uid(board.uid)
        .description(board.says)
        .tags(["registry-backends"])
        .readonly()
        .time("now-6h", "now")
        .refresh("1m")
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .with_variable(
            dashboard.DatasourceVariable("source").label("Prometheus").type("prometheus")
        )
        .with_variable(_variable("namespace", f'label_values(up{{job="{board.job}"}}, namespace)'))
        .with_variable(_variable("instance", f'label_values(up{{job="{board.job}"}}, instance)'))
    )
    for row in board.rows:
        builder = builder.with_row(dashboard.Row(row.title))
        for panel in row.panels:
            made = _graph(panel) if isinstance(panel, Graph) else _number(panel)
            builder = builder.with_panel(made)
    return builder.build()


def _variable(name: str, query: str) -> dashboard.QueryVariable:
    """Return a choice of several, all of them at first; without the label all are chosen, too."""
    return (
        dashboard.QueryVariable(name)
        .datasource(_SOURCE)
        .query(query)
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .multi(multi=True)
        .include_all(include_all=True)
        .all_value(".*")
        .current(_ALL)
    )


def _graph(panel: Graph) -> timeseries.Panel:
    legend = (
        common.VizLegendOptions()
        .display_mode(common_models.LegendDisplayMode.LIST)
        .placement(common_models.LegendPlacement.BOTTOM)
        .show_legend(show_legend=True)
    )
    made = (
        timeseries.Panel()
        .title(panel.title)
        .description(panel.says)
        .datasource(_SOURCE)
        .unit(panel.unit)
        .min(0)
        .span(panel.width)
        .height(_COLUMNS // 3)
        .fill_opacity(10)
        .show_points(common_models.VisibilityMode.NEVER)
        .legend(legend)
    )
    if panel.stacked:
        made = made.stacking(common.StackingConfig().mode(common_models.StackingMode.NORMAL))
    for reference, line in zip(ascii_uppercase, panel.lines, strict=False):
        made = made.with_target(_query(line, reference))
    return made


def _number(panel: Number) -> stat.Panel:
    made = (
        stat.Panel()
        .title(panel.title)
        .description(panel.says)
        .datasource(_SOURCE)
        .unit(panel.unit)
        .span(panel.width)
        .height(4)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .thresholds(_thresholds(panel))
    )
    query = _query(Line(panel.expression, panel.called), "A").instant()
    return made.with_target(query)


def _thresholds(panel: Number) -> dashboard.ThresholdsConfig:
    steps = [models.Threshold(value=None, color="green")]
    if panel.bad_from is not None:
        steps.append(models.Threshold(value=panel.bad_from, color="red"))
    if panel.bad_below is not None:
        steps = [
            models.Threshold(value=None, color="red"),
            models.Threshold(value=panel.bad_below, color="green"),
        ]
    mode = models.ThresholdsMode.ABSOLUTE
    return dashboard.ThresholdsConfig().mode(mode).steps(steps)


def _query(line: Line, reference: str) -> prometheus.Dataquery:
    return prometheus.Dataquery().expr(line.expression).legend_format(line.called).ref_id(reference)
