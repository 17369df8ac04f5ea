"""Coverage against a set of bytes."""

from hypothesis import given
from hypothesis import strategies as st

from facade.values.coverage import Coverage

LENGTH = 40
offsets = st.integers(0, LENGTH)


@given(added=st.lists(st.tuples(offsets, offsets)), at=offsets, end=offsets)
def test_spans_are_the_bytes_that_were_added(
    added: list[tuple[int, int]], at: int, end: int
) -> None:
    """In order, apart from one another, and counted."""
    spans, model = Coverage(), set[int]()
    for first, last in added:
        before = spans.count
        spans.add(first, last)
        model |= set(range(first, last))
        assert spans.count >= before
    assert {byte for first, last in spans for byte in range(first, last)} == model
    assert spans.count == len(model)
    flat = [offset for span in spans for offset in span]
    assert flat == sorted(set(flat))
    run_end = at
    while run_end in model:
        run_end += 1
    assert spans.run_end(at) == run_end
    gaps = {byte for first, last in spans.gaps(at, end) for byte in range(first, last)}
    assert gaps == set(range(at, end)) - model
    later = [first for first, _ in spans if first > at]
    assert spans.next_first(at, LENGTH + 1) == min(later, default=LENGTH + 1)
