"""The dashboards: what is checked in is what the code makes, and Grafana's own schema of it."""

from collections.abc import Iterator
from typing import Any

import orjson
import promql_parser
import pytest

from deploy.observability.dashboards import BOARDS, FOLDER
from deploy.observability.grafana import Graph
from tests.support.rules import named_in, of_dashboards, recorded

each_board = pytest.mark.parametrize("name", BOARDS)


def panels(name: str) -> Iterator[dict[str, Any]]:
    """Yield the panels of a file that is checked in."""
    yield from orjson.loads((FOLDER / name).read_bytes())["panels"]


@each_board
def test_the_file_is_what_the_code_makes(name: str) -> None:
    """`make docs` writes it; the same bytes each time."""
    assert (FOLDER / name).read_bytes() == BOARDS[name].text() == BOARDS[name].text()


def test_there_is_no_other_file() -> None:
    """The chart packs the folder."""
    assert {path.name for path in FOLDER.iterdir()} == BOARDS.keys()


@each_board
def test_every_panel_is_on_the_grid_and_beside_no_other(name: str) -> None:
    """None hides another."""
    taken: set[tuple[int, int]] = set()
    for panel in panels(name):
        at = panel["gridPos"]
        cells = {
            (at["x"] + right, at["y"] + down) for right in range(at["w"]) for down in range(at["h"])
        }
        assert not cells & taken
        assert at["x"] + at["w"] <= 24
        taken |= cells


@each_board
def test_every_panel_asks_the_chosen_source_and_says_what_it_shows(name: str) -> None:
    """Each of its own title; a graph's lines have names."""
    shown = [panel for panel in panels(name) if panel["type"] != "row"]
    assert len({panel["title"] for panel in shown}) == len(shown)
    for panel in shown:
        assert panel["datasource"]["uid"] == "${source}"
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert panel["targets"]
    graphs = [p for row in BOARDS[name].rows for p in row.panels if isinstance(p, Graph)]
    assert all(line.called for graph in graphs for line in graph.lines)


@pytest.mark.parametrize("expression", of_dashboards())
def test_each_expression_is_parsed(expression: str) -> None:
    """As Grafana would send it; a name with a colon is a recording rule's."""
    promql_parser.parse(expression)
    assert {name for name in named_in(expression) if ":" in name} <= recorded()
