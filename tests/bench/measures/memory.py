"""What devices that do not read cost a server in memory of its own."""

import resource
import time

from facade.devices.connection_limits import DEFAULT_CONNECTIONS_PER_DEVICE, ConnectionLimits
from tests.bench.contenders.contender import Contender
from tests.bench.content import Content
from tests.bench.generators import MeasurementError
from tests.bench.load.jobs import StoppedJob
from tests.bench.measures.measure import MIB, Measuring, asked_of
from tests.bench.process_cost import open_sockets, resident_bytes

BLOB_SIZES = 4  # times the size of the blob that is pulled elsewhere: 1 GiB
COUNTS = {100: "memory.hundred", 1000: "memory.thousand"}  # of devices, and the figure
GENERATORS = 2  # all must have stopped before a server gives the first of them up, after a minute
SETTLE_SECONDS = 0.5
MAX_LOOKS = 20
KIB = 1024


def measure(measuring: Measuring) -> None:
    """Once for each server: memory does not vary as time does."""
    _, descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)
    counts = possible_counts(descriptors)
    for count in COUNTS.keys() - counts:
        measuring.scene.say(f"memory: not with {count} devices, of {descriptors} descriptors")
    blob = measuring.scene.upstream.push_blob(BLOB_SIZES * measuring.options.size)
    for contender in measuring.turn():
        measuring.pull_and_verify(contender, blob)
        idle = _settled(contender)
        measuring.observations.add("memory.idle", contender.name, idle / MIB)
        resident = {count: _with_stopped(measuring, contender, blob, count) for count in counts}
        for count, size in resident.items():
            measuring.observations.add(COUNTS[count], contender.name, size / MIB)
        if resident:
            most, size = max(resident.items())
            measuring.observations.add("memory.device", contender.name, (size - idle) / most / KIB)


def possible_counts(descriptors: int) -> list[int]:
    """Return the numbers of devices that a facade with so many descriptors lets in at once."""
    limits = ConnectionLimits.of_descriptors(descriptors, 0, DEFAULT_CONNECTIONS_PER_DEVICE)
    return [count for count in COUNTS if count <= limits.in_all]


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
