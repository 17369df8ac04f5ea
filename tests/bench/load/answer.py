"""The head of an answer, and whether an answer is right."""

from attrs import frozen

MAX_HEAD_BYTES = 16 * 1024  # no server of the benchmark says that much
END_OF_HEAD = b"\r\n\r\n"


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
        status_line, *lines = bytes(received[:end]).split(b"\r\n")
        fields = dict(line.lower().split(b":", 1) for line in lines)
        length = fields.get(b"content-length", b"").strip()
        if not length.isdigit():
            raise WrongAnswerError(f"an answer without a length: {status_line.decode()}")
        return cls(int(status_line.split(b" ")[1]), int(length), end + len(END_OF_HEAD))

    def require(self, length: int) -> None:
        """Raise `WrongAnswerError` unless it is a 200 of this length."""
        if (self.status, self.length) != (200, length):
            raise WrongAnswerError(f"{self.status} of {self.length} bytes, expected 200, {length}")
