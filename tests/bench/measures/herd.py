"""A new blob that a whole fleet asks for at once, and nobody has: whole, and in ranges."""

from tests.bench.contenders.contender import Contender
from tests.bench.contenders.nginx import sliced
from tests.bench.content import Content
from tests.bench.figures import DISTRIBUTION, NGINX
from tests.bench.generators import Run
from tests.bench.load.jobs import HerdRangesJob
from tests.bench.measures.measure import MIB, Measuring, asked_of

DEVICES = 64
GENERATORS = 2  # one was the limit, and it is the time of a server that is measured here
MAX_ROUNDS = 2  # 16 GiB for each server in each: half a minute, a minute for the slowest
WORKERS = 4  # of a device that pulls in ranges
RANGE_BYTES = 8 * MIB  # as containerd's are by default; less of a blob below 96 MiB
LEAST_RANGES = 3 * WORKERS  # of a device, so that workers take a second one


def measure(measuring: Measuring) -> None:
    """Let 64 devices pull a blob that no server has, and another one in ranges; new ones each time.

    distribution is not asked for ranges: of what it does not have yet it answers some with errors.
    """
    upstream = measuring.scene.upstream
    for _ in range(min(measuring.options.rounds, MAX_ROUNDS)):
        whole, parts = (upstream.push_blob(measuring.options.size) for _ in range(2))
        for contender in measuring.turn():
            seconds = _measure_whole(measuring, contender, whole)
            if contender.name != DISTRIBUTION:
                _measure_ranges(measuring, contender, parts, seconds)
            if contender.name == NGINX:
                _measure_ranges(measuring, sliced(contender), parts, seconds)


def _measure_whole(measuring: Measuring, contender: Contender, blob: Content) -> float:
    """Return how long it took."""
    mark = measuring.scene.upstream.mark()
    run = measuring.pull(contender, blob, DEVICES, is_hashed=True, generators=GENERATORS)
    sent = measuring.scene.upstream.bytes_sent(blob, mark)
    ended = [mark for result in run.results for mark in result.marks]
    for key, value in (
        ("upstream", sent / blob.length),
        ("time", run.seconds),
        ("first", min(ended)),
        ("cpu", run.server_cpu_seconds),
        ("busy", run.server_cpu_seconds / run.seconds),
        ("generator", run.generator_cpu_seconds),
    ):
        measuring.observations.add(f"herd.{key}", contender.name, value)
    return run.seconds


def _measure_ranges(
    measuring: Measuring, contender: Contender, blob: Content, whole_seconds: float
) -> None:
    mark = measuring.scene.upstream.mark()
    run = _pull_ranges(measuring, contender, blob)
    sent = measuring.scene.upstream.bytes_sent(blob, mark)
    for key, value in (
        ("upstream", sent / blob.length),
        ("time", run.seconds),
        ("slower", run.seconds / whole_seconds),
        ("cpu", run.server_cpu_seconds),
        ("generator", run.generator_cpu_seconds),
    ):
        measuring.observations.add(f"herd.ranges_{key}", contender.name, value)


def _pull_ranges(measuring: Measuring, contender: Contender, blob: Content) -> Run:
    scene = measuring.scene
    jobs = [
        HerdRangesJob(
            scene.target(contender),
            group,
            asked_of(contender, blob),
            max(1, min(RANGE_BYTES, blob.length // LEAST_RANGES)),
            WORKERS,
        )
        for group in scene.devices.groups(DEVICES, GENERATORS)
    ]
    return scene.generators.run(contender, jobs)
