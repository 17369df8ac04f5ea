"""A piece of content: the unit of what is verified before it is sent. Pure."""

from typing import Final

from facade.errors import PullError

# The unit of everything that is verified before it is sent.
PIECE_BYTES: Final = 256 * 1024

Piece = bytes | bytearray | memoryview


class WrongBytesError(PullError):
    """What came is not what the digest and the length name."""


class MistoldLengthError(WrongBytesError):
    """The bytes do not have the length that another answer announced.

    They may be right all the same.
    """
