"""Ids as a list shows them: as short as possible without being mistaken for another. Pure."""

from collections.abc import Collection
from typing import Final

LEAST_ID_CHARACTERS: Final = 8  # as git does it: a new id hardly makes one ambiguous


def short_ids(ids: Collection[str], least: int = LEAST_ID_CHARACTERS) -> dict[str, str]:
    """Return each id's shortest unique beginning, of at least so many characters."""
    ordered = sorted(ids)
    neighbours = zip(["", *ordered], ordered, [*ordered[1:], ""], strict=False)
    return {
        each: each[: _own_length(each, before, after, least)] for before, each, after in neighbours
    }


def _own_length(each: str, before: str, after: str, least: int) -> int:
    shared = max(_shared_beginning(each, other) for other in (before, after))
    length = max(shared + 1, least)
    return length + 1 if each[length - 1 : length] == "-" else length


def _shared_beginning(one: str, other: str) -> int:
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(one), len(other)))
