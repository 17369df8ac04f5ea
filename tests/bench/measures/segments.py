"""One device that pulls a blob that nobody has, of a registry that slows each connection down."""

from tests.bench.contenders.contender import Contender
from tests.bench.content import Content
from tests.bench.measures.linked_scene import LinkedMeasuring, behind_link
from tests.bench.measures.measure import MIB, Measuring

CONNECTION_BYTES_PER_SECOND = 16 * MIB
MAX_ROUNDS = 2  # 16 s for each server that asks by one connection


def measure(measuring: Measuring) -> None:
    """Let one device pull a new blob in each round, from every server."""
    with behind_link(measuring, "segments") as linked:
        linked.link.limit(per_connection=CONNECTION_BYTES_PER_SECOND)
        for _ in range(min(measuring.options.rounds, MAX_ROUNDS)):
            blob = measuring.scene.upstream.push_blob(measuring.options.size)
            for contender in linked.measuring.turn():
                _measure(linked, contender, blob)


def _measure(linked: LinkedMeasuring, contender: Contender, blob: Content) -> None:
    begun = linked.link.carried_when_quiet()
    run = linked.measuring.pull(contender, blob, 1, is_hashed=True)
    carried = linked.link.carried_when_quiet() - begun
    for key, value in (
        ("gain", blob.length / run.seconds / CONNECTION_BYTES_PER_SECOND),
        ("time", run.seconds),
        ("upstream", carried / blob.length),
    ):
        linked.measuring.observations.add(f"segments.{key}", contender.name, value)
