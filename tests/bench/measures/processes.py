"""One facade, and two on the same address with the same store."""

from attrs import evolve

from tests.bench.contenders.contender import Contender
from tests.bench.content import Content
from tests.bench.measures.manifests import ask
from tests.bench.measures.measure import GIB, MIB, Measuring

DEVICES = 16  # the kernel deals connections out by a hash: few may all fall to one


def measure(measuring: Measuring) -> None:
    """Pull a warm blob, and ask for a manifest, from one process and from two."""
    scene = measuring.scene
    blob = scene.upstream.push_blob(measuring.options.size)
    manifest, _ = scene.upstream.push_image([MIB])
    one = scene.contenders[0]
    measuring.pull_and_verify(one, blob)
    for _ in range(measuring.options.rounds):
        alone = _rates(measuring, one, blob, manifest)
        with scene.facades.another() as second:
            two = evolve(one, children=(*one.children, second))
            together = _rates(measuring, two, blob, manifest)
        for name, before, after in zip(("", "_manifests"), alone, together, strict=True):
            measuring.observations.add(f"processes.one{name}", one.name, before)
            measuring.observations.add(f"processes.two{name}", one.name, after)
            measuring.observations.add(f"processes.gain{name}", one.name, after / before)


def _rates(
    measuring: Measuring, contender: Contender, blob: Content, manifest: Content
) -> tuple[float, float]:
    """Return GiB of blobs, and manifests, each second."""
    pulled = measuring.pull(contender, blob, DEVICES)
    asked = ask(measuring, contender, manifest)
    return pulled.count * blob.length / GIB / pulled.seconds, asked.count / asked.seconds
