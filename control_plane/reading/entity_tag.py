"""Entity tags: what of a thing a caller saw, so that a change is made to that and to nothing newer.

A tag is made of the whole view, so whatever a caller could see is compared. RFC 9110 sections
8.8.3 and 13.1.1. Pure.
"""

import hashlib
import re
from collections.abc import Sequence
from typing import Final, Self

import orjson
from attrs import frozen

from control_plane.errors import PreconditionFailedError
from control_plane.reading.page import View
from shared.outside_bytes import Party, reads_bytes_of

TAG_HEX_DIGITS: Final = 32  # of SHA-256: 128 bits
MAX_TAGS: Final = 64  # in one If-Match; a header has 8 KiB at most
_TAG: Final = re.compile(r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"', re.ASCII)
_LIST: Final = re.compile(rf"[ \t]*{_TAG.pattern}(?:[ \t]*,[ \t]*{_TAG.pattern})*[ \t]*", re.ASCII)


def entity_tag(view: View) -> str:
    """Return the strong tag of a view, in its quotes."""
    told = orjson.dumps(view, option=orjson.OPT_SORT_KEYS)
    return f'"{hashlib.sha256(told).hexdigest()[:TAG_HEX_DIGITS]}"'


@frozen
class SeenTags:
    """The tags of `If-Match`. None: the thing may be as it likes, if only it is there (`*`)."""

    tags: frozenset[str] | None

    @classmethod
    @reads_bytes_of(Party.OPERATOR)
    def of_header(cls, values: Sequence[str]) -> Self | None:
        """Return what the header's lines say; None without any.

        What is no list of tags fits nothing, as a weak tag does: nothing is changed by mistake.
        """
        if not values:
            return None
        whole = ", ".join(values)
        if whole.strip(" \t") == "*":
            return cls(None)
        found = _TAG.findall(whole) if _LIST.fullmatch(whole) else []
        return cls(frozenset(found[:MAX_TAGS]))

    def require(self, view: View, words: str, named: View | None = None) -> None:
        """Raise `PreconditionFailedError`, which says in `words` what there is, unless it fits."""
        if self.tags is not None and entity_tag(view) not in self.tags:
            raise PreconditionFailedError(
                f"this is not what was seen: {words}; look at it, and repeat what still applies",
                named,
            )
