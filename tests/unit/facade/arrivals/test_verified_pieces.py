"""The rule of bytes, for any chunking and any lie."""

import hashlib
import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facade.arrivals.verified_pieces import PieceVerifier
from facade.values.piece import PIECE_BYTES, WrongBytesError
from shared.oci import Digest

SIZES = st.one_of(
    st.integers(0, 3 * PIECE_BYTES),
    st.sampled_from([0, 1, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 2 * PIECE_BYTES]),
)
CONTENTS = st.builds(
    lambda size, seed: random.Random(seed).randbytes(size),  # noqa: S311 - any bytes will do
    SIZES,
    st.integers(0, 2**32),
)
# Where a content is cut into chunks, as fractions; twice the same one makes an empty chunk.
CUTS = st.lists(st.floats(0, 1), max_size=12)


def chunks_of(content: bytes, cuts: list[float]) -> list[bytes]:
    """Return the content cut at these fractions of its length."""
    borders = sorted([0, len(content), *(int(cut * len(content)) for cut in cuts)])
    return [content[start:end] for start, end in pairwise(borders)]


@given(content=CONTENTS, cuts=CUTS)
def test_right_bytes_come_out_whole_and_in_order(content: bytes, cuts: list[float]) -> None:
    """However they arrive, and the last piece only with the end."""
    verifier = PieceVerifier(Digest.of(content), len(content))
    released = bytearray()
    for chunk in chunks_of(content, cuts):
        released += b"".join(verifier.take(chunk))
        assert len(released) <= max(0, verifier.taken - PIECE_BYTES)
        held = verifier.taken - len(released)
        assert held < PIECE_BYTES + max(map(len, chunks_of(content, cuts)), default=0) + 1
    assert bytes(released) + verifier.finish() == content


@given(content=CONTENTS.filter(len), cuts=CUTS, at=st.floats(0, 1, exclude_max=True))
def test_one_other_byte_never_ends_cleanly(content: bytes, cuts: list[float], at: float) -> None:
    """Wherever it is, and then the last piece was not released."""
    wrong = bytearray(content)
    wrong[int(at * len(wrong))] ^= 0x40
    verifier = PieceVerifier(Digest.of(content), len(content))
    released = sum(
        len(piece) for chunk in chunks_of(bytes(wrong), cuts) for piece in verifier.take(chunk)
    )
    with pytest.raises(WrongBytesError):
        verifier.finish()
    assert released <= max(0, len(content) - PIECE_BYTES)


@given(content=CONTENTS.filter(len), cuts=CUTS, kept=st.floats(0, 1, exclude_max=True))
def test_fewer_bytes_never_end_cleanly(content: bytes, cuts: list[float], kept: float) -> None:
    """Not even where the digest would be that of the fewer bytes."""
    fewer = content[: int(kept * len(content))]
    for digest in (Digest.of(content), Digest.of(fewer)):
        verifier = PieceVerifier(digest, len(content))
        for chunk in chunks_of(fewer, cuts):
            verifier.take(chunk)
        with pytest.raises(WrongBytesError):
            verifier.finish()


@given(content=CONTENTS, cuts=CUTS, surplus=st.binary(min_size=1, max_size=64))
def test_more_bytes_raise_when_they_come(content: bytes, cuts: list[float], surplus: bytes) -> None:
    """And none of them is released."""
    verifier = PieceVerifier(Digest.of(content), len(content))
    released = bytearray()

    def take_all() -> None:
        for chunk in chunks_of(content + surplus, cuts):
            released.extend(b"".join(verifier.take(chunk)))

    with pytest.raises(WrongBytesError):
        take_all()
    assert content.startswith(released)
    with pytest.raises(WrongBytesError):
        verifier.finish()


@given(content=CONTENTS, cuts=CUTS)
def test_the_prefix_hash_tells_beginnings_apart(content: bytes, cuts: list[float]) -> None:
    """It is the plain hash of what was taken, and reading it ends nothing."""
    verifier = PieceVerifier(Digest.of(content), len(content))
    for chunk in chunks_of(content, cuts):
        verifier.take(chunk)
        expected = hashlib.sha256(content[: verifier.taken]).hexdigest()
        assert verifier.prefix_hash() == expected
    verifier.finish()


def test_sha512_is_verified_too() -> None:
    """A digest names its algorithm."""
    content = b"x" * (PIECE_BYTES + 1)
    digest = Digest("sha512", hashlib.sha512(content).hexdigest())
    verifier = PieceVerifier(digest, len(content))
    verifier.take(content)
    assert verifier.finish() == content
    liar = PieceVerifier(digest, len(content))
    liar.take(content[:-1] + b"y")
    with pytest.raises(WrongBytesError):
        liar.finish()


@pytest.mark.parametrize("size", [1, PIECE_BYTES - 1, PIECE_BYTES])
def test_what_fits_one_piece_is_never_released_before_the_end(size: int) -> None:
    """So that a wrong one can be answered 502, before the header of a 200."""
    content = bytes(size)
    verifier = PieceVerifier(Digest.of(content), size)
    assert [verifier.take(content[at : at + 1000]) for at in range(0, size, 1000)] == [
        [] for _ in range(0, size, 1000)
    ]
