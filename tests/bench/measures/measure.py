"""What all measures have in common."""

from collections.abc import Iterator

from attrs import define, frozen

from tests.bench.contenders.contender import Contender
from tests.bench.content import Content
from tests.bench.generators import Run
from tests.bench.load.jobs import Asked, StreamsJob
from tests.bench.observations import Observations
from tests.bench.scene import Scene

MIB = 1024**2
GIB = 1024**3


@frozen
class Options:
    """What whoever measures may choose."""

    rounds: int = 3
    size: int = 256 * MIB  # of the blob that is pulled
    only: tuple[str, ...] = ()  # measures; none: all


@define
class Measuring:
    """The scene, and what was seen on it so far."""

    scene: Scene
    options: Options
    observations: Observations

    def turns(self, rounds: int | None = None) -> Iterator[Contender]:
        """Give every server once in each round; another one begins each time."""
        contenders = self.scene.contenders
        for number in range(rounds or self.options.rounds):
            begin = number % len(contenders)
            yield from contenders[begin:] + contenders[:begin]

    def pull(self, contender: Contender, blob: Content, generators: int, devices_each: int) -> Run:
        """Let devices pull a blob at once; each must get all of it."""
        devices = self.scene.devices.first(generators * devices_each)
        asked = asked_of(contender, blob)
        jobs = [
            StreamsJob(self.scene.target(contender), devices[start : start + devices_each], asked)
            for start in range(0, len(devices), devices_each)
        ]
        return self.scene.generators.run(contender, jobs)

    def pull_and_verify(self, contender: Contender, content: Content) -> None:
        """Let one device pull, and hash what it gets. Fetches what the server has not."""
        job = StreamsJob(
            self.scene.target(contender),
            self.scene.devices.first(1),
            asked_of(contender, content),
            is_hashed=True,
        )
        self.scene.generators.run(contender, [job])


def asked_of(contender: Contender, content: Content) -> Asked:
    """Return how a device asks a server for a content."""
    return Asked(contender.path(content), content.length, content.sha256)
