"""Any kernel's list of congestion controls gives a choice, and the best of what it allows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.bench.congestion_control import UNKNOWN, best_first

names = st.sampled_from(["cubic", "reno", "bbr", "bbr3", "vegas", "dctcp", "htcp"])
contents = st.none() | st.lists(names).map(" ".join).map("{}\n".format)


@pytest.mark.parametrize(
    "present, available, allowed, expected",
    [
        pytest.param("cubic", "reno cubic", "reno cubic", ["cubic", "reno"], id="as delivered"),
        pytest.param("bbr", "reno bbr cubic", "reno bbr", ["reno", "bbr"], id="cubic not allowed"),
        pytest.param("reno", "reno", "reno", ["reno"], id="only reno"),
        pytest.param("bbr", "bbr", "bbr", ["bbr"], id="only bbr"),
        pytest.param(
            "bbr",
            "reno bbr cubic vegas",
            "reno bbr cubic vegas",
            ["cubic", "reno", "vegas", "bbr"],
            id="all",
        ),
        pytest.param("cubic", "reno cubic", "reno", ["cubic", "reno"], id="begins with cubic"),
        pytest.param("bbr", "reno bbr cubic", "", ["bbr"], id="none allowed"),
        pytest.param("bbr", "", "", ["bbr"], id="empty files"),
        pytest.param("bbr", "reno bbr cubic", None, ["cubic", "reno", "bbr"], id="no allowed"),
        pytest.param("bbr", None, "reno bbr", ["reno", "bbr"], id="no available"),
        pytest.param("bbr", None, None, ["bbr"], id="no files"),
        pytest.param(UNKNOWN, None, None, [UNKNOWN], id="nothing known"),
        pytest.param(UNKNOWN, "bbr", "bbr", ["bbr", UNKNOWN], id="kernel does not say which"),
        pytest.param("bbr", "bbr reno", "gone reno", ["reno", "bbr"], id="a module was removed"),
        pytest.param("bbr2", "bbr bbr2 bbr3", "bbr bbr3", ["bbr2", "bbr", "bbr3"], id="pacing"),
    ],
)
def test_the_best_that_can_be_had_comes_first(
    present: str, available: str | None, allowed: str | None, expected: list[str]
) -> None:
    """Cubic, then reno, then what else does not pace, then BBR."""
    assert best_first(present, available, allowed, None) == expected


def test_what_was_asked_for_comes_first_if_it_can_be_had() -> None:
    """Otherwise the choice is as if nothing was asked for."""
    assert best_first("bbr", "reno bbr cubic", "reno bbr", "bbr") == ["bbr", "reno"]
    assert best_first("bbr", "reno bbr cubic", "reno bbr", "cubic") == ["reno", "bbr"]
    assert best_first("bbr", "reno bbr cubic", "reno bbr", "no-such") == ["reno", "bbr"]


@given(names, contents, contents, st.none() | names)
def test_there_is_always_a_choice_and_nothing_is_tried_that_is_not_allowed(
    present: str, available: str | None, allowed: str | None, asked: str | None
) -> None:
    """Whatever the kernel's files hold."""
    choice = best_first(present, available, allowed, asked)
    assert present in choice
    assert len(choice) == len(set(choice))
    for content in (available, allowed):
        assert content is None or {*choice} <= {present, *content.split()}
