"""A device that pulls by digest over mTLS, and believes nothing that it has not hashed itself."""

import asyncio
import hashlib
import platform
import ssl
from typing import Any

import aiohttp
import orjson
from attrs import frozen

from deploy.dev.image import ARCHITECTURES

MANIFEST_TYPES = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
PIECE_BYTES = 256 * 1024
APPROVAL_SECONDS = 10  # an approval is served within one second; slow machines are given more
RETRY_SECONDS = 0.2


class PullError(Exception):
    """The image did not arrive, or was not what its digest says."""


@frozen
class Reference:
    """`host/repository@digest`, as people write it."""

    host: str
    repository: str
    digest: str

    @classmethod
    def parse(cls, text: str) -> "Reference":
        """ValueError unless it names a host, a repository and a digest."""
        name, at, digest = text.partition("@")
        host, slash, repository = name.partition("/")
        if not (at and slash and host and repository and digest.startswith("sha256:")):
            raise ValueError(f"not of the form host/repository@sha256:<hex>: {text}")
        return cls(host, repository, digest)

    @property
    def facade_path(self) -> str:
        """The path of this repository at the facade: a port is written with `_`, not `:`."""
        return f"{self.host.replace(':', '_')}/{self.repository}"


@frozen
class Pulled:
    """What arrived, every byte of it verified."""

    manifests: int
    blobs: int
    size: int


async def pull(facade_url: str, image: Reference, tls: ssl.SSLContext) -> Pulled:
    """Pull manifest, config and layers (of an index: for this machine); PullError otherwise."""
    base = f"{facade_url}/v2/{image.facade_path}"
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=tls)) as session:
        document, size = await _first_manifest(session, base, image.digest)
        manifests = 1
        if "manifests" in document:
            document, more = await _manifest(session, base, _for_this_machine(document))
            manifests, size = 2, size + more
        blobs = [document["config"], *document["layers"]]
        for blob in blobs:
            size += await _blob(session, base, blob)
    return Pulled(manifests, len(blobs), size)


async def _first_manifest(
    session: aiohttp.ClientSession, base: str, digest: str
) -> tuple[dict[str, Any], int]:
    """A facade that has not heard of the approval yet knows no such name: ask for a moment."""
    deadline = asyncio.get_running_loop().time() + APPROVAL_SECONDS
    while True:
        try:
            return await _manifest(session, base, digest)
        except PullError:
            if asyncio.get_running_loop().time() > deadline:
                raise
        await asyncio.sleep(RETRY_SECONDS)


async def _manifest(
    session: aiohttp.ClientSession, base: str, digest: str
) -> tuple[dict[str, Any], int]:
    accept = {"Accept": ", ".join(MANIFEST_TYPES)}
    async with session.get(f"{base}/manifests/{digest}", headers=accept) as answer:
        body = await answer.read()
        if answer.status != 200:  # noqa: PLR2004 HTTP's OK
            raise PullError(f"manifest {digest}: {answer.status} {body.decode(errors='replace')}")
    if hashlib.sha256(body).hexdigest() != digest.removeprefix("sha256:"):
        raise PullError(f"manifest {digest}: other bytes came")
    document: dict[str, Any] = orjson.loads(body)
    return document, len(body)


def _for_this_machine(index: dict[str, Any]) -> str:
    architecture = ARCHITECTURES[platform.machine()]
    for entry in index["manifests"]:
        target = entry.get("platform", {})
        if (target.get("os"), target.get("architecture")) == ("linux", architecture):
            return str(entry["digest"])
    raise PullError(f"the index has nothing for linux/{architecture}")


async def _blob(session: aiohttp.ClientSession, base: str, descriptor: dict[str, Any]) -> int:
    digest, size = descriptor["digest"], 0
    sha256 = hashlib.sha256()
    async with session.get(f"{base}/blobs/{digest}") as answer:
        if answer.status != 200:  # noqa: PLR2004 HTTP's OK
            raise PullError(f"blob {digest}: {answer.status} {await answer.text()}")
        async for piece in answer.content.iter_chunked(PIECE_BYTES):
            sha256.update(piece)
            size += len(piece)
    if size != descriptor["size"] or f"sha256:{sha256.hexdigest()}" != digest:
        raise PullError(f"blob {digest}: other bytes came")
    return size
