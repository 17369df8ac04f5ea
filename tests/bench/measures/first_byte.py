"""What a server adds to the wait for the first byte of a blob that it does not have."""

from statistics import median

from tests.bench.contenders.contender import Contender
from tests.bench.content import Content
from tests.bench.figures import FIRST_BYTE_MIB
from tests.bench.load.jobs import FirstByteJob, Identity, Target
from tests.bench.measures.measure import MIB, Measuring, asked_of
from tests.bench.upstream import AUTHORIZATION

# Of each size, in each round: each blob crosses the disk for each server. p99 of some is their
# longest.
BLOBS = {1: 64, 8: 16, 64: 4}
PERCENTILE = 0.99
MILLISECONDS = 1000


def measure(measuring: Measuring) -> None:
    """Ask upstream itself, then every server, for the same blobs; new ones in each round."""
    for _ in range(measuring.options.rounds):
        for size in FIRST_BYTE_MIB:
            _measure(measuring, size)


def _measure(measuring: Measuring, size: int) -> None:
    scene = measuring.scene
    upstream = Contender("upstream", scene.upstream.registry.port, (scene.upstream.registry.child,))
    plain = Target(upstream.port, headers={"Authorization": AUTHORIZATION})
    [device] = scene.devices.first(1)
    blobs = [scene.upstream.push_blob(size * MIB) for _ in range(BLOBS[size])]
    own = _first_bytes(measuring, upstream, plain, None, blobs)
    for contender in measuring.turn():
        waits = _first_bytes(measuring, contender, scene.target(contender), device, blobs)
        for key, value in (
            ("added", median(waits) - median(own)),
            ("p99", waits[round(PERCENTILE * (len(waits) - 1))]),
        ):
            measuring.observations.add(
                f"first_byte.{size}.{key}", contender.name, value * MILLISECONDS
            )


def _first_bytes(
    measuring: Measuring,
    contender: Contender,
    target: Target,
    device: Identity | None,
    blobs: list[Content],
) -> list[float]:
    """Return the seconds to the first byte of each, the shortest first."""
    job = FirstByteJob(target, device, [asked_of(contender, blob) for blob in blobs])
    run = measuring.scene.generators.run(contender, [job])
    return sorted(run.results[0].marks)
