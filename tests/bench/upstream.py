"""The registry that stands behind every server, and how much each of them took from it."""

import asyncio
import itertools
import random
import re
import time
from collections.abc import Iterator, Sequence
from typing import Any

import aiohttp
import orjson
from attrs import define, field

from deploy.dev import image
from deploy.dev.registry import Registry
from tests.bench.content import Content

USERNAME = "robot"
PASSWORD = "robot-password"
AUTHORIZATION = aiohttp.encode_basic_auth(USERNAME, PASSWORD)
REPOSITORY = "team/app"
QUIET_SECONDS = 120.0  # some dozen blobs are still read then, by a server nobody waits for
LOOK_SECONDS = 0.1

_ANSWERED = re.compile(
    rb'msg="response completed".* http\.request\.uri="?/v2/(?P<path>\S+?)"? '
    rb".* http\.response\.written=(?P<written>[0-9]+)"
)


@define
class Upstream:
    """A running registry with Basic authentication."""

    registry: Registry
    _seeds: Iterator[int] = field(factory=itertools.count)

    @property
    def host(self) -> str:
        """`address:port`."""
        return self.registry.host

    @property
    def url_with_login(self) -> str:
        """Where it is, with user and password."""
        return f"http://{USERNAME}:{PASSWORD}@{self.registry.host}"

    def push_blob(self, size: int) -> Content:
        """Push a blob that is like no other."""
        artifact = asyncio.run(image.push_big_artifact(self._to, size, seed=next(self._seeds)))
        [layer] = orjson.loads(artifact.manifest.body)["layers"]
        return _blob(layer)

    def push_image(self, layer_sizes: Sequence[int]) -> tuple[Content, list[Content]]:
        """Push an image; return its manifest, and its config and layers."""
        source = random.Random(next(self._seeds))  # noqa: S311 the same seed makes the same bytes
        config = image.Content(image.CONFIG, orjson.dumps({"seed": source.random()}))
        layers = tuple(image.Content(image.LAYER, source.randbytes(size)) for size in layer_sizes)
        document = {
            "schemaVersion": 2,
            "mediaType": image.MANIFEST,
            "config": config.descriptor,
            "layers": [layer.descriptor for layer in layers],
        }
        manifest = image.Content(image.MANIFEST, orjson.dumps(document))
        asyncio.run(image.push(image.Image(manifest, config, layers), self._to))
        blobs = [_blob(each.descriptor) for each in (config, *layers)]
        return Content(REPOSITORY, "manifests", manifest.digest, len(manifest.body)), blobs

    @property
    def _to(self) -> image.Destination:
        return image.Destination(self.registry.url, REPOSITORY, {"Authorization": AUTHORIZATION})

    def mark(self) -> int:
        """Return the place in its log up to which it has answered, once it answers nobody.

        distribution reads on when its devices have everything: that is not the next server's.
        Raises `TimeoutError`.
        """
        deadline = time.monotonic() + QUIET_SECONDS
        while is_answering(log := self.registry.log.read_bytes()):
            if time.monotonic() > deadline:
                raise TimeoutError("the registry goes on answering somebody")
            time.sleep(LOOK_SECONDS)
        return len(log)

    def bytes_sent(self, content: Content, since: int) -> int:
        """Return how many bytes of a content it has sent since a mark."""
        with self.registry.log.open("rb") as log:
            log.seek(since)
            return sum(bytes_of(line, content) for line in log)


def is_answering(log: bytes) -> bool:
    """Tell whether somebody was let in who has not had the whole answer, by distribution's log."""
    return log.count(b'msg="authorized request"') > log.count(b'msg="response completed')


def bytes_of(log_line: bytes, content: Content) -> int:
    """Return how many bytes of a content an answer had, by its line in distribution's log."""
    found = _ANSWERED.search(log_line)
    if found is None or found["path"] != content.path.encode():
        return 0
    return int(found["written"])


def _blob(descriptor: dict[str, Any]) -> Content:
    return Content(REPOSITORY, "blobs", descriptor["digest"], descriptor["size"])
