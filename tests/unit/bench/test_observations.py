"""Medians, ratios and verdicts of the benchmark."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.bench.figures import (
    DISTRIBUTION,
    FACADE,
    NGINX,
    NGINX_SLICE,
    Bar,
    Figure,
    Side,
    at_least,
    at_most,
)
from tests.bench.observations import Observations

SPENT = Figure("warm.cpu", "server CPU", "s", (at_most(1.0, NGINX), at_most(0.6, DISTRIBUTION)))
SIZE = Figure("memory.device", "each device", "KiB", (at_most(250.0),))

rounds = st.lists(st.floats(min_value=0.1, max_value=1e6), min_size=1, max_size=9)


def observed(figure: Figure, **servers: list[float]) -> Observations:
    """Return what was seen of one figure."""
    observations = Observations()
    for server, values in servers.items():
        for value in values:
            observations.add(figure.key, server, value)
    return observations


def test_one_disturbed_round_moves_no_median() -> None:
    """Others work on the machine meanwhile."""
    observations = observed(SPENT, facade=[0.5, 9.0, 0.6])
    assert observations.median(SPENT, FACADE) == 0.6


def test_a_ratio_is_taken_within_each_round() -> None:
    """What slows a whole round down changes no ratio of it; medians alone would say 1.0."""
    observations = observed(SPENT, facade=[1.0, 20.0, 3.0], nginx=[2.0, 40.0, 3.0])
    assert observations.ratio(SPENT, NGINX) == 0.5


@given(rounds, st.floats(min_value=0.1, max_value=10.0))
def test_a_constant_ratio_is_found_whatever_the_rounds_are(
    theirs: list[float], ratio: float
) -> None:
    """Noise that both share is none."""
    observations = observed(SPENT, facade=[value * ratio for value in theirs], nginx=theirs)
    assert observations.ratio(SPENT, NGINX) == pytest.approx(ratio)


def test_a_server_that_was_not_measured_has_no_figure() -> None:
    """One measure alone may be asked for."""
    observations = observed(SPENT, facade=[1.0])
    assert observations.median(SPENT, NGINX) is None
    assert observations.ratio(SPENT, NGINX) is None
    assert observations.verdicts(SPENT) == []


def test_a_rival_that_took_nothing_gives_no_ratio() -> None:
    """A clock of ten milliseconds may see nothing."""
    assert observed(SPENT, facade=[1.0], nginx=[0.0]).ratio(SPENT, NGINX) is None


def test_what_says_nothing_is_not_compared() -> None:
    """How busy the generators were beside each server is no merit of a server."""
    figure = Figure("warm.generator", "generators' CPU", "s", is_compared=False)
    assert observed(figure, facade=[1.0], nginx=[1.0]).ratio(figure, NGINX) is None


def test_each_bar_is_judged_by_itself() -> None:
    """One is met and the other missed."""
    observations = observed(SPENT, facade=[0.9], nginx=[1.0], distribution=[1.0])
    assert [(verdict.bar.rival, verdict.is_met) for verdict in observations.verdicts(SPENT)] == [
        (NGINX, True),
        (DISTRIBUTION, False),
    ]


@pytest.mark.parametrize(
    "ours, rival, is_met",
    [(2.9, NGINX, True), (3.1, None, True), (2.5, NGINX, True), (3.6, NGINX, False)],
)
def test_of_two_bars_one_is_enough_where_a_figure_says_so(
    ours: float,
    rival: str | None,
    is_met: bool,  # noqa: FBT001 - a parameter of the table above
) -> None:
    """Held against the one that is met, else against the first."""
    either = Figure("cold.cpu", "CPU", "s", (at_most(1.5, NGINX), at_most(3.5)), is_met_by_one=True)
    [verdict] = observed(either, facade=[ours], nginx=[2.0]).verdicts(either)
    assert (verdict.bar.rival, verdict.is_met) == (rival, is_met)


def test_a_bar_without_a_rival_judges_the_figure_itself() -> None:
    """A limit of so many KiB."""
    assert not observed(SIZE, facade=[251.0]).verdicts(SIZE)[0].is_met
    assert observed(SIZE, facade=[249.0], nginx=[500.0]).verdicts(SIZE)[0].is_met


@pytest.mark.parametrize(
    "bar, value, is_met",
    [
        (at_most(1.0), 1.0, True),
        (at_most(1.0), 1.004, True),
        (at_most(1.0), 1.006, False),
        (at_least(8.0), 8.0, True),
        (at_least(8.0), 7.996, True),
        (at_least(8.0), 7.99, False),
    ],
)
def test_a_limit_is_held_to_two_places(bar: Bar, value: float, is_met: bool) -> None:  # noqa: FBT001 - a parameter of the table above
    """As the table prints it, and no further."""
    assert bar.is_met_by(value) is is_met


def test_the_summary_keeps_every_round() -> None:
    """Whoever doubts a median can look."""
    summary = observed(SPENT, facade=[0.9, 1.1], nginx=[1.0, 1.0]).summary(SPENT)
    assert summary["rounds"] == {FACADE: [0.9, 1.1], NGINX: [1.0, 1.0]}
    assert summary["ratios"] == {NGINX: 1.0, DISTRIBUTION: None, NGINX_SLICE: None}
    assert summary["bars"] == [
        {"side": Side.AT_MOST.value, "limit": 1.0, "of": NGINX, "value": 1.0, "met": True}
    ]
