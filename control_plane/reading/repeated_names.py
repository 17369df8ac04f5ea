"""Names that come twice in one object of a JSON text. Pure.

Some readers take the first value of a name that comes twice, others the last (RFC 8259 section 4).
So what somebody reviewed on its way here might not be what is done.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final

MAX_SHOWN_NAME_CHARACTERS: Final = 64
MAX_POINTER_CHARACTERS: Final = 512  # of what is deeper, the outermost field is named

# Where a value is: the way to what it is in, and its name or index there. None: the whole.
_Way = tuple["_Way", str | int] | None


def repeated_names(text: bytes, *, at_most: int) -> list[str]:
    """Return pointers to the first names that their object has already.

    The text is JSON. Raises `RecursionError` if it is nested deeper than Python's own stack.
    """
    whole = json.loads(text, object_pairs_hook=_Pairs)
    return list(dict.fromkeys(map(_pointer_of, islice(_repetitions(whole), at_most))))


def pointer(name: str) -> str:
    """Return the RFC 6901 pointer of a field that may be named anything."""
    shown = name[:MAX_SHOWN_NAME_CHARACTERS]
    shown = "".join(letter if letter.isprintable() else "?" for letter in shown)
    return "/" + shown.replace("~", "~0").replace("/", "~1")


class _Pairs(list[tuple[str, object]]):
    """An object's names and values, as they came."""

    def repeated(self) -> list[str]:
        """Return each name that is there more than once, in the order of their first."""
        if len(dict(self)) == len(self):
            return []
        times = Counter(name for name, _ in self)
        return [name for name, count in times.items() if count > 1]


def _repetitions(whole: object) -> Iterator[_Way]:
    """Yield the way to each name that its object has already, once an object, outer ones first."""
    waiting: list[tuple[_Way, object]] = [(None, whole)]
    for at, value in waiting:  # it grows meanwhile
        parts: Iterable[tuple[str | int, object]] = ()
        if isinstance(value, _Pairs):
            parts = value
            yield from ((at, name) for name in value.repeated())
        elif isinstance(value, list):
            parts = enumerate(value)
        waiting.extend(((at, name), inner) for name, inner in parts if isinstance(inner, list))


def _pointer_of(way: _Way) -> str:
    """Return the pointer of what is there, or of the outermost field that it is deep in."""
    names = list[str]()
    while way is not None:
        way, name = way
        names.append(str(name))
    whole = "".join(map(pointer, reversed(names)))
    return whole if len(whole) <= MAX_POINTER_CHARACTERS else pointer(names[-1])
