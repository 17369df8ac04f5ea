"""A blob that every server has: what it costs to send it, and how fast it goes."""

from tests.bench.measures.measure import GIB, Measuring

DEVICES = 8


def measure(measuring: Measuring) -> None:
    """Let eight devices pull the same warm blob at once."""
    scene, observations = measuring.scene, measuring.observations
    blob = scene.upstream.push_blob(measuring.options.size)
    for contender in scene.contenders:
        measuring.pull_and_verify(contender, blob)
    for contender in measuring.turns():
        run = measuring.pull(contender, blob, DEVICES)
        gibibytes = run.count * blob.length / GIB
        for key, value in (
            ("warm.cpu", run.server_cpu_seconds / gibibytes),
            ("warm.rate", gibibytes / run.seconds),
            ("warm.busy", run.server_cpu_seconds / run.seconds),
            ("warm.generator", run.generator_cpu_seconds / gibibytes),
        ):
            observations.add(key, contender.name, value)
