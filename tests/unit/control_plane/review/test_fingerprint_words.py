"""A fingerprint's words."""

import hashlib
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mnemonic import Mnemonic

from control_plane.review.fingerprint_words import FINGERPRINT_WORDS, fingerprint_words

DIGESTS = st.binary().map(lambda content: hashlib.sha256(content).digest())


@pytest.mark.parametrize(
    "first_half, words",  # BIP-39's own test vectors
    [
        ("00" * 16, "abandon " * 11 + "about"),
        ("7f" * 16, "legal winner thank year wave sausage worth useful legal winner thank yellow"),
        ("ff" * 16, "zoo " * 11 + "wrong"),
    ],
)
def test_words_are_those_of_bip_39(first_half: str, words: str) -> None:
    """So that any program that knows the list can make them."""
    assert fingerprint_words(f"sha256:{first_half}{'a5' * 16}") == tuple(words.split())


@given(DIGESTS)
def test_words_carry_the_first_128_bits(digest: bytes) -> None:
    """All of them, and no others: the hexadecimal has the rest."""
    words: Sequence[str] = fingerprint_words(f"sha256:{digest.hex()}")
    assert len(words) == FINGERPRINT_WORDS
    assert bytes(Mnemonic("english").to_entropy(list(words))) == digest[:16]
