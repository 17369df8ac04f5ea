"""Devices that ask for a blob and then read nothing."""

import ssl
import time
from collections.abc import Callable

from tests.bench.load.blocking import Answers
from tests.bench.load.connection import connect_device, device_context, request
from tests.bench.load.jobs import Result, StoppedJob

# Small, so that a thousand of them do not use up the kernel's memory for TCP: it is the server's
# own memory that is measured.
RECEIVE_BUFFER_BYTES = 32 * 1024


def prepare(job: StoppedJob) -> Callable[[], Result]:
    """Bring every device to a stop; return what lets them go."""
    began = time.monotonic()
    contexts = [device_context(job.target, device) for device in job.devices]
    stopped = [_stop(job, context) for context in contexts]
    return lambda: Result(began, time.monotonic(), len(stopped), [])


def _stop(job: StoppedJob, context: ssl.SSLContext) -> ssl.SSLSocket:
    connection = connect_device(job.target, context, receive_buffer=RECEIVE_BUFFER_BYTES)
    connection.sendall(request(job.target, job.blob.path))
    Answers(connection).take_head(job.blob)
    return connection
