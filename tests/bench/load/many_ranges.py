"""A client that asks for many ranges in one request, as podman does of `zstd:chunked` layers."""

import hashlib
import re
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

from attrs import define, frozen

from tests.bench.load.answer import Head, WrongAnswerError
from tests.bench.load.connection import connect_device, device_context, request
from tests.bench.load.jobs import ManyRangesJob, Result

RECEIVE_BYTES = 256 * 1024
OK = (200, 206)
ATTEMPTS = 20  # nginx breaks an answer off that it has not kept yet
PAUSE_SECONDS = 0.1  # after one that failed

_BOUNDARY = re.compile(
    rb'\r\ncontent-type: multipart/byteranges; boundary="?([^\r"]+)', re.IGNORECASE
)
_RANGE = re.compile(rb"\r\ncontent-range: bytes ([0-9]+)-([0-9]+)/([0-9]+)\r\n", re.IGNORECASE)


def prepare(job: ManyRangesJob) -> Callable[[], Result]:
    """Connect; return what asks again and again."""
    context = device_context(job.target, job.device)
    client = Client(job, context, connect_device(job.target, context))
    return lambda: _ask(job, client)


@define(eq=False)
class Client:
    """Asks on one connection, and on a new one after an answer that broke off."""

    job: ManyRangesJob
    context: ssl.SSLContext
    connection: ssl.SSLSocket
    failures: int = 0

    def ask(self, *, keeps: bool) -> "Answer":
        """Return an answer. Raises `WrongAnswerError` if none comes whole."""
        for _ in range(ATTEMPTS):
            with suppress(WrongAnswerError, OSError):
                self.connection.sendall(self._question)
                answer = Answer.take(lambda: self.connection.recv(RECEIVE_BYTES), keeps=keeps)
                if answer.status in OK:
                    return answer
            self.failures += 1
            self.connection.close()
            time.sleep(PAUSE_SECONDS)
            self.connection = connect_device(self.job.target, self.context)
        raise WrongAnswerError("no answer came whole")

    @property
    def _question(self) -> bytes:
        ranges = ",".join(f"{first}-{last}" for first, last in self.job.ranges)
        return request(self.job.target, self.job.blob.path, Range=f"bytes={ranges}")


@frozen
class Answer:
    """Head and length of an answer, and its body if it is to be looked at."""

    status: int
    head: bytes
    length: int
    body: bytes

    @classmethod
    def take(cls, receive: Callable[[], bytes], *, keeps: bool) -> "Answer":
        """Receive an answer. Raises `WrongAnswerError`."""
        received = bytearray()
        while (head := Head.parse(received)) is None:
            received += _more(receive)
        first, body = bytes(received[: head.size]), received[head.size :]
        length = len(body)
        while length < head.length:
            piece = _more(receive)
            length += len(piece)
            if keeps:
                body += piece
        return cls(head.status, first, length, bytes(body))

    @property
    def boundary(self) -> bytes | None:
        """What divides its parts; None if it is the whole blob."""
        found = _BOUNDARY.search(self.head)
        return found and found[1]


def _more(receive: Callable[[], bytes]) -> bytes:
    if not (piece := receive()):
        raise WrongAnswerError("the connection was closed in the middle of an answer")
    return piece


def _ask(job: ManyRangesJob, client: Client) -> Result:
    """The first answer is looked at, once the time is taken."""
    began = time.monotonic()
    answers = [client.ask(keeps=not each) for each in range(job.times)]
    ended = time.monotonic()
    _require_right(job, answers[0])
    lengths: list[float] = [each.length for each in answers]
    return Result(began, ended, job.times, lengths, failures=client.failures)


def _require_right(job: ManyRangesJob, answer: Answer) -> None:
    """Raise `WrongAnswerError` unless the parts came that were asked for, or the whole blob."""
    if answer.boundary is None:
        content, expected = answer.body, job.blob.sha256
    else:
        parts = list(parts_of(answer.body, answer.boundary))
        asked = [(first, last, job.blob.length) for first, last in job.ranges]
        if [place for place, _ in parts] != asked:
            raise WrongAnswerError("other parts came")
        content, expected = b"".join(content for _, content in parts), job.sha256
    if hashlib.sha256(content).hexdigest() != expected:
        raise WrongAnswerError("other bytes came")


def parts_of(body: bytes, boundary: bytes) -> Iterator[tuple[tuple[int, int, int], bytes]]:
    """Give first byte, last byte, total, and the content of each part."""
    delimiter = b"\r\n--" + boundary
    body = b"\r\n" + body
    at = body.find(delimiter)
    while not body.startswith(b"--", at + len(delimiter)):
        content = body.index(b"\r\n\r\n", at) + 4
        if (found := _RANGE.search(body, at, content)) is None:
            raise WrongAnswerError("a part without a range")
        first, last, total = (int(each) for each in found.groups())
        at = content + last - first + 1
        if not body.startswith(delimiter, at):
            raise WrongAnswerError("a part of another length")
        yield (first, last, total), body[content:at]
