"""What all measures have in common."""

import itertools
import os
from collections.abc import Iterator

from attrs import define, field, frozen

from tests.bench.contenders.contender import Contender
from tests.bench.content import Content
from tests.bench.figures import FLEETS, WORKERS
from tests.bench.generators import Run
from tests.bench.load.jobs import Asked, StreamsJob
from tests.bench.observations import Observations
from tests.bench.scene import Scene

MIB = 1024**2
GIB = 1024**3

# A core is left to the server. One generator, which does without threads, fills a core, and two
# at most are wanted: a server of the benchmark has one core.
GENERATORS = max(1, min(2, len(os.sched_getaffinity(0)) - 1))


@frozen
class Options:
    """What whoever measures may choose."""

    rounds: int = 3
    size: int = 256 * MIB  # of the blob that is pulled
    only: tuple[str, ...] = ()  # measures; none: all
    workers: tuple[int, ...] = WORKERS  # cases of `parallel`
    fleets: tuple[int, ...] = FLEETS[1:]  # devices of `storm`


@define
class Measuring:
    """The scene, and what was seen on it so far."""

    scene: Scene
    options: Options
    observations: Observations
    _turns: Iterator[int] = field(factory=itertools.count)

    def turn(self) -> Iterator[Contender]:
        """Give every server once; another one begins each time."""
        contenders = self.scene.contenders
        begin = next(self._turns) % len(contenders)
        yield from contenders[begin:] + contenders[:begin]

    def turns(self) -> Iterator[Contender]:
        """Give every server once in each round."""
        for _ in range(self.options.rounds):
            yield from self.turn()

    def pull(
        self,
        contender: Contender,
        blob: Content,
        devices: int,
        *,
        is_hashed: bool = False,
        generators: int = GENERATORS,
    ) -> Run:
        """Let devices pull a blob at once; each must get all of it.

        With `is_hashed`, the first device of each generator hashes what it gets.
        """
        target, asked = self.scene.target(contender), asked_of(contender, blob)
        jobs = [
            StreamsJob(target, group, asked, is_hashed=is_hashed)
            for group in self.scene.devices.groups(devices, generators)
        ]
        return self.scene.generators.run(contender, jobs)

    def pull_and_verify(self, contender: Contender, content: Content) -> None:
        """Let one device pull, and hash what it gets. Fetches what the server has not."""
        self.pull(contender, content, 1, is_hashed=True)


def asked_of(contender: Contender, content: Content) -> Asked:
    """Return how a device asks a server for a content."""
    return Asked(contender.path(content), content.length, content.sha256)
