"""A blob that one device pulls and no server has: what it costs to fetch, keep and send it."""

import time

from tests.bench.contenders.contender import Contender
from tests.bench.content import Content
from tests.bench.measures.measure import GIB, Measuring
from tests.bench.process_cost import cpu_seconds

SETTLE_SECONDS = 0.5  # a disk that is told to write takes a while
MAX_LOOKS = 20


def measure(measuring: Measuring) -> None:
    """Let one device pull a new blob in each round, from every server."""
    for _ in range(measuring.options.rounds):
        blob = measuring.scene.upstream.push_blob(measuring.options.size)
        for contender in measuring.turn():
            _measure(measuring, contender, blob)


def _measure(measuring: Measuring, contender: Contender, blob: Content) -> None:
    upstream, gibibytes = measuring.scene.upstream, blob.length / GIB
    mark, before = upstream.mark(), cpu_seconds(contender.pids)
    run = measuring.pull(contender, blob, 1, is_hashed=True)
    stored = _settled(contender) - before
    for key, value in (
        ("cpu", run.server_cpu_seconds / gibibytes),
        ("stored_cpu", stored / gibibytes),
        ("time", run.seconds),
        ("upstream", upstream.bytes_sent(blob, mark) / blob.length),
    ):
        measuring.observations.add(f"cold.{key}", contender.name, value)


def _settled(contender: Contender) -> float:
    """Return a server's CPU seconds once it has nothing more to do with what it sent."""
    now = cpu_seconds(contender.pids)
    for _ in range(MAX_LOOKS):
        time.sleep(SETTLE_SECONDS)
        before, now = now, cpu_seconds(contender.pids)
        if now - before < SETTLE_SECONDS / 10:  # it only looks at its clock
            break
    return now
