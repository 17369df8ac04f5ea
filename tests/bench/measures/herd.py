"""A new blob that a whole fleet asks for at the same moment, and nobody has."""

from tests.bench.measures.measure import Measuring

DEVICES = 64
GENERATORS = 2  # one was the limit, and it is the time of a server that is measured here
MAX_ROUNDS = 2  # 16 GiB for each server in each: half a minute, a minute for the slowest


def measure(measuring: Measuring) -> None:
    """Let 64 devices pull a blob that no server has; a new one in each round."""
    scene, observations = measuring.scene, measuring.observations
    for _ in range(min(measuring.options.rounds, MAX_ROUNDS)):
        blob = scene.upstream.push_blob(measuring.options.size)
        for contender in measuring.turn():
            mark = scene.upstream.mark()
            run = measuring.pull(contender, blob, DEVICES, is_hashed=True, generators=GENERATORS)
            sent = scene.upstream.bytes_sent(blob, mark)
            ended = [mark for result in run.results for mark in result.marks]
            for key, value in (
                ("herd.upstream", sent / blob.length),
                ("herd.time", run.seconds),
                ("herd.first", min(ended)),
                ("herd.cpu", run.server_cpu_seconds),
                ("herd.busy", run.server_cpu_seconds / run.seconds),
                ("herd.generator", run.generator_cpu_seconds),
            ):
                observations.add(key, contender.name, value)
