"""What an answer still wants of an arriving blob, and how far it may be sent. Pure.

A whole answer, and a range that names no end (`N-`), hold back their last piece until the blob is
proven. A range that names its end is sent as its bytes come, and is marked; if the operator forbids
that, it is sent in step with the progress of the whole, and holds back its last piece.
"""

from enum import Enum, auto
from typing import Final

from attrs import define, field

from facade.registries.spender import Spender, spender_now
from facade.values.byte_range import Span
from facade.values.piece import PIECE_BYTES

# How far ahead of its reader a range without an end is fetched: as much as it has read, within
# these bounds. A client may ask for `N-`, read 8 MiB and leave.
LEAST_AHEAD_BYTES: Final = 1024 * 1024
MOST_AHEAD_BYTES: Final = 8 * 1024 * 1024


class Ends(Enum):
    """When an answer may end."""

    WITH_THE_PROOF = auto()  # its last piece is held back
    WITH_ITS_BYTES = auto()
    IN_STEP = auto()  # with the proof; until then as much of it as has come of the whole


@define(eq=False)
class Want:
    """What one answer wants. Its reader moves `at`."""

    first: int
    end: int | None  # None: to the end of the blob, which nobody knows yet
    ends: Ends = Ends.WITH_THE_PROOF
    is_all: bool = True  # if not, nothing else of the blob is wanted
    is_open: bool = False  # nobody knows how much of it will be read
    at: int = field(init=False)  # bytes before it were read
    waits_since: int | None = field(default=None, kw_only=True)  # the lowest waits longest
    payer: Spender = field(factory=spender_now, init=False)  # of what is fetched for it

    def __attrs_post_init__(self) -> None:
        """Begin at the beginning."""
        self.at = self.first

    @classmethod
    def whole(cls, length: int | None) -> "Want":
        """Return what an answer wants that has the whole blob."""
        return cls(0, length)

    @classmethod
    def part(cls, span: Span, *, may_be_unverified: bool) -> "Want":
        """Return what a range wants.

        A blob that is not longer than a piece is always verified first.
        """
        if not may_be_unverified:
            return cls(span.first, span.end, Ends.IN_STEP)
        if span.length <= PIECE_BYTES:
            return cls(span.first, span.end)
        if span.is_open:
            return cls(span.first, span.end, is_all=False, is_open=True)
        return cls(span.first, span.end, Ends.WITH_ITS_BYTES, is_all=False)

    @property
    def is_proven_before_it_ends(self) -> bool:
        """Whether its first byte, or its last one, waits for the proof: it needs no mark."""
        if self.ends is Ends.WITH_ITS_BYTES:
            return False
        is_short = self.end is not None and self.end - self.first <= PIECE_BYTES
        return self.is_all or is_short

    @property
    def needs_all(self) -> bool:
        """Whether all of the blob has to come before more of it may be sent, or is wanted."""
        if self.is_all or self.end is None:
            return True
        return self.ends is not Ends.WITH_ITS_BYTES and self.at >= self.end - PIECE_BYTES

    @property
    def wanted_end(self) -> int | None:
        """The byte up to which it is fetched now."""
        if not self.is_open or self.end is None:
            return self.end
        ahead = min(max(self.at - self.first, LEAST_AHEAD_BYTES), MOST_AHEAD_BYTES)
        return min(self.end, self.at + ahead)

    def sendable(self, come_to: int, come: int, length: int | None) -> int:
        """Return the offset before which bytes may be sent while the blob is not proven.

        `come_to`: the end of what has come without a gap from `at` on. `come`: bytes of the whole
        that have come. `length`: of the whole, if it is known.
        """
        end = come_to if self.end is None else min(come_to, self.end)
        match self.ends:
            case Ends.WITH_ITS_BYTES:
                return end
            case Ends.WITH_THE_PROOF:
                return min(end, (come_to if self.end is None else self.end) - PIECE_BYTES)
            case Ends.IN_STEP:
                most = max(0, (self.end or 0) - self.first - PIECE_BYTES)
                return min(end, self.first + most * come // (length or 1))
