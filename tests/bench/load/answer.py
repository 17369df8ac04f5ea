"""The head of an answer, and whether an answer is right."""

import re

from attrs import frozen

MAX_HEAD_BYTES = 16 * 1024  # no server of the benchmark says that much
END_OF_HEAD = b"\r\n\r\n"

_STATUS = re.compile(rb"HTTP/1\.1 ([0-9]{3}) ")
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,19})[ \t]*\r", re.IGNORECASE)


class WrongAnswerError(Exception):
    """A server did not give the right bytes: there is nothing to measure."""


@frozen
class Head:
    """Status and length of an answer, and where its body begins."""

    status: int
    length: int
    size: int

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
                return cls(int(status[1]), int(length[1]), end + len(END_OF_HEAD))
        raise WrongAnswerError("an answer without a status or a length")

    def require(self, length: int) -> None:
        """Raise `WrongAnswerError` unless it is a 200 of this length."""
        if (self.status, self.length) != (200, length):
            raise WrongAnswerError(f"{self.status} of {self.length} bytes, expected 200, {length}")
