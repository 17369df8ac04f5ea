"""What is kept in memory stays within its bytes, and is what was kept."""

from hypothesis import given
from hypothesis import strategies as st

from facade.content.hot_manifests import HotManifests
from shared.oci import Digest

CONTENTS = [bytes([number]) * (10 * number) for number in range(1, 9)]


def test_the_least_recently_used_goes_first() -> None:
    """A fleet's manifest stays, whatever a single device asks."""
    hot = HotManifests(100)
    for content in (b"a" * 40, b"b" * 40):
        hot.keep(Digest.of(content), content)
    assert hot.get(Digest.of(b"a" * 40)) == b"a" * 40
    hot.keep(Digest.of(b"c" * 40), b"c" * 40)
    assert hot.get(Digest.of(b"b" * 40)) is None
    assert hot.get(Digest.of(b"a" * 40)) == b"a" * 40


def test_what_is_larger_than_all_of_it_is_not_kept() -> None:
    """And drives nothing out."""
    hot = HotManifests(100)
    hot.keep(Digest.of(b"b"), b"b")
    hot.keep(Digest.of(b"a" * 101), b"a" * 101)
    assert hot.get(Digest.of(b"a" * 101)) is None
    assert hot.get(Digest.of(b"b")) == b"b"


@given(st.lists(st.tuples(st.booleans(), st.sampled_from(CONTENTS))))
def test_it_gives_what_was_kept_within_its_bytes(steps: list[tuple[bool, bytes]]) -> None:
    """In any order of asking and keeping."""
    hot = HotManifests(100)
    for keeps, content in steps:
        if keeps:
            hot.keep(Digest.of(content), content)
        assert hot.get(Digest.of(content)) in (content, None)
        held = [each for each in CONTENTS if hot.get(Digest.of(each)) is not None]
        assert sum(map(len, held)) <= 100
