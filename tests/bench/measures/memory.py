"""What devices that do not read cost a server in memory of its own."""

import time

from tests.bench.contenders.contender import Contender
from tests.bench.content import Content
from tests.bench.generators import MeasurementError
from tests.bench.load.jobs import StoppedJob
from tests.bench.measures.measure import MIB, Measuring, asked_of
from tests.bench.process_cost import open_sockets, resident_bytes

BLOB_SIZES = 4  # times the size of the blob that is pulled elsewhere: 1 GiB
HUNDRED, THOUSAND = 100, 1000
GENERATORS = 2  # all must have stopped before a server gives the first of them up, after a minute
SETTLE_SECONDS = 0.5
MAX_LOOKS = 20
KIB = 1024


def measure(measuring: Measuring) -> None:
    """Once for each server: memory does not vary as time does."""
    blob = measuring.scene.upstream.push_blob(BLOB_SIZES * measuring.options.size)
    for contender in measuring.turn():
        measuring.pull_and_verify(contender, blob)
        idle = _settled(contender)
        hundred = _with_stopped(measuring, contender, blob, HUNDRED)
        thousand = _with_stopped(measuring, contender, blob, THOUSAND)
        for key, value in (
            ("memory.idle", idle / MIB),
            ("memory.hundred", hundred / MIB),
            ("memory.thousand", thousand / MIB),
            ("memory.device", (thousand - idle) / THOUSAND / KIB),
        ):
            measuring.observations.add(key, contender.name, value)


def _with_stopped(measuring: Measuring, contender: Contender, blob: Content, count: int) -> int:
    """Return the resident bytes while so many devices have stopped, all of them served."""
    target, asked = measuring.scene.target(contender), asked_of(contender, blob)
    groups = measuring.scene.devices.groups(count, GENERATORS)
    jobs = [StoppedJob(target, devices, asked) for devices in groups]
    with measuring.scene.generators.ready(jobs) as started:
        resident = _settled(contender)
        kept = open_sockets(contender.pids)
        if kept < count:
            raise MeasurementError(f"{contender.name}: {kept} sockets for {count} stopped devices")
        started.finish(contender)
    return resident


def _settled(contender: Contender) -> int:
    """Return the resident bytes once they do not grow any more."""
    now = resident_bytes(contender.pids)
    for _ in range(MAX_LOOKS):
        time.sleep(SETTLE_SECONDS)
        before, now = now, resident_bytes(contender.pids)
        if now <= before:
            break
    return now
