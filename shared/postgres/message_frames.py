"""Where PostgreSQL's messages begin and end in what a server sends. Pure.

A message is a byte that says its kind, four that say how long it is, themselves included, and its
content (PostgreSQL's documentation, "Message Formats"). asyncpg goes back in its buffer for one of
less than four, and never ends.
"""

from typing import Final

from attrs import define, field

from shared.outside_bytes import Party, reads_bytes_of
from shared.safe_message import SafeMessage

_LENGTH_BYTES: Final = 4
_HEAD_BYTES: Final = 1 + _LENGTH_BYTES


class NoMessageError(SafeMessage, ConnectionError):
    """What a server sends is no message, or a longer one than there may be; the text says which."""


@define
class MessageFrames:
    """Follows one server's messages."""

    _left: int = field(default=0, init=False)  # bytes of the message that has begun
    _head: bytes = field(default=b"", init=False)  # of the next one, while it is not whole

    @reads_bytes_of(Party.DATABASE)
    def follow(self, piece: bytes, most_bytes: int) -> None:
        """Follow what came next; raise `NoMessageError` if it is not to be read."""
        at = min(self._left, len(piece))
        self._left -= at
        if self._head:
            piece, at, self._head = self._head + piece, 0, b""
        end = len(piece) - _HEAD_BYTES
        while at <= end:
            length = int.from_bytes(piece[at + 1 : at + _HEAD_BYTES], signed=True)
            if length < _LENGTH_BYTES:
                raise NoMessageError("the server does not speak PostgreSQL's protocol")
            if length > most_bytes:
                raise NoMessageError("the server announces more than was asked for")
            at += 1 + length
        if at > len(piece):
            self._left = at - len(piece)
        else:
            self._head = piece[at:]
