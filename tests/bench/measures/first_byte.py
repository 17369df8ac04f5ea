"""What a server adds to the wait for the first byte of a blob that it does not have."""

from statistics import median

from tests.bench.contenders.contender import Contender
from tests.bench.content import Content
from tests.bench.load.jobs import FirstByteJob, Identity, Target
from tests.bench.measures.measure import MIB, Measuring, asked_of
from tests.bench.upstream import AUTHORIZATION

BLOBS = 16
BLOB_BYTES = 4 * MIB
MILLISECONDS = 1000


def measure(measuring: Measuring) -> None:
    """Ask upstream itself, then every server, for the same blobs; new ones in each round."""
    scene = measuring.scene
    upstream = Contender("upstream", scene.upstream.registry.port, (scene.upstream.registry.child,))
    plain = Target(upstream.port, headers={"Authorization": AUTHORIZATION})
    [device] = scene.devices.first(1)
    for _ in range(measuring.options.rounds):
        blobs = [scene.upstream.push_blob(BLOB_BYTES) for _ in range(BLOBS)]
        own = _first_byte(measuring, upstream, plain, None, blobs)
        for contender in measuring.turn():
            waited = _first_byte(measuring, contender, scene.target(contender), device, blobs)
            added = (waited - own) * MILLISECONDS
            measuring.observations.add("first_byte.added", contender.name, added)


def _first_byte(
    measuring: Measuring,
    contender: Contender,
    target: Target,
    device: Identity | None,
    blobs: list[Content],
) -> float:
    """Return the median seconds to the first byte."""
    job = FirstByteJob(target, device, [asked_of(contender, blob) for blob in blobs])
    run = measuring.scene.generators.run(contender, [job])
    return median(run.results[0].marks)
