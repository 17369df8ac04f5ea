"""What the benchmark prints."""

from tests.bench.figures import DISTRIBUTION, NGINX, Figure, at_least, at_most
from tests.bench.observations import Observations
from tests.bench.table import render

RATE = Figure(
    "manifests.rate", "manifests", "1/s", (at_least(0.25, NGINX), at_least(8.0, DISTRIBUTION))
)
SIZE = Figure("memory.device", "each stopped device", "KiB", (at_most(250.0),))
ALONE = Figure("processes.two", "two facades", "GiB/s")


def lines_of(observations: Observations, *figures: Figure) -> list[list[str]]:
    """Return the cells of the table's rows, heads left out."""
    lines = [line for line in render(figures, observations).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def seen(**figures: dict[str, list[float]]) -> Observations:
    """Return observations of figures, named with `_` for `.`."""
    return Observations({key.replace("_", ".", 1): values for key, values in figures.items()})


def test_each_ratio_stands_beside_its_bar() -> None:
    """Met or missed is said in words."""
    observations = seen(
        manifests_rate={"facade": [5000.0], "nginx": [25000.0], "distribution": [500.0]}
    )
    assert lines_of(observations, RATE) == [
        [
            "manifests",
            "1/s",
            "5,000",
            "25,000",
            "500",
            "0.20  (≥ 0.25 MISSED)",
            "10.0  (≥ 8 met)",
        ]
    ]


def test_a_limit_of_the_figure_itself_stands_beside_the_figure() -> None:
    """It is no ratio."""
    observations = seen(memory_device={"facade": [808.0], "nginx": [125.0]})
    [row] = lines_of(observations, SIZE)
    assert row[2:5] == ["808  (≤ 250 MISSED)", "125", ""]


def test_what_was_not_measured_is_left_out() -> None:
    """One measure alone may be asked for."""
    observations = seen(processes_two={"facade": [1.234]})
    assert lines_of(observations, RATE, ALONE, SIZE) == [
        ["two facades", "GiB/s", "1.23", "", "", "", ""]
    ]


def test_the_last_line_counts_the_bars() -> None:
    """Of those that could be judged."""
    observations = seen(
        manifests_rate={"facade": [5000.0], "nginx": [25000.0], "distribution": [500.0]},
        memory_device={"facade": [200.0]},
    )
    assert render([RATE, SIZE], observations).splitlines()[-1] == "bars met: 2 of 3"


def test_every_row_is_one_line() -> None:
    """The table is read in a file, too."""
    observations = seen(
        manifests_rate={"facade": [1e9], "nginx": [1e9], "distribution": [1e9]},
        memory_device={"facade": [123456.0], "nginx": [1.0], "distribution": [1.0]},
    )
    assert len(lines_of(observations, RATE, SIZE)) == 2
