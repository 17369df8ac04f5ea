"""A real registry dies, freezes, is cut off or crawls: devices get right bytes in the end."""

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

import pytest
from attrs import frozen

from deploy.dev.image import Content, Destination, Image, make_image, push
from deploy.dev.registry import Registry
from tests.faults.report import FaultReport
from tests.support.eventually import eventually
from tests.support.facade_process import Facade
from tests.support.facade_states import connect, pull_path, write_and_wait
from tests.support.retrying_device import Pull, RetryingDevice
from tests.support.simulators.registry import RegistrySimulator
from tests.support.statement_writer import StatementWriter
from tests.support.tcp_proxy import TcpProxy

LAYER_BYTES: Final = 960 * 1024
LINK_BYTES_PER_SECOND: Final = 480 * 1024  # so that two seconds are there to break it in
OUTAGE_SECONDS: Final = 1.5
DEVICES: Final = 3
OTHERS: Final = 20
REPOSITORY: Final = "models/detector"

_random = random.Random(8)  # noqa: S311 - any bytes will do


@pytest.fixture(scope="module")
def facade_settings(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """The module's facade keeps what it fetches."""
    cache = tmp_path_factory.mktemp("cache")
    return {"FACADE_CACHE_DIR": str(cache), "FACADE_CACHE_MAX_BYTES": "1GiB"}


@pytest.fixture(scope="module")
def mortal_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A real registry that these tests kill and freeze."""
    with Registry(tmp_path_factory.mktemp("mortal-registry")) as started:
        yield started


@frozen
class Far:
    """A registry at the end of a slow link, with a connection to it that is approved."""

    registry: Registry
    link: TcpProxy
    facade: Facade

    async def image(self) -> Image:
        """Push an image that nobody has pulled."""
        image = make_image({"model": _random.randbytes(LAYER_BYTES)})
        await push(image, Destination(self.registry.url, REPOSITORY))
        return image

    def path(self, content: Content, kind: str = "blobs") -> str:
        """Return where a device asks for a content."""
        return f"/v2/127.0.0.1_{self.link.port}/{REPOSITORY}/{kind}/{content.digest}"

    @contextlib.asynccontextmanager
    async def pulling(self, layer: Content) -> AsyncIterator[list[asyncio.Task[Pull]]]:
        """Have devices pull, each to the right end; give their pulls once bytes have come."""
        devices = [RetryingDevice(self.facade.device()) for _ in range(DEVICES)]
        pulls = [
            asyncio.create_task(device.pull(self.path(layer), layer.digest)) for device in devices
        ]
        try:
            await eventually(lambda: all(device.received for device in devices), seconds=30)
            yield pulls
        finally:
            for pull in pulls:
                pull.cancel()
            await asyncio.wait(pulls)


@pytest.fixture
async def far(
    facade: Facade, writer: StatementWriter, mortal_registry: Registry
) -> AsyncIterator[Far]:
    """The registry, well, behind a link of the test's own."""
    with TcpProxy(mortal_registry.port, bytes_per_second=LINK_BYTES_PER_SECOND) as link:
        approval = writer.approval(f"127.0.0.1:{link.port}", plain_http=True)
        await write_and_wait(facade, writer, approval)
        yield Far(mortal_registry, link, facade)
    if mortal_registry.child.running:
        mortal_registry.child.resume()
    else:
        mortal_registry.start()


Fault = Callable[[Far], Awaitable[None]]


async def is_killed(far: Far) -> None:
    """SIGKILL, and another one after a while."""
    far.registry.child.kill()
    await asyncio.sleep(OUTAGE_SECONDS)
    far.registry.start()


async def is_frozen(far: Far) -> None:
    """SIGSTOP, SIGCONT."""
    far.registry.child.pause()
    await asyncio.sleep(OUTAGE_SECONDS)
    far.registry.child.resume()


async def has_its_links_reset(far: Far) -> None:
    """RST."""
    far.link.reset()


async def is_cut_off(far: Far) -> None:
    """Nothing passes for a while, and nobody is told."""
    far.link.hold()
    await asyncio.sleep(OUTAGE_SECONDS)
    far.link.release()


async def is_half_open(far: Far) -> None:
    """A firewall forgot the links that are open: they stay open, and silent for ever."""
    far.link.forget()


async def crawls(far: Far) -> None:
    """One byte a second, for a while."""
    far.link.bytes_per_second = 1
    await asyncio.sleep(4 * OUTAGE_SECONDS)
    far.link.bytes_per_second = LINK_BYTES_PER_SECOND


FAULTS: Final[dict[str, Fault]] = {
    "registry killed": is_killed,
    "registry frozen": is_frozen,
    "link to the registry reset": has_its_links_reset,
    "partition from the registry": is_cut_off,
    "registry at 1 byte/s": crawls,
    "link to the registry half-open": is_half_open,
}
SHORT: Final = ("registry killed", "link to the registry reset")


@pytest.mark.parametrize(
    "name",
    [name if name in SHORT else pytest.param(name, marks=pytest.mark.long) for name in FAULTS],
)
async def test_a_fault_in_the_middle_of_a_pull(
    name: str, far: Far, fault_report: FaultReport
) -> None:
    """Three devices pull one blob; each has it in the end, and another one from the disk."""
    image = await far.image()
    (layer,) = image.layers
    async with far.pulling(layer) as pulls:
        began = time.monotonic()
        await FAULTS[name](far)
        done = await asyncio.gather(*pulls)
    seconds = time.monotonic() - began
    assert all(pull.content == layer.body for pull in done)
    again = await far.facade.device().get(far.path(layer))
    assert again.body == layer.body
    seen = sum((pull.seen for pull in done), start=done[0].seen.__class__())
    fault_report.row(
        f"{name}, in the middle of {DEVICES} pulls",
        ", ".join(f"{count} x {what}" for what, count in sorted(seen.items())),
        f"all whole and right {seconds:.1f} s after it began",
    )


async def test_a_registry_that_is_away(far: Far, fault_report: FaultReport) -> None:
    """What is stored is served; the rest is put off in words, and is there once it is back."""
    stored, new = await far.image(), await far.image()
    device = far.facade.device()
    for content, kind in ((stored.manifest, "manifests"), (stored.config, "blobs")):
        assert (await device.get(far.path(content, kind))).body == content.body
    await eventually_kept(far, stored)
    far.registry.child.kill()
    far.link.reset()
    for content, kind in ((stored.manifest, "manifests"), (stored.config, "blobs")):
        assert (await device.get(far.path(content, kind))).body == content.body
    away = await device.get(far.path(new.config))
    assert (away.status, away.error_code) == (503, "UNAVAILABLE")
    assert int(away.headers["Retry-After"]) > 0
    assert far.facade.operations("/readyz")[0] == 200  # it is the registry's trouble, not ours
    pulling = asyncio.create_task(
        RetryingDevice(device).pull(far.path(new.config), new.config.digest)
    )
    await asyncio.sleep(OUTAGE_SECONDS)
    far.registry.start()
    began = time.monotonic()
    pull = await pulling
    fault_report.row(
        "registry away, then back",
        f"what is stored: 200; the rest: {pull}",
        f"served {time.monotonic() - began:.1f} s behind it",
    )


@pytest.mark.long
async def test_a_crawling_registry_slows_nobody_elses_pulls(
    far: Far,
    facade: Facade,
    writer: StatementWriter,
    upstream: RegistrySimulator,
    fault_report: FaultReport,
) -> None:
    """Its devices wait; another registry's are served meanwhile."""
    image = await far.image()
    (layer,) = image.layers
    await connect(facade, writer, upstream)
    async with far.pulling(layer) as pulls:
        far.link.bytes_per_second = 1
        began = time.monotonic()
        for number in range(OTHERS):
            digest = upstream.blob(b"%d" % number + layer.body)
            await RetryingDevice(facade.device()).pull(pull_path(upstream, digest), digest)
        seconds = time.monotonic() - began
        assert not any(pull.done() for pull in pulls)
        far.link.bytes_per_second = LINK_BYTES_PER_SECOND
        await asyncio.gather(*pulls)
    fault_report.row(
        "one registry at 1 byte/s", f"of another one: {OTHERS} x 200", f"in {seconds:.1f} s"
    )


async def eventually_kept(far: Far, image: Image) -> None:
    """Return once the image's config is in the store."""
    cache = Path(far.facade.environment["FACADE_CACHE_DIR"])
    name = image.config.digest.partition(":")[2]
    await eventually(lambda: any(path.name == name for path in cache.rglob(name)))
