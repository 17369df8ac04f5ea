"""Requests on connections that stay open, all of them on their way at any time, in one thread."""

import itertools
import time
from collections.abc import Callable

from tests.bench.load.blocking import Answers
from tests.bench.load.connection import connect_device, device_context, request
from tests.bench.load.jobs import RequestsJob, Result


def prepare(job: RequestsJob) -> Callable[[], Result]:
    """Connect every device and let it ask once; return what asks on."""
    question = request(job.target, job.asked.path)
    all_answers = []
    for device in job.devices:
        connection = connect_device(job.target, device_context(job.target, device))
        connection.sendall(question)
        all_answers.append(Answers(connection))
        all_answers[-1].take(job.asked, is_hashed=True)
    return lambda: _ask(job, question, all_answers)


def _ask(job: RequestsJob, question: bytes, all_answers: list[Answers]) -> Result:
    """Ask in turns: while one answer is read, the server works on the others'."""
    count = 0
    began = time.monotonic()
    for answers in all_answers:
        answers.connection.sendall(question)
    for answers in itertools.cycle(all_answers):
        answers.take(job.asked)
        count += 1
        if time.monotonic() > began + job.seconds:
            break
        answers.connection.sendall(question)
    return Result(began, time.monotonic(), count, [])
