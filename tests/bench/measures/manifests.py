"""Manifests by digest on connections that stay open: what a request costs."""

from tests.bench.contenders.contender import Contender
from tests.bench.content import Content
from tests.bench.generators import Run
from tests.bench.load.jobs import RequestsJob
from tests.bench.measures.measure import GENERATORS, MIB, Measuring, asked_of

DEVICES = 32
SECONDS = 3.0
MILLISECONDS = 1000


def measure(measuring: Measuring) -> None:
    """Let 32 devices ask for a warm manifest as fast as they are answered."""
    manifest, _ = measuring.scene.upstream.push_image([MIB, MIB, MIB])
    for contender in measuring.turns():
        run = ask(measuring, contender, manifest)
        for key, value in (
            ("manifests.rate", run.count / run.seconds),
            ("manifests.cpu", run.server_cpu_seconds * MILLISECONDS / run.count),
            ("manifests.busy", run.server_cpu_seconds / run.seconds),
            ("manifests.generator", run.generator_cpu_seconds * MILLISECONDS / run.count),
        ):
            measuring.observations.add(key, contender.name, value)


def ask(measuring: Measuring, contender: Contender, manifest: Content) -> Run:
    """Let the devices ask a server; the first answer to each is hashed."""
    target = measuring.scene.target(contender)
    jobs = [
        RequestsJob(target, devices, asked_of(contender, manifest), SECONDS)
        for devices in measuring.scene.devices.groups(DEVICES, GENERATORS)
    ]
    return measuring.scene.generators.run(contender, jobs)
