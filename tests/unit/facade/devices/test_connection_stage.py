"""What leads from one stage of a connection to the next, and that nothing else does."""

from itertools import product

import pytest

from facade.devices.connection_stage import Stage

# As it is drawn.
FOLLOWS = {
    (Stage.AWAITING, Stage.ANSWERING),
    (Stage.AWAITING, Stage.ENDED),
    (Stage.ANSWERING, Stage.AWAITING),
    (Stage.ANSWERING, Stage.LAST),
    (Stage.ANSWERING, Stage.ENDED),
    (Stage.LAST, Stage.ENDED),
    (Stage.ENDED, Stage.ENDED),
}


@pytest.mark.parametrize("before, after", sorted(FOLLOWS))
def test_what_is_drawn_follows(before: Stage, after: Stage) -> None:
    """Without a word."""
    before.require_next(after)


@pytest.mark.parametrize("before, after", sorted({*product(Stage, Stage)} - FOLLOWS))
def test_nothing_else_does(before: Stage, after: Stage) -> None:
    """A connection that answers two requests at once would mix their bytes."""
    with pytest.raises(RuntimeError, match=f"{after.name} does not follow {before.name}"):
        before.require_next(after)


def test_from_the_last_answer_on_nothing_is_read() -> None:
    """The stages are in this order, and a connection asks so."""
    assert {stage for stage in Stage if stage >= Stage.LAST} == {Stage.LAST, Stage.ENDED}
