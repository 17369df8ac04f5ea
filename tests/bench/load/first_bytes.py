"""How long one waits for the first byte of each of several ranges that are asked for at once."""

import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from tests.bench.load.answer import Head, WrongAnswerError
from tests.bench.load.connection import connect, connect_device, device_context, request
from tests.bench.load.jobs import FirstBytesJob, Result

RECEIVE_BYTES = 16 * 1024


def prepare(job: FirstBytesJob) -> Callable[[], Result]:
    """Connect once for each range; return what asks for all of them."""
    if job.device is None:
        connections: list[socket.socket] = [connect(job.target) for _ in job.ranges]
    else:
        context = device_context(job.target, job.device)
        connections = [connect_device(job.target, context) for _ in job.ranges]
    return lambda: _ask(job, connections)


def _ask(job: FirstBytesJob, connections: list[socket.socket]) -> Result:
    """A thread for each range."""
    began = time.monotonic()
    with ThreadPoolExecutor(len(connections)) as pool:
        marks = list(
            pool.map(lambda each: _wait(job, *each), zip(connections, job.ranges, strict=True))
        )
    return Result(began, time.monotonic(), len(marks), marks)


def _wait(job: FirstBytesJob, connection: socket.socket, wanted: tuple[int, int]) -> float:
    first, last = wanted
    began, received = time.monotonic(), bytearray()
    connection.sendall(request(job.target, job.blob.path, Range=f"bytes={first}-{last}"))
    while (head := Head.parse(received)) is None or len(received) == head.size:
        received += _received(connection)
    waited = time.monotonic() - began
    head.require_range(first, last, job.blob.length)
    while len(received) < head.size + head.length:
        received += _received(connection)
    return waited


def _received(connection: socket.socket) -> bytes:
    if not (piece := connection.recv(RECEIVE_BYTES)):
        raise WrongAnswerError("the connection was closed in the middle of an answer")
    return piece
