"""Devices that come, pull a small image, and go."""

import ssl
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from tests.bench.load.blocking import Answers
from tests.bench.load.connection import connect_device, device_context, request
from tests.bench.load.jobs import Result, SessionsJob


def prepare(job: SessionsJob) -> Callable[[], Result]:
    """Let the first device verify everything; return what lets all of them come and go."""
    contexts = [device_context(job.target, device) for device in job.devices]
    _session(job, contexts[0], is_hashed=True)
    return lambda: _sessions(job, contexts)


def _sessions(job: SessionsJob, contexts: list[ssl.SSLContext]) -> Result:
    """A thread for each device: handshakes and decryption do not hold Python's lock."""
    began = time.monotonic()
    until = began + job.seconds
    with ThreadPoolExecutor(len(contexts)) as pool:
        counts = list(pool.map(lambda context: _sessions_of(job, context, until), contexts))
    return Result(began, time.monotonic(), sum(counts), [])


def _sessions_of(job: SessionsJob, context: ssl.SSLContext, until: float) -> int:
    count = 0
    while time.monotonic() < until:
        _session(job, context)
        count += 1
    return count


def _session(job: SessionsJob, context: ssl.SSLContext, *, is_hashed: bool = False) -> None:
    with connect_device(job.target, context) as connection:
        answers = Answers(connection)
        for asked in job.contents:
            connection.sendall(request(job.target, asked.path))
            answers.take(asked, is_hashed=is_hashed)
