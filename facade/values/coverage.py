"""Which bytes of a blob there are: spans that neither touch nor overlap, in order. Pure."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator

from attrs import define, field


@define
class Coverage:
    """Bytes from a first one to the one before an end, as many such spans as it takes."""

    _firsts: list[int] = field(factory=list, init=False)
    _ends: list[int] = field(factory=list, init=False)
    count: int = field(default=0, init=False)  # bytes

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Yield the first byte and the end of each."""
        return iter(list(zip(self._firsts, self._ends, strict=True)))

    def add(self, first: int, end: int) -> None:
        """Add the bytes of a span; some may be there already."""
        if first >= end:
            return
        low, high = bisect_left(self._ends, first), bisect_right(self._firsts, end)
        if low < high:
            first, end = min(first, self._firsts[low]), max(end, self._ends[high - 1])
        merged = zip(self._firsts[low:high], self._ends[low:high], strict=True)
        self.count += end - first - sum(last - begin for begin, last in merged)
        self._firsts[low:high], self._ends[low:high] = [first], [end]

    def run_end(self, offset: int) -> int:
        """Return the end of the bytes that are there from an offset on; the offset if it is not."""
        place = bisect_right(self._firsts, offset) - 1
        return max(offset, self._ends[place]) if place >= 0 else offset

    def next_first(self, offset: int, otherwise: int) -> int:
        """Return where the next bytes behind an offset begin that are there; `otherwise`: none."""
        place = bisect_right(self._firsts, offset)
        return self._firsts[place] if place < len(self._firsts) else otherwise

    def gaps(self, first: int, end: int) -> Iterator[tuple[int, int]]:
        """Yield what is not there between two offsets."""
        while (first := self.run_end(first)) < end:
            gap_end = min(end, self.next_first(first, end))
            yield first, gap_end
            first = gap_end
