"""A request's head that came alone: it is looked up by its bytes, and perhaps never parsed."""

from typing import Final

MAX_LONE_HEAD_BYTES: Final = 2048  # containerd's for a manifest has some 700
_END_OF_HEAD: Final = b"\r\n\r\n"


def is_lone_head(data: bytes) -> bool:
    """Tell whether the bytes are one head, and nothing after it."""
    end = len(data) - len(_END_OF_HEAD)
    return len(data) <= MAX_LONE_HEAD_BYTES and data.find(_END_OF_HEAD) == end >= 0
