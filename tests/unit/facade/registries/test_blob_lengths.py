"""What the bytes have shown of a length counts, whatever is told of it later."""

from facade.registries.blob_lengths import MAX_LENGTHS, BlobLengths
from shared.oci import Digest

DIGEST = Digest.of(b"content")


def test_of_what_nothing_is_known_any_length_but_none_may_be() -> None:
    """Only the digest of nothing is 0 bytes long."""
    lengths = BlobLengths()
    assert lengths.proven(DIGEST) is None
    assert not lengths.was_mistold(DIGEST)
    assert [lengths.may_be(DIGEST, told) for told in (0, 1, 2**60)] == [False, True, True]
    assert [lengths.may_be(Digest.of(b""), told) for told in (0, 1)] == [True, False]


def test_a_proven_length_is_the_only_one() -> None:
    """Nothing that is told later changes it."""
    lengths = BlobLengths()
    lengths.distrust(DIGEST, 3)
    lengths.prove(DIGEST, 7)
    lengths.distrust(DIGEST, 9)
    assert lengths.proven(DIGEST) == 7
    assert not lengths.was_mistold(DIGEST)
    assert [lengths.may_be(DIGEST, told) for told in (6, 7, 8)] == [False, True, False]


def test_a_length_below_what_was_seen_cannot_be() -> None:
    """However few bytes came the next time."""
    lengths = BlobLengths()
    lengths.distrust(DIGEST, 7)
    lengths.distrust(DIGEST, 3)
    assert lengths.was_mistold(DIGEST)
    assert lengths.proven(DIGEST) is None
    assert [lengths.may_be(DIGEST, told) for told in (6, 7, 8)] == [False, True, True]


def test_memory_is_bounded() -> None:
    """A registry that never tells a length fills nothing."""
    lengths = BlobLengths()
    for number in range(MAX_LENGTHS + 1):
        lengths.prove(Digest.of(b"%d" % number), number)
    assert lengths.count == MAX_LENGTHS
