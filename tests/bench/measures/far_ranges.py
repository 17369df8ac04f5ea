"""What a lazy puller waits for: two bytes of a cold blob, and five far ranges at once.

The registry stands behind a link that takes a round trip, which is nearly all that anybody waits.
"""

from statistics import median

from attrs import frozen

from tests.bench.contenders.contender import Contender
from tests.bench.content import Content
from tests.bench.load.jobs import FirstBytesJob, Identity, Target
from tests.bench.measures.linked_scene import LinkedMeasuring, behind_link
from tests.bench.measures.measure import Measuring, asked_of
from tests.bench.upstream import AUTHORIZATION

ROUND_TRIP_SECONDS = 0.2
FAR_RANGES = 5
FAR_BYTES = 64 * 1024
TIMES = 5  # blobs of each case in a round; the median counts
SERVERS = ("facade", "nginx-slice")  # others fetch all that lies before a range, or the whole


@frozen
class _Case:
    """Ranges of a blob, and how it is called."""

    key: str
    ranges: list[tuple[int, int]]


def cases(length: int) -> list[_Case]:
    """Return what is asked for of a blob of this length."""
    step = length // (FAR_RANGES + 1)
    size = min(FAR_BYTES, step)
    far = [(at, at + size - 1) for at in range(step, step * (FAR_RANGES + 1), step)]
    return [_Case("two", [(0, 1)]), _Case("five", far)]


def measure(measuring: Measuring) -> None:
    """Ask upstream itself, then every server, for ranges of new blobs."""
    with behind_link(measuring, "far-ranges") as linked:
        for contender in linked.measuring.scene.contenders:
            first = measuring.scene.upstream.push_blob(measuring.options.size)
            linked.measuring.pull_and_verify(contender, first)  # from here on it is logged in
        linked.link.delay(ROUND_TRIP_SECONDS)
        for _ in range(measuring.options.rounds):
            for case in cases(measuring.options.size):
                _measure(linked, case)


def _measure(linked: LinkedMeasuring, case: _Case) -> None:
    measuring = linked.measuring
    scene = measuring.scene
    upstream = Contender("upstream", linked.link.port, (scene.upstream.registry.child,))
    plain = Target(linked.link.port, headers={"Authorization": AUTHORIZATION})
    [device] = scene.devices.first(1)
    blobs = [scene.upstream.push_blob(measuring.options.size) for _ in range(TIMES)]
    own = _longest(measuring, upstream, plain, None, blobs, case)
    for contender in measuring.turn():
        if contender.name in SERVERS:
            target = scene.target(contender)
            waits = _longest(measuring, contender, target, device, blobs, case)
            measuring.observations.add(f"far_ranges.{case.key}", contender.name, waits / own)


def _longest(
    measuring: Measuring,
    contender: Contender,
    target: Target,
    device: Identity | None,
    blobs: list[Content],
    case: _Case,
) -> float:
    """Return the median, over the blobs, of the longest wait for a first byte."""
    jobs = [FirstBytesJob(target, device, asked_of(contender, each), case.ranges) for each in blobs]
    runs = [measuring.scene.generators.run(contender, [job]) for job in jobs]
    return median(max(run.results[0].marks) for run in runs)
