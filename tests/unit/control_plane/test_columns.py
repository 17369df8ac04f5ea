"""Lines of a list, and ids that are short."""

import uuid

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from control_plane.commands.columns import Column, lines, one_line
from control_plane.commands.connection_text import GONE, NEW, difference
from control_plane.commands.short_ids import LEAST_ID_CHARACTERS, short_ids

COLUMNS = (Column("ID"), Column("REGISTRY", least=10), Column("AS", least=4))
ROWS = st.lists(
    st.tuples(st.text("0123456789abcdef", min_size=8, max_size=8), st.text(), st.none() | st.text())
)


@given(ROWS, st.none() | st.integers(28, 120))
def test_every_row_is_one_line(rows: list[tuple[str, str, str | None]], width: int | None) -> None:
    """Whatever is in it; bounded where there is a width, whole where there is none."""
    header, *printed = lines(COLUMNS, rows, width)
    assert header.split() == ["ID", "REGISTRY", "AS"]
    assert len(printed) == len(rows)
    for line, (identity, registry, name) in zip(printed, rows, strict=True):
        assert line.isprintable()
        assert line.startswith(identity)
        if width is None:
            assert line.endswith(one_line(name or "") or "-")
            assert one_line(registry) in line
        else:
            assert cell_len(line) <= max(width, 28)


@given(
    st.sets(st.uuids(), max_size=60)
    | st.sets(st.integers(0, 2**12).map(lambda n: uuid.UUID(int=n)))
)
def test_a_short_id_is_its_own_and_no_longer_than_needed(ids: set[uuid.UUID]) -> None:
    """No other id begins so; one character less would be too short, or would not do."""
    texts = [str(each) for each in ids]
    shorts = short_ids(texts)
    assert [*shorts] == sorted(texts)
    for text, short in shorts.items():
        assert [each for each in texts if each.startswith(short)] == [text]
        assert not short.endswith("-")
        shorter = short[:-1].removesuffix("-")
        assert len(short) == LEAST_ID_CHARACTERS or any(
            each.startswith(shorter) for each in texts if each != text
        )


@given(st.lists(st.sampled_from("abcd")), st.lists(st.sampled_from("abcd")))
def test_a_difference_leads_from_one_to_the_other(before: list[str], after: list[str]) -> None:
    """What is kept and what goes is what serves; what is kept and what comes is the draft."""
    marked = [*difference(before, after)]
    assert [value for mark, value in marked if mark != NEW] == before
    assert [value for mark, value in marked if mark != GONE] == after
