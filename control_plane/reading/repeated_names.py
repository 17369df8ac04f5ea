"""Names that come twice in one object of a JSON text. Pure.

Of a name that comes twice, readers take the first value or the last, as they like (RFC 8259 section
4): what somebody reviewed on the way here would not be what is done.
"""

import json
from collections.abc import Iterator
from typing import Final

MAX_SHOWN_NAME_CHARACTERS: Final = 64
MAX_POINTER_CHARACTERS: Final = 512  # of what is deeper, the outermost field is named
_DEEP: Final = "\n"  # behind the pointer of such a field; no pointer of ours has a line break


def repeated_names(text: bytes) -> list[str]:
    """Return a pointer to each name that its object has already.

    The text is JSON. Raises `RecursionError` if it is nested deeper than Python's own stack.
    """
    whole = json.loads(text, object_pairs_hook=_Pairs)
    return list(dict.fromkeys(_repetitions(whole)))


def pointer(name: str) -> str:
    """Return the RFC 6901 pointer of a field that may be named anything."""
    shown = name[:MAX_SHOWN_NAME_CHARACTERS]
    shown = "".join(letter if letter.isprintable() else "?" for letter in shown)
    return "/" + shown.replace("~", "~0").replace("/", "~1")


class _Pairs(list[tuple[str, object]]):
    """An object's names and values, as they came."""


def _repetitions(whole: object) -> Iterator[str]:
    """Yield the pointer of each name that its object has already, outer ones first."""
    waiting = [("", whole)]
    for at, value in waiting:  # it grows meanwhile
        names = set[str]()
        for name, inner in _parts(value):
            here = _within(at, name)
            if name in names:
                yield here.removesuffix(_DEEP)
            names.add(name)
            if isinstance(inner, list):  # `_Pairs` is one
                waiting.append((here, inner))


def _within(at: str, name: str) -> str:
    """Return the pointer of what is in there, or of the outermost field that it is deep in."""
    if at.endswith(_DEEP):
        return at
    here = f"{at}{pointer(name)}"
    return here if len(here) <= MAX_POINTER_CHARACTERS else f"/{here.split('/')[1]}{_DEEP}"


def _parts(value: object) -> list[tuple[str, object]]:
    if isinstance(value, _Pairs):
        return value
    items = value if isinstance(value, list) else []
    return [(str(index), item) for index, item in enumerate(items)]
