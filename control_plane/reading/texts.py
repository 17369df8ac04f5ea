"""Texts that callers give with several kinds of requests: reasons, ids, printable lines. Pure."""

import re
from collections.abc import Iterator
from typing import Final

from shared.several_problems import require_none

MAX_REASON_CHARACTERS: Final = 1000
_ID_BEGINNING: Final = re.compile(r"[0-9a-f-]{1,36}", re.ASCII | re.IGNORECASE)


def parse_reason(text: str) -> str:
    """Return why something was done, for people."""
    return require_printable(text, MAX_REASON_CHARACTERS, may_be_empty=True)


def parse_comment(text: str) -> str:
    """Return what somebody has to say, which may not be nothing."""
    return require_printable(text, MAX_REASON_CHARACTERS)


def parse_id_beginning(text: str) -> str:
    """Return the beginning of an id, lower case."""
    if not _ID_BEGINNING.fullmatch(text):
        raise ValueError("expected an id or its beginning, such as 3f2a1b4c")
    return text.lower()


def require_printable(text: str, at_most: int, *, may_be_empty: bool = False) -> str:
    """Return the text; raise `ValueError` if it is not printable characters on one line."""
    require_none(unprintable(text, at_most, least=0 if may_be_empty else 1))
    return text


def unprintable(text: str, most: int, *, least: int) -> Iterator[str]:
    """Yield what is wrong with a text of printable characters on one line."""
    if not least <= len(text) <= most or not text.isprintable():
        yield f"expected {least} to {most} printable characters on one line"
