"""One device that pulls a blob in ranges, several at a time: through a slow link, and warm.

Closed ranges on connections that stay, and containerd's way: ask for everything from a place on,
read one range of it, and close.
"""

from attrs import frozen

from tests.bench.contenders.contender import Contender
from tests.bench.content import Content
from tests.bench.figures import PARALLEL, ParallelCase
from tests.bench.generators import Run
from tests.bench.load.jobs import RangesJob
from tests.bench.measures.linked_scene import LinkedMeasuring, behind_link
from tests.bench.measures.measure import GIB, MIB, Measuring, asked_of

RANGES = 32  # of a blob: 8 MiB each of 256 MiB, as containerd's are by default
LINK_BYTES_PER_SECOND = 64 * MIB  # all connections together
MAX_ROUNDS = 1  # six cases, four servers, four seconds for each


@frozen
class _Case:
    """What is asked for, and by how many workers."""

    linked: LinkedMeasuring
    case: ParallelCase
    blob: Content

    def measure(self, contender: Contender) -> None:
        """Pull the blob from a server that has nothing of it, and again from one that has it."""
        link, begun = self.linked.link, self.linked.link.carried_when_quiet()
        cold = self._pull(contender)
        carried = link.carried_when_quiet() - begun
        warm = self._pull(contender)
        link_seconds = self.blob.length / LINK_BYTES_PER_SECOND
        gibibytes = self.blob.length / GIB
        silence = max(silence for result in cold.results for silence in result.marks)
        for key, value in (
            ("time", cold.seconds / link_seconds),
            ("upstream", carried / self.blob.length),
            ("silence", silence),
            ("failures", cold.failures + warm.failures),
            ("rate", gibibytes / warm.seconds),
            ("cpu", warm.server_cpu_seconds / gibibytes),
        ):
            self.linked.measuring.observations.add(
                f"parallel.{self.case.key}.{key}", contender.name, value
            )

    def _pull(self, contender: Contender) -> Run:
        scene = self.linked.measuring.scene
        [device] = scene.devices.first(1)
        job = RangesJob(
            scene.target(contender),
            device,
            asked_of(contender, self.blob),
            max(1, self.blob.length // RANGES),
            self.case.workers,
            self.case.is_open,
        )
        return scene.generators.run(contender, [job])


def measure(measuring: Measuring) -> None:
    """Let one device pull a new blob in each case, from every server."""
    cases = [case for case in PARALLEL if case.workers in measuring.options.workers]
    slice_bytes = max(1, measuring.options.size // RANGES)
    with behind_link(measuring, "parallel", slice_bytes=slice_bytes) as linked:
        linked.link.limit(in_all=LINK_BYTES_PER_SECOND)
        for _ in range(min(measuring.options.rounds, MAX_ROUNDS)):
            for case in cases:
                blob = measuring.scene.upstream.push_blob(measuring.options.size)
                for contender in linked.measuring.turn():
                    _Case(linked, case, blob).measure(contender)
