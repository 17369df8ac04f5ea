"""What is kept in memory stays within its bytes, and is what was kept."""

import gc
import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from facade.content.hot_manifests import ENTRY_BYTES, hot_manifests
from shared.oci import Digest

CONTENTS = [bytes([number]) * (10 * number) for number in range(1, 9)]


def test_the_least_recently_used_goes_first() -> None:
    """A fleet's manifest stays, whatever a single device asks."""
    hot = hot_manifests(100 + 2 * ENTRY_BYTES)
    for content in (b"a" * 40, b"b" * 40):
        hot.set(Digest.of(content), content)
    assert hot.get(Digest.of(b"a" * 40)) == b"a" * 40
    hot.set(Digest.of(b"c" * 40), b"c" * 40)
    assert hot.get(Digest.of(b"b" * 40)) is None
    assert hot.get(Digest.of(b"a" * 40)) == b"a" * 40


def test_what_is_larger_than_all_of_it_is_not_kept() -> None:
    """And drives nothing out."""
    hot = hot_manifests(100 + ENTRY_BYTES)
    hot.set(Digest.of(b"b"), b"b")
    hot.set(Digest.of(b"a" * 101), b"a" * 101)
    assert hot.get(Digest.of(b"a" * 101)) is None
    assert hot.get(Digest.of(b"b")) == b"b"


@given(st.lists(st.tuples(st.booleans(), st.sampled_from(CONTENTS))))
def test_it_gives_what_was_kept_within_its_bytes(steps: list[tuple[bool, bytes]]) -> None:
    """In any order of asking and keeping."""
    hot = hot_manifests(100 + 3 * ENTRY_BYTES)
    for keeps, content in steps:
        if keeps:
            hot.set(Digest.of(content), content)
        assert hot.get(Digest.of(content)) in (content, None)
        held = [each for each in CONTENTS if hot.get(Digest.of(each)) is not None]
        assert sum(len(each) + ENTRY_BYTES for each in held) <= 100 + 3 * ENTRY_BYTES


def test_small_ones_are_held_to_what_they_take() -> None:
    """A registry may have any number of manifests of some bytes: they take what large ones take."""
    hot, contents = hot_manifests(100 * ENTRY_BYTES), [b"%d" % number for number in range(1000)]
    gc.collect()
    tracemalloc.start()
    try:
        for content in contents:
            hot.set(Digest.of(content), content)
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 90 <= sum(hot.get(Digest.of(content)) is not None for content in contents) <= 100
    assert taken <= 100 * ENTRY_BYTES
