"""A site's devices that come back at the same moment: a handshake and one manifest of each."""

from tests.bench.contenders.contender import Contender
from tests.bench.content import Content
from tests.bench.load.jobs import StormJob
from tests.bench.measures.measure import MIB, Measuring, asked_of

GENERATORS = 2  # a device's side of a handshake costs as much as the server's
PERCENTILE = 0.99
MILLISECONDS = 1000


def measure(measuring: Measuring) -> None:
    """Let so many devices come, each with a certificate of its own."""
    manifest, _ = measuring.scene.upstream.push_image([MIB])
    for contender in measuring.scene.contenders:
        measuring.pull_and_verify(contender, manifest)
    for count in measuring.options.fleets:
        for contender in measuring.turns():
            _storm(measuring, contender, manifest, count)


def _storm(measuring: Measuring, contender: Contender, manifest: Content, count: int) -> None:
    target = measuring.scene.target(contender)
    jobs = [
        StormJob(target, devices, asked_of(contender, manifest))
        for devices in measuring.scene.devices.groups(count, GENERATORS)
    ]
    run = measuring.scene.generators.run(contender, jobs)
    waited = sorted(mark for result in run.results for mark in result.marks)
    for key, value in (
        ("time", run.seconds),
        ("p99", waited[int(PERCENTILE * (len(waited) - 1))]),
        ("cpu", run.server_cpu_seconds * MILLISECONDS / count),
        ("busy", run.server_cpu_seconds / run.seconds),
        ("generator", run.generator_cpu_seconds * MILLISECONDS / count),
        ("failures", run.failures),
    ):
        measuring.observations.add(f"storm.{count}.{key}", contender.name, value)
