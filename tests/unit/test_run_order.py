"""What takes long begins first, and no test is without a place."""

from pathlib import Path

import pytest

from tests.conftest import pytest_collection_modifyitems
from tests.support.run_order import LONGEST_FIRST, place

TESTS = Path(__file__).parents[1]


def test_long_tests_begin_before_short_ones() -> None:
    """In whatever order they were collected."""
    collected = [
        "tests/adversary/test_readers.py::test_a",
        "tests/faults/disk_errors/test_pulls.py::test_b[1]",
        "tests/growth/test_control_plane.py::test_c",
        "tests/system/facade/test_store.py::test_d",
        "tests/system/test_make_run.py::test_e",
        "tests/unit/shared/test_oci.py::test_f",
        "tests/unit/test_pages.py::test_g",
    ]
    ran = [each.rpartition("_")[2] for each in sorted(collected, key=place)]
    assert ran == ["e", "b[1]", "c", "a", "d", "f", "g"]


@pytest.mark.parametrize("group", [each for each in LONGEST_FIRST if each])
def test_each_group_is_of_tests_that_there_are(group: str) -> None:
    """A folder that was renamed would run last."""
    folder, _, beginning = group.removeprefix("tests/").rpartition("/")
    assert list((TESTS / folder).rglob(f"{beginning}*.py"))


def test_what_pytest_has_collected_is_put_in_this_order(request: pytest.FixtureRequest) -> None:
    """Whatever order it had."""
    items = [*request.session.items[::-1]]
    pytest_collection_modifyitems(items)
    places = [place(item.nodeid) for item in items]
    assert places == sorted(places)
    assert {*items} == {*request.session.items}
