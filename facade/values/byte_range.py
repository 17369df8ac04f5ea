"""The byte ranges of one request, and the spans of a blob that answer them. Pure.

RFC 9110 section 14:

- Each satisfiable range is a span of its own, in the order asked. Nothing is coalesced: clients
  that ask for several ranges count the parts of the answer.
- Other units and malformed headers are ignored: the answer is then the whole blob.
- Ranges that overlap, or many small ones in descending order, are ignored in the same way. They
  would cost more than the whole blob, and no client needs them.
"""

import re
from array import array
from collections.abc import Iterator
from itertools import pairwise
from typing import Final, Self

from attrs import frozen

from facade.errors import PullError
from shared.outside_bytes import Party, reads_bytes_of

MAX_RANGES: Final = 1024  # containers/storage asks for so many chunks at most in one request
MAX_ELEMENTS: Final = 2 * MAX_RANGES  # of the list, with empty ones (RFC 9110 section 5.6.1.2)
# RFC 9110 section 14.2: "more than two overlapping ranges". They could ask for a blob many times.
MAX_OVERLAPPING: Final = 2
# "Many small ranges that are not listed in ascending order": Apache's MaxRangeReversals, and a
# length for which the store reads as much as for one byte.
MAX_SMALL_DESCENTS: Final = 20
SMALL_BYTES: Final = 32 * 1024

_RANGE_SPEC: Final = re.compile(r"[ \t]*([0-9]{0,18})-([0-9]{0,18})[ \t]*", re.ASCII)
_U64: Final = "Q"


class UnsatisfiableRangeError(PullError):
    """Each range begins behind the end of a blob of so many bytes: 416."""

    def __init__(self, length: int) -> None:
        """Keep the blob's length."""
        super().__init__("range behind the end")
        self.length = length


class TooManyRangesError(PullError):
    """There are more ranges than are served in one request: 400, so that fewer are asked for."""

    def __init__(self) -> None:
        """Say how many may be."""
        super().__init__(f"more than {MAX_RANGES} ranges in one request")


@frozen
class ByteRanges:
    """What a `Range` header asks for, before the blob's length is known: one range or more."""

    # `first-`, `first-last` or `-suffix_length`: None stands for what is left out.
    asked: tuple[tuple[int | None, int | None], ...]

    @classmethod
    @reads_bytes_of(Party.DEVICE)
    def parse(cls, header: str) -> Self | None:
        """Return the ranges of a `Range` header; None if the header is ignored.

        Raises `TooManyRangesError`, before any of them is looked at.
        """
        unit, _, range_set = header.partition("=")
        if unit.lower() != "bytes":
            return None
        if range_set.count(",") >= MAX_ELEMENTS:
            raise TooManyRangesError
        range_specs = [each for each in range_set.split(",") if each.strip(" \t")]
        if len(range_specs) > MAX_RANGES:
            raise TooManyRangesError
        asked = tuple(pair for each in range_specs if (pair := _parsed(each)) is not None)
        return cls(asked) if asked and len(asked) == len(range_specs) else None

    @property
    def beginning(self) -> "ByteRanges":
        """What is answered first of it."""
        return ByteRanges(self.asked[:1])

    def spans(self, length: int) -> "Spans":
        """Return the satisfiable ones of a blob of this length; raise `UnsatisfiableRangeError`."""
        firsts, counts, open_ = array(_U64), array(_U64), set[int]()
        for first, last in self.asked:
            if first is None:
                begin, end = max(0, length - (last or 0)), length
            else:
                begin, end = first, length if last is None else min(last + 1, length)
            if begin < end:
                if first is not None and last is None:
                    open_.add(len(firsts))
                firsts.append(begin)
                counts.append(end - begin)
        if not firsts:
            raise UnsatisfiableRangeError(length)
        return Spans(length, firsts, counts, frozenset(open_))


def _parsed(range_spec: str) -> tuple[int | None, int | None] | None:
    match = _RANGE_SPEC.fullmatch(range_spec)
    if match is None:
        return None
    first, last = match.groups()
    if not first:
        return (None, int(last)) if last else None
    if not last:
        return int(first), None
    return (int(first), int(last)) if int(first) <= int(last) else None


@frozen
class Span:
    """`count` bytes of a blob, from the byte `first` on."""

    first: int
    count: int
    length: int  # of the whole blob
    is_open: bool = False  # `first-`: nobody said how much of it is wanted

    @classmethod
    def whole(cls, length: int) -> "Span":
        """Return all of a blob."""
        return cls(0, length, length)

    @property
    def end(self) -> int:
        """The offset behind the last byte."""
        return self.first + self.count

    @property
    def content_range(self) -> str:
        """The value of `Content-Range`."""
        return f"bytes {self.first}-{self.end - 1}/{self.length}"


@frozen
class Spans:
    """Spans of one blob, in the order in which they were asked for: 16 bytes each."""

    length: int  # of the whole blob
    _firsts: "array[int]"
    _counts: "array[int]"
    _open: frozenset[int]  # the places of those that name no end

    def __len__(self) -> int:
        """How many there are."""
        return len(self._firsts)

    def __iter__(self) -> Iterator[Span]:
        """Give each of them."""
        for place in range(len(self)):
            yield self._at(place)

    def some(self, place: int, count: int) -> list[Span]:
        """Return so many of them from a place on, or fewer at the end."""
        return [self._at(each) for each in range(place, min(place + count, len(self)))]

    def _at(self, place: int) -> Span:
        return Span(self._firsts[place], self._counts[place], self.length, place in self._open)

    def numbers(self) -> Iterator[tuple[int, int]]:
        """Give the first byte and the count of each."""
        return zip(self._firsts, self._counts, strict=True)

    @property
    def is_wasteful(self) -> bool:
        """Whether they are to be ignored, because they overlap, or are small and descend."""
        if len(self) == 1:
            return False
        return self._overlapping() > MAX_OVERLAPPING or self._small_descents() > MAX_SMALL_DESCENTS

    def _overlapping(self) -> int:
        """Return how many of the spans have a byte in common with another one."""
        by_first = sorted(self.numbers())
        next_firsts = [first for first, _ in by_first[1:]] + [self.length]
        count, reached = 0, 0
        for (first, length), next_first in zip(by_first, next_firsts, strict=True):
            end = first + length
            if first < reached or next_first < end:
                count += 1
            reached = max(reached, end)
        return count

    def _small_descents(self) -> int:
        """Return how many small spans begin before the one that was asked for ahead of them."""
        return sum(
            first < first_before and count < SMALL_BYTES
            for (first_before, _), (first, count) in pairwise(self.numbers())
        )
