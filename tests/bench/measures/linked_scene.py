"""The same servers behind a link: the facade, nginx, nginx with slices, and distribution."""

from collections.abc import Iterator
from contextlib import contextmanager

from attrs import evolve, frozen

from tests.bench.contenders.distribution import distribution
from tests.bench.contenders.facade import before
from tests.bench.contenders.nginx import SLICE_BYTES, nginx, sliced
from tests.bench.link import Link, link
from tests.bench.measures.measure import Measuring
from tests.bench.upstream import AUTHORIZATION, PASSWORD, USERNAME


@frozen
class LinkedMeasuring:
    """A measure's scene in which the registry stands behind a link."""

    measuring: Measuring
    link: Link


@contextmanager
def behind_link(
    measuring: Measuring, name: str, *, slice_bytes: int = SLICE_BYTES
) -> Iterator[LinkedMeasuring]:
    """Run servers that ask the registry through a link. The facade goes on as it is."""
    scene = measuring.scene
    folder = scene.folder / name
    folder.mkdir()
    with link(folder / "link", scene.upstream.registry.port) as slow:
        scene.facades.approve(slow.host)
        with (
            nginx(
                folder / "nginx",
                upstream=slow.host,
                authorization=AUTHORIZATION,
                server=scene.server,
                device_ca=scene.device_ca,
                slice_bytes=slice_bytes,
            ) as plain,
            distribution(
                folder / "distribution",
                upstream_url=f"http://{USERNAME}:{PASSWORD}@{slow.host}",
                server=scene.server,
                device_ca=scene.device_ca,
            ) as go,
        ):
            contenders = (before(scene.facades, slow.host), plain, sliced(plain), go)
            yield LinkedMeasuring(
                evolve(measuring, scene=evolve(scene, contenders=contenders)), slow
            )
