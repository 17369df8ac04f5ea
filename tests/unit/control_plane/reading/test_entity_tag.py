"""The tag of a view, and what `If-Match` says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.errors import PreconditionFailedError
from control_plane.reading.entity_tag import MAX_TAGS, SeenTags, entity_tag
from control_plane.reading.page import View

VIEW: View = {"id": "1", "fleets": ["a"], "draft": None}
TAG = entity_tag(VIEW)
PIECES = st.sampled_from(['"', ",", " ", "*", "W/", "\t", TAG, '"x"', "\\"]) | st.characters()


def fits(*values: str) -> bool:
    """Tell whether a header's lines fit the view."""
    seen = SeenTags.of_header(values)
    assert seen is not None
    try:
        seen.require(VIEW, "bob did")
    except PreconditionFailedError:
        return False
    return True


def test_a_tag_is_of_all_that_is_shown_whatever_its_order() -> None:
    """And of nothing else."""
    assert entity_tag(dict(reversed(VIEW.items()))) == TAG
    assert entity_tag(VIEW | {"draft": {}}) != TAG
    assert len(TAG) == 34


@pytest.mark.parametrize(
    "values, does",
    [
        ([TAG], True),
        (["*"], True),
        ([" * "], True),
        ([f'"x" ,\t{TAG}'], True),
        (['"x"', TAG], True),
        ([f"W/{TAG}"], False),
        ([TAG.strip('"')], False),
        ([f"{TAG} x"], False),
        ([f"*, {TAG}"], False),
        ([""], False),
        ([",".join(['"x"'] * MAX_TAGS + [TAG])], False),
    ],
)
def test_what_a_header_fits(values: list[str], *, does: bool) -> None:
    """RFC 9110: strong tags, in a list or on several lines, or anything that is there."""
    assert fits(*values) is does


def test_who_comes_late_is_told_what_was_done() -> None:
    """In the words of whoever knows."""
    with pytest.raises(PreconditionFailedError, match="bob did; look at it"):
        SeenTags(frozenset({TAG})).require(VIEW | {"draft": {}}, "bob did")


def test_without_a_header_nothing_is_asked() -> None:
    """It is never required."""
    assert SeenTags.of_header([]) is None


@given(st.lists(PIECES, max_size=20).map("".join))
def test_any_header_names_tags_or_fits_nothing(header: str) -> None:
    """Whatever stands in it: it fits the view only where the view's own tag, or `*`, stands."""
    if fits(header):
        assert TAG in header or header.strip(" \t") == "*"
