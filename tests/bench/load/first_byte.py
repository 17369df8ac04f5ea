"""How long one waits for the first byte of a body."""

import time
from collections.abc import Callable

from tests.bench.load.blocking import Answers
from tests.bench.load.connection import connect, connect_device, device_context, request
from tests.bench.load.jobs import FirstByteJob, Result


def prepare(job: FirstByteJob) -> Callable[[], Result]:
    """Connect; return what asks for one blob after the other."""
    if job.device is None:
        answers = Answers(connect(job.target))
    else:
        answers = Answers(connect_device(job.target, device_context(job.target, job.device)))
    return lambda: _ask(job, answers)


def _ask(job: FirstByteJob, answers: Answers) -> Result:
    began = time.monotonic()
    marks = []
    for blob in job.blobs:
        asked_at = time.monotonic()
        answers.connection.sendall(request(job.target, blob.path))
        first = answers.take_head(blob)
        marks.append(time.monotonic() - asked_at)
        answers.take_rest(blob, first, is_hashed=True)
    return Result(began, time.monotonic(), len(job.blobs), marks)
