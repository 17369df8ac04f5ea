"""A client that fetches one blob in ranges, several at a time, as containerd does from 2.1 on."""

import hashlib
import ssl
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from queue import Empty, SimpleQueue

from attrs import define, field, frozen

from tests.bench.load.answer import Head, WrongAnswerError
from tests.bench.load.connection import connect_device, device_context, request
from tests.bench.load.jobs import RangesJob, Result

RECEIVE_BYTES = 16 * 1024  # with a head; what follows it is received into its place
ATTEMPTS = 20  # of a range; then the client does without it
PAUSE_SECONDS = 0.1  # after an attempt that failed


@frozen
class Span:
    """The bytes of a range, the last one included."""

    first: int
    last: int

    @property
    def length(self) -> int:
        """How many they are."""
        return self.last - self.first + 1


def spans_of(length: int, range_bytes: int) -> list[Span]:
    """Return the ranges of a blob, in order."""
    starts = range(0, length, range_bytes)
    return [Span(first, min(first + range_bytes, length) - 1) for first in starts]


@define(eq=False)
class Worker:
    """Fetches one range after the other on a connection of its own."""

    job: RangesJob
    context: ssl.SSLContext
    blob: memoryview  # where the bytes of each range are put
    connection: ssl.SSLSocket | None = None
    longest_silence: float = 0.0
    failures: int = 0
    missing: int = 0  # ranges that no attempt gave
    _heard: float = field(default=0.0, init=False)

    def connect(self) -> ssl.SSLSocket:
        """Connect, unless it is."""
        if self.connection is None:
            self.connection = connect_device(self.job.target, self.context)
        return self.connection

    def fetch_all(self, spans: "SimpleQueue[Span]") -> None:
        """Fetch what nobody else has begun, until nothing is left."""
        while True:
            try:
                self._fetch(spans.get_nowait())
            except Empty:
                return

    def _fetch(self, span: Span) -> None:
        for _ in range(ATTEMPTS):
            try:
                self._attempt(span)
            except (WrongAnswerError, OSError):
                self.failures += 1
                self._hang_up()
                time.sleep(PAUSE_SECONDS)
            else:
                return
        self.missing += 1

    def _attempt(self, span: Span) -> None:
        end = "" if self.job.is_open else span.last
        connection = self.connect()
        asked = request(self.job.target, self.job.blob.path, Range=f"bytes={span.first}-{end}")
        self._heard = time.monotonic()
        connection.sendall(asked)
        received = self._receive_head(connection, span)
        while received < span.length:
            place = self.blob[span.first + received : span.last + 1]
            received += self._note(connection.recv_into(place))
        if self.job.is_open:
            self._hang_up()

    def _receive_head(self, connection: ssl.SSLSocket, span: Span) -> int:
        """Receive up to the body, put what came of it into its place, and return how much."""
        received = bytearray()
        while (head := Head.parse(received)) is None:
            piece = connection.recv(RECEIVE_BYTES)
            self._note(len(piece))
            received += piece
        last = self.job.blob.length - 1 if self.job.is_open else span.last
        head.require_range(span.first, last, self.job.blob.length)
        body = received[head.size :][: span.length]
        self.blob[span.first : span.first + len(body)] = body
        return len(body)

    def _note(self, count: int) -> int:
        if not count:
            raise WrongAnswerError("the connection was closed in the middle of an answer")
        now = time.monotonic()
        self.longest_silence = max(self.longest_silence, now - self._heard)
        self._heard = now
        return count

    def _hang_up(self) -> None:
        if self.connection is not None:
            self.connection.close()
            self.connection = None


def prepare(job: RangesJob) -> Callable[[], Result]:
    """Connect workers that keep their connection; return what pulls."""
    context = device_context(job.target, job.device)
    blob = bytearray(job.blob.length)
    workers = [Worker(job, context, memoryview(blob)) for _ in range(job.workers)]
    if not job.is_open:
        for worker in workers:
            worker.connect()
    return lambda: _pull(job, workers, blob)


def _pull(job: RangesJob, workers: list[Worker], blob: bytearray) -> Result:
    """A thread for each worker: decryption does not hold Python's lock."""
    spans = spans_of(job.blob.length, job.range_bytes)
    left: SimpleQueue[Span] = SimpleQueue()
    for span in spans:
        left.put(span)
    began = time.monotonic()
    with ThreadPoolExecutor(len(workers)) as pool:
        list(pool.map(lambda worker: worker.fetch_all(left), workers))
    ended = time.monotonic()
    missing = sum(worker.missing for worker in workers)
    if not missing and hashlib.sha256(blob).hexdigest() != job.blob.sha256:
        raise WrongAnswerError("other bytes came")
    return Result(
        began,
        ended,
        len(spans) - missing,
        [worker.longest_silence for worker in workers],
        failures=sum(worker.failures for worker in workers),
    )
