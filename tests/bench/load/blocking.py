"""One answer at a time from a blocking connection, as cheaply as Python reads it."""

import hashlib
import socket

from tests.bench.load.answer import Head, WrongAnswerError
from tests.bench.load.jobs import Asked

BUFFER_BYTES = 256 * 1024


class Answers:
    """Reads answers of known length; the buffer is used again for each."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self._buffer = bytearray(BUFFER_BYTES)
        self._view = memoryview(self._buffer)

    def take(self, asked: Asked, *, is_hashed: bool = False) -> None:
        """Read a whole answer. Raises `WrongAnswerError`."""
        self.take_rest(asked, self.take_head(asked), is_hashed=is_hashed)

    def take_head(self, asked: Asked) -> memoryview:
        """Read up to the first bytes of the body, and return those."""
        received = 0
        while True:
            received += self._receive(received)
            head = Head.parse(self._buffer[:received])
            if head is not None and (received > head.size or not asked.length):
                head.require(asked.length)
                return self._view[head.size : received]

    def take_rest(self, asked: Asked, first: memoryview, *, is_hashed: bool = False) -> None:
        """Read what follows the first bytes of a body."""
        hasher = hashlib.sha256(first) if is_hashed else None
        missing = asked.length - len(first)
        while missing > 0:
            count = self._receive(0)
            missing -= count
            if hasher is not None:
                hasher.update(self._view[:count])
        if missing:
            raise WrongAnswerError("more bytes came than were announced")
        if hasher is not None and hasher.hexdigest() != asked.sha256:
            raise WrongAnswerError("other bytes came")

    def _receive(self, at: int) -> int:
        count = self.connection.recv_into(self._view[at:])
        if not count:
            raise WrongAnswerError("the connection was closed in the middle of an answer")
        return count
