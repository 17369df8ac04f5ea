"""Many devices that pull one blob at once, each in ranges, several at a time; in one thread."""

import select
import time
from collections import deque
from collections.abc import Callable

from attrs import define, field

from tests.bench.load.answer import Head, WrongAnswerError
from tests.bench.load.connection import connect, request
from tests.bench.load.jobs import HerdRangesJob, Result
from tests.bench.load.ranges import Span, spans_of
from tests.bench.load.streams import SILENCE_SECONDS
from tests.bench.load.tls_stream import TlsStream, stream_context


@define(eq=False)
class Device:
    """What a device has not asked for yet, and when it had its last byte."""

    job: HerdRangesJob
    spans: deque[Span]
    ended: float = 0.0


@define(eq=False)
class Worker:
    """One connection of a device, which takes one range after the other."""

    device: Device
    stream: TlsStream
    _span: Span | None = None
    _missing: int = 0
    _head: bytearray | None = field(default=None, init=False)

    def begin(self) -> bool:
        """Ask for the next range; tell whether there was one."""
        if not self.device.spans:
            return False
        self._span = span = self.device.spans.popleft()
        self._missing, self._head = span.length, bytearray()
        job = self.device.job
        asked = request(job.target, job.blob.path, Range=f"bytes={span.first}-{span.last}")
        self.stream.send(asked)
        return True

    def read(self) -> bool:
        """Read what there is; tell whether no range is left. Raises `WrongAnswerError`."""
        for piece in self.stream.received():
            self._missing -= self._body_bytes(piece)
        if self._missing < 0:
            raise WrongAnswerError("more bytes came than were announced")
        if self._missing or self._head is not None:
            return False
        self.device.ended = time.monotonic()
        return not self.begin()

    def _body_bytes(self, piece: memoryview) -> int:
        """Return how many bytes of the piece are behind the head."""
        head, span = self._head, self._span
        if head is None or span is None:
            return len(piece)
        head += piece
        if (parsed := Head.parse(head)) is None:
            return 0
        parsed.require_range(span.first, span.last, self.device.job.blob.length)
        self._head = None
        return len(head) - parsed.size


def prepare(job: HerdRangesJob) -> Callable[[], Result]:
    """Connect every worker; return what pulls. Marks: when each device had its last byte."""
    devices, workers = list[Device](), list[Worker]()
    for identity in job.devices:
        device = Device(job, deque(spans_of(job.blob.length, job.range_bytes)))
        context = stream_context(job.target, identity)
        devices.append(device)
        workers += [
            Worker(device, TlsStream.open(connect(job.target), context)) for _ in range(job.workers)
        ]
    return lambda: _pull(devices, workers)


def _pull(devices: list[Device], workers: list[Worker]) -> Result:
    poll = select.epoll()
    began = time.monotonic()
    by_descriptor = {each.stream.connection.fileno(): each for each in workers if each.begin()}
    for descriptor in by_descriptor:
        poll.register(descriptor, select.EPOLLIN)
    while by_descriptor:
        ready = poll.poll(SILENCE_SECONDS)
        if not ready:
            raise WrongAnswerError(f"{len(by_descriptor)} workers wait for ever")
        for descriptor, _ in ready:
            if by_descriptor[descriptor].read():
                poll.unregister(descriptor)
                del by_descriptor[descriptor]
    marks = [device.ended - began for device in devices]
    return Result(began, time.monotonic(), len(devices), marks)
