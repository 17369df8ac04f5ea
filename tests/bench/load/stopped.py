"""Devices that ask for a blob and then read nothing."""

import ssl
import time
from collections.abc import Callable

from tests.bench.load.answer import WrongAnswerError
from tests.bench.load.blocking import Answers
from tests.bench.load.connection import connect_device, device_context, request
from tests.bench.load.jobs import Identity, Result, StoppedJob

# Small, so that a thousand of them do not use up the kernel's memory for TCP: it is the server's
# own memory that is measured.
RECEIVE_BUFFER_BYTES = 32 * 1024


def prepare(job: StoppedJob) -> Callable[[], Result]:
    """Bring every device to a stop; return what looks whether they are still served."""
    began = time.monotonic()
    stopped = [_stop(job, device) for device in job.devices]
    return lambda: _end(began, stopped)


def _stop(job: StoppedJob, device: Identity) -> ssl.SSLSocket:
    context = device_context(job.target, device)
    connection = connect_device(job.target, context, receive_buffer=RECEIVE_BUFFER_BYTES)
    connection.sendall(request(job.target, job.blob.path))
    Answers(connection).take_head(job.blob)
    return connection


def _end(began: float, stopped: list[ssl.SSLSocket]) -> Result:
    """A server that has cut them meanwhile kept no memory for them."""
    for connection in stopped:
        if not connection.recv(1):
            raise WrongAnswerError("a stopped device was cut before it was measured")
    return Result(began, time.monotonic(), len(stopped), [])
