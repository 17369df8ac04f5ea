"""One facade, and two on the same address with the same store."""

from attrs import evolve

from tests.bench.contenders.contender import Contender
from tests.bench.content import Content
from tests.bench.measures.manifests import ask
from tests.bench.measures.measure import GIB, MIB, Measuring

GENERATORS = 2
DEVICES_PER_GENERATOR = 8  # the kernel deals connections out by a hash: few may all fall to one


def measure(measuring: Measuring) -> None:
    """Pull a warm blob, and ask for a manifest, from one process and from two."""
    scene = measuring.scene
    blob = scene.upstream.push_blob(measuring.options.size)
    manifest, _ = scene.upstream.push_image([MIB])
    one = scene.contenders[0]
    measuring.pull_and_verify(one, blob)
    for _ in range(measuring.options.rounds):
        _observe(measuring, one, "one", blob, manifest)
        with scene.facades.another() as second:
            two = evolve(one, children=(*one.children, second))
            _observe(measuring, two, "two", blob, manifest)


def _observe(
    measuring: Measuring, contender: Contender, number: str, blob: Content, manifest: Content
) -> None:
    pulled = measuring.pull(contender, blob, GENERATORS, DEVICES_PER_GENERATOR)
    rate = pulled.count * blob.length / GIB / pulled.seconds
    measuring.observations.add(f"processes.{number}", contender.name, rate)
    asked = ask(measuring, contender, manifest)
    rate = asked.count / asked.seconds
    measuring.observations.add(f"processes.{number}_manifests", contender.name, rate)
