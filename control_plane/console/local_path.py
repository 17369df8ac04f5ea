"""The path that a browser is sent to after the sign-in: one of the console's pages alone. Pure."""

import re
from typing import Final

ROOT: Final = "/console/"
MAX_PATH_CHARACTERS: Final = 2000
_SEGMENT: Final = "[A-Za-z0-9_~@:,+-][A-Za-z0-9_.~@:,+-]*"  # neither empty nor of dots alone
_LOCAL: Final = re.compile(
    rf"/console/(?:{_SEGMENT}(?:/{_SEGMENT})*/?)?(?:\?[A-Za-z0-9_.~%@:,;+=&/-]*)?", re.ASCII
)


def local_path(text: str) -> str:
    """Return the text if it is a path of the console, else the console's first page.

    No other host can be in it: it has neither an empty segment nor a backslash.
    """
    if len(text) <= MAX_PATH_CHARACTERS and _LOCAL.fullmatch(text):
        return text
    return ROOT
