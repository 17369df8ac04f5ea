"""A fingerprint as words that two people can compare by voice: BIP-39's English list. Pure.

The words carry the first 128 bits of the fingerprint; four bits of the last word are BIP-39's
checksum of the others. The hexadecimal has all 256 bits: an approval names that, and never words.

To change a draft and keep its words takes 2**128 tries. To make two drafts of the same words takes
2**64, of documents into which the control plane puts its own time and the digest of what it seals.
"""

from functools import cache
from typing import Final

from mnemonic import Mnemonic

CARRIED_BITS: Final = 128
FINGERPRINT_WORDS: Final = 12  # CARRIED_BITS and the checksum, eleven bits each


def fingerprint_words(fingerprint: str) -> tuple[str, ...]:
    """Return the words of `sha256:<64 hexadecimal digits>`."""
    digest = bytes.fromhex(fingerprint.removeprefix("sha256:"))
    return tuple(_english().to_mnemonic(digest[: CARRIED_BITS // 8]).split(" "))


@cache
def _english() -> Mnemonic:
    return Mnemonic("english")
