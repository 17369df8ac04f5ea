"""The head of an answer, and whether an answer is right."""

import re

from attrs import frozen

MAX_HEAD_BYTES = 16 * 1024  # no server of the benchmark says that much
END_OF_HEAD = b"\r\n\r\n"

_STATUS = re.compile(rb"HTTP/1\.1 ([0-9]{3}) ")
_RANGE = re.compile(rb"\r\ncontent-range:[ \t]*([^\r]*?)[ \t]*\r", re.IGNORECASE)
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,19})[ \t]*\r", re.IGNORECASE)


class WrongAnswerError(Exception):
    """A server did not give the right bytes: there is nothing to measure."""


@frozen
class Head:
    """Status and length of an answer, and where its body begins."""

    status: int
    length: int
    size: int
    content_range: bytes | None = None

    @classmethod
    def parse(cls, received: bytes | bytearray) -> "Head | None":
        """Return the head; None while it is not whole. Raises `WrongAnswerError`."""
        end = received.find(END_OF_HEAD)
        if end < 0:
            if len(received) > MAX_HEAD_BYTES:
                raise WrongAnswerError("the head of an answer has no end")
            return None
        found = _STATUS.match(received, 0, end), _LENGTH.search(received, 0, end + 1)
        match found:
            case (re.Match() as status, re.Match() as length):
                named = _RANGE.search(received, 0, end + 1)
                return cls(
                    int(status[1]),
                    int(length[1]),
                    end + len(END_OF_HEAD),
                    named and bytes(named[1]),
                )
        raise WrongAnswerError("an answer without a status or a length")

    def require(self, length: int) -> None:
        """Raise `WrongAnswerError` unless it is a 200 of this length."""
        if (self.status, self.length) != (200, length):
            raise WrongAnswerError(f"{self.status} of {self.length} bytes, expected 200, {length}")

    def require_range(self, first: int, last: int, total: int) -> None:
        """Raise `WrongAnswerError` unless it is a 206 of these bytes, the last one included."""
        expected = f"bytes {first}-{last}/{total}".encode()
        if (self.status, self.length, self.content_range) != (206, last - first + 1, expected):
            raise WrongAnswerError(
                f"{self.status} of {self.length} bytes, expected 206, {expected!r}"
            )
