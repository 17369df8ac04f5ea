"""Many devices that pull the same blob at once, in one thread."""

import hashlib
import select
import time
from collections.abc import Callable

from attrs import define, field

from tests.bench.load.answer import Head, WrongAnswerError
from tests.bench.load.connection import connect, request
from tests.bench.load.jobs import Asked, Result, StreamsJob
from tests.bench.load.tls_stream import TlsStream, stream_context

SILENCE_SECONDS = 120.0  # nothing for any device for so long: the server hangs


@define(eq=False)
class Pull:
    """One answer while it arrives."""

    stream: TlsStream
    _asked: Asked
    _hasher: "hashlib._Hash | None"
    ended: float = 0.0
    _missing: int = field(init=False)
    _head: bytearray | None = field(factory=bytearray, init=False)

    def __attrs_post_init__(self) -> None:
        """Expect all of it."""
        self._missing = self._asked.length

    def read(self) -> bool:
        """Read what there is; tell whether it was the last of it. Raises `WrongAnswerError`."""
        for piece in self.stream.received():
            self._take(self._body_of(piece) if self._head is not None else piece)
        if self._missing or self._head is not None:
            return False
        self.ended = time.monotonic()
        if self._hasher is not None and self._hasher.hexdigest() != self._asked.sha256:
            raise WrongAnswerError("other bytes came")
        return True

    def _body_of(self, piece: memoryview) -> memoryview | bytearray:
        """Return what of the piece is behind the head."""
        head = self._head
        assert head is not None
        head += piece
        parsed = Head.parse(head)
        if parsed is None:
            return bytearray()
        parsed.require(self._asked.length)
        self._head = None
        return head[parsed.size :]

    def _take(self, body: memoryview | bytearray) -> None:
        self._missing -= len(body)
        if self._missing < 0:
            raise WrongAnswerError("more bytes came than were announced")
        if self._hasher is not None:
            self._hasher.update(body)


def prepare(job: StreamsJob) -> Callable[[], Result]:
    """Connect every device; return what pulls. Marks: when each device had its last byte."""
    pulls = [_connected(job, number) for number in range(len(job.devices))]
    return lambda: _pull(job, pulls)


def _connected(job: StreamsJob, number: int) -> Pull:
    context = stream_context(job.target, job.devices[number])
    stream = TlsStream.open(connect(job.target), context)
    return Pull(stream, job.blob, hashlib.sha256() if job.is_hashed and number == 0 else None)


def _pull(job: StreamsJob, pulls: list[Pull]) -> Result:
    poll = select.epoll()
    by_descriptor = {pull.stream.connection.fileno(): pull for pull in pulls}
    for descriptor in by_descriptor:
        poll.register(descriptor, select.EPOLLIN)
    began = time.monotonic()
    for pull in pulls:
        pull.stream.send(request(job.target, job.blob.path))
    while by_descriptor:
        ready = poll.poll(SILENCE_SECONDS)
        if not ready:
            raise WrongAnswerError(f"{len(by_descriptor)} devices wait for ever")
        for descriptor, _ in ready:
            if by_descriptor[descriptor].read():
                poll.unregister(descriptor)
                del by_descriptor[descriptor]
    return Result(began, time.monotonic(), len(pulls), [pull.ended - began for pull in pulls])
