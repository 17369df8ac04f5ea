"""What a registry may say about a content, and what that makes of a pull: for the store's model."""

import random
from collections.abc import Callable, Mapping
from typing import Final

from attrs import evolve, frozen

from facade.values.piece import PIECE_BYTES
from shared.oci import Kind
from tests.faults.stored_world import Content
from tests.support.simulators.behaviour import (
    Answers,
    Behaviour,
    BreaksAt,
    Honest,
    InTurn,
    MoreBytes,
    NoLength,
    OtherBytes,
    Ranged,
)

_random = random.Random(4)  # noqa: S311 - any bytes will do


def _manifest(padding: int) -> bytes:
    return b'{"schemaVersion":2,"config":{},"layers":[],"padding":"%b"}' % (b"x" * padding)


CONTENTS: Final = {
    each.name: each
    for each in (
        Content("empty", Kind.BLOB, b""),
        Content("byte", Kind.BLOB, b"x"),
        Content("short", Kind.BLOB, _random.randbytes(PIECE_BYTES - 1)),
        Content("piece", Kind.BLOB, _random.randbytes(PIECE_BYTES), "sha512"),
        Content("more", Kind.BLOB, _random.randbytes(PIECE_BYTES + 1)),
        Content("large", Kind.BLOB, _random.randbytes(3 * PIECE_BYTES + 77)),
        Content("largest", Kind.BLOB, _random.randbytes(4 * PIECE_BYTES + 1)),
        Content("manifest", Kind.MANIFEST, _manifest(10)),
        Content("long manifest", Kind.MANIFEST, _manifest(2 * PIECE_BYTES)),
    )
}
LONG_BLOBS: Final = ("more", "large", "largest")


@frozen
class Entry:
    """What a registry does about a content in a repository."""

    get: Behaviour
    head: Behaviour | None = None  # as GET
    claims: bool = True  # HEAD says that it is there
    delivers: bool = True  # its GETs may end with the right bytes
    is_honest: bool = True  # a pull must end cleanly


def _wrong(get: Behaviour, head: Behaviour | None = None) -> Entry:
    return Entry(get, head, delivers=False, is_honest=False)


def _absent(status: int) -> Entry:
    return Entry(Answers(status), claims=False, delivers=False, is_honest=False)


def _other_beginning(content: bytes) -> Entry:
    return _wrong(Answers(200, body=bytes([content[0] ^ 1]) + content[1:]), Honest())


_SLOW: Final = Ranged(piece_bytes=PIECE_BYTES // 8, pause_seconds=0.001)
_ANY: Final[Mapping[str, Entry]] = {
    "honest": Entry(Honest()),
    "missing": _absent(404),
    "refused": _absent(403),
    "claimed": _wrong(Answers(404), Honest()),
    "longer": _wrong(MoreBytes(counted=True)),
}
_OF_BYTES: Final[Mapping[str, Callable[[bytes], Entry]]] = {
    "wrong end": lambda _: _wrong(OtherBytes()),
    "wrong beginning": _other_beginning,
}
_OF_BLOBS: Final[Mapping[str, Callable[[int], Entry]]] = {
    "breaks": lambda byte: Entry(BreaksAt(byte)),
    # So that it comes in several streams.
    "slow": lambda _: Entry(_SLOW),
    "slow, breaks": lambda byte: Entry(evolve(_SLOW, breaks_at=byte, times=2)),
    "slow, then knows no ranges": lambda _: Entry(InTurn((_SLOW, Ranged(refuses="all"), _SLOW))),
    "slow, with other validators": lambda _: Entry(evolve(_SLOW, etags=True)),
    "breaks, knows no ranges": lambda byte: Entry(BreaksAt(byte, ranges="ignored")),
    "breaks, then lies": lambda byte: Entry(
        BreaksAt(byte, ranges="other_beginning"), is_honest=False
    ),
    "of unknown length": lambda _: Entry(NoLength(head_length=False)),
    "of unknown length, breaks": lambda byte: Entry(
        Ranged(breaks_at=byte, names_length=False, names_total=False)
    ),
    "of unknown length, ends early": lambda byte: Entry(
        Ranged(breaks_at=byte, then="end", names_length=False, at_most=PIECE_BYTES)
    ),
    "tells another total of ranges": lambda byte: Entry(
        Ranged(total_off=1 + byte % 3), is_honest=False
    ),
    "HEAD lies": lambda byte: Entry(NoLength(), Answers(200, body=b"x" * (byte % 3))),
    "breaks, has closed ranges alone, in parts": lambda byte: Entry(
        Ranged(breaks_at=byte, refuses="open", at_most=PIECE_BYTES // 2, names_total=False)
    ),
}
ANSWERS: Final = (*["honest"] * 6, *_ANY, *_OF_BYTES, *_OF_BLOBS)


def entry_of(answer: str, content: Content, byte: int) -> Entry:
    """Return an entry; an honest one where a content is too simple for the answer."""
    length = len(content.content)
    if answer in _OF_BYTES and length:
        return _OF_BYTES[answer](content.content)
    if answer in _OF_BLOBS and length and content.kind is Kind.BLOB:
        return _OF_BLOBS[answer](byte % length)
    return _ANY.get(answer, _ANY["honest"])
