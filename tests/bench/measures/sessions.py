"""A device's whole session: connect, manifest, config, three layers of 1 MiB, close."""

from tests.bench.load.jobs import SessionsJob
from tests.bench.measures.measure import MIB, Measuring, asked_of

LAYER_SIZES = (MIB, MIB, MIB)
DEVICES = 8
GENERATORS = 2  # of threads, which hold each other up within a process
SECONDS = 4.0
MILLISECONDS = 1000


def measure(measuring: Measuring) -> None:
    """Let eight devices at a time come and go."""
    scene = measuring.scene
    manifest, blobs = scene.upstream.push_image(LAYER_SIZES)
    for contender in measuring.turns():
        contents = [asked_of(contender, content) for content in (manifest, *blobs)]
        jobs = [
            SessionsJob(scene.target(contender), devices, contents, SECONDS)
            for devices in scene.devices.groups(DEVICES, GENERATORS)
        ]
        run = scene.generators.run(contender, jobs)
        for key, value in (
            ("sessions.rate", run.count / run.seconds),
            ("sessions.cpu", run.server_cpu_seconds * MILLISECONDS / run.count),
            ("sessions.busy", run.server_cpu_seconds / run.seconds),
            ("sessions.generator", run.generator_cpu_seconds * MILLISECONDS / run.count),
        ):
            measuring.observations.add(key, contender.name, value)
