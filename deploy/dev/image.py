"""Real OCI images, made from scratch, and pushed as any client would push them.

The same input makes the same bytes and so the same digests. A big artifact is made while it is
pushed, in pieces, with constant memory.
"""

import gzip
import hashlib
import io
import platform
import random
import ssl
import tarfile
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import aiohttp
import orjson
from attrs import evolve, field, frozen

from deploy.dev import debian

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
PLAIN_LAYER = "application/vnd.oci.image.layer.v1.tar"
EMPTY = "application/vnd.oci.empty.v1+json"
MODEL = "application/octet-stream"

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}  # uname's word to the OCI's
PIECE_BYTES = 1024 * 1024


class PushError(Exception):
    """The registry refused a push; the message bears its answer."""


@frozen
class Content:
    """Bytes with their media type; the digest follows from them."""

    media_type: str
    body: bytes = field(repr=False)

    @property
    def digest(self) -> str:
        """`sha256:<hex>`."""
        return f"sha256:{hashlib.sha256(self.body).hexdigest()}"

    @property
    def descriptor(self) -> dict[str, Any]:
        """Its descriptor in a manifest."""
        return {"mediaType": self.media_type, "digest": self.digest, "size": len(self.body)}


@frozen
class Image:
    """A manifest with its config and layers."""

    manifest: Content
    config: Content
    layers: tuple[Content, ...]
    architecture: str = "amd64"

    @property
    def digest(self) -> str:
        """The manifest's digest: what a device pulls."""
        return self.manifest.digest

    @property
    def blobs(self) -> tuple[Content, ...]:
        """Config and layers."""
        return (self.config, *self.layers)


@frozen
class ImageIndex:
    """An index over images of several platforms."""

    manifest: Content
    images: tuple[Image, ...]

    @property
    def digest(self) -> str:
        """The index's digest: what a device pulls."""
        return self.manifest.digest


@frozen
class Destination:
    """A repository to push to. `headers` bear the credential; `tls` the trust in its CA."""

    registry_url: str
    repository: str
    headers: Mapping[str, str] = field(factory=dict, repr=False)
    tls: ssl.SSLContext | None = None

    @property
    def url(self) -> str:
        """Where its manifests and blobs are."""
        return f"{self.registry_url}/v2/{self.repository}"


def busybox_image() -> Image:
    """A small image that runs: Debian's static busybox and `/bin/sh`."""
    busybox = debian.program("busybox", "busybox-static").read_bytes()
    return make_image({"bin/busybox": busybox}, links={"bin/sh": "busybox"}, command=["/bin/sh"])


def make_image(
    files: Mapping[str, bytes],
    *,
    links: Mapping[str, str] | None = None,
    command: Sequence[str] = (),
    architecture: str | None = None,
) -> Image:
    """An image of one layer with `files` (mode 0755) and symbolic `links`."""
    tar = _tar(files, links or {})
    layer = Content(LAYER, gzip.compress(tar, mtime=0))
    return _image_of(tar, layer, command, architecture)


def image_of_tar(tar: bytes, *, command: Sequence[str] = ()) -> Image:
    """An image of one layer that is this tar, as it is."""
    return _image_of(tar, Content(PLAIN_LAYER, tar), command, None)


def _image_of(
    tar: bytes, layer: Content, command: Sequence[str], architecture: str | None
) -> Image:
    architecture = architecture or ARCHITECTURES[platform.machine()]
    configuration = {
        "architecture": architecture,
        "os": "linux",
        "config": {"Cmd": list(command)},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(tar).hexdigest()}"]},
        "history": [{"created": "1970-01-01T00:00:00Z", "created_by": "deploy/dev/image.py"}],
    }
    config = Content(CONFIG, orjson.dumps(configuration))
    manifest = _manifest(config.descriptor, [layer.descriptor])
    return Image(manifest, config, (layer,), architecture)


def with_layer(image: Image, layer: Content) -> Image:
    """The image with this one layer in the place of its own; the config stays as it is."""
    manifest = _manifest(image.config.descriptor, [layer.descriptor])
    return evolve(image, manifest=manifest, layers=(layer,))


def make_index(images: Sequence[Image]) -> ImageIndex:
    """An index with one entry for each image, by its architecture."""
    entries = [
        {
            **image.manifest.descriptor,
            "platform": {"architecture": image.architecture, "os": "linux"},
        }
        for image in images
    ]
    document = {"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}
    return ImageIndex(Content(INDEX, orjson.dumps(document)), tuple(images))


async def push(image: Image | ImageIndex, to: Destination, *, tag: str | None = None) -> str:
    """Push with all it refers to; the digest. `tag` is set too."""
    async with aiohttp.ClientSession(headers=to.headers) as session:
        for part in image.images if isinstance(image, ImageIndex) else [image]:
            for blob in part.blobs:
                await _push_blob(session, to, blob)
            await _push_manifest(session, to, part.manifest, part.digest)
        await _push_manifest(session, to, image.manifest, tag or image.digest)
    return image.digest


async def push_big_artifact(to: Destination, size: int, *, seed: int = 0) -> Image:
    """Push a model-like artifact with one layer of `size` pseudo-random bytes.

    The layer is never in memory, and `layers` of the answer is empty: its descriptor is in the
    manifest.
    """
    async with aiohttp.ClientSession(headers=to.headers) as session:
        layer = await _push_stream(session, to, size, seed)
        config = Content(EMPTY, b"{}")
        manifest = _manifest(config.descriptor, [layer])
        await _push_blob(session, to, config)
        await _push_manifest(session, to, manifest, manifest.digest)
    return Image(manifest, config, ())


def _tar(files: Mapping[str, bytes], links: Mapping[str, str]) -> bytes:
    """A tar that depends neither on this machine nor on the time."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, body in sorted(files.items()):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(body), 0o755
            archive.addfile(entry, io.BytesIO(body))
        for name, target in sorted(links.items()):
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            archive.addfile(entry)
    return buffer.getvalue()


def _manifest(config: dict[str, Any], layers: Sequence[dict[str, Any]]) -> Content:
    document = {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers}
    return Content(MANIFEST, orjson.dumps(document))


async def _push_blob(session: aiohttp.ClientSession, to: Destination, blob: Content) -> None:
    location = await _open_upload(session, to)
    await _close_upload(session, to, location, blob.digest, blob.body)


async def _push_stream(
    session: aiohttp.ClientSession, to: Destination, size: int, seed: int
) -> dict[str, Any]:
    """Upload in one PATCH while hashing; the layer's descriptor."""
    sha256 = hashlib.sha256()

    async def pieces() -> AsyncIterator[bytes]:
        source = random.Random(seed)  # noqa: S311 the same seed makes the same bytes
        for start in range(0, size, PIECE_BYTES):
            piece = source.randbytes(min(PIECE_BYTES, size - start))
            sha256.update(piece)
            yield piece

    location = await _open_upload(session, to)
    headers = {"Content-Type": "application/octet-stream"}
    async with session.patch(location, data=pieces(), headers=headers, ssl=_tls(to)) as answer:
        await _expect(answer, 202)
        location = answer.headers["Location"]
    digest = f"sha256:{sha256.hexdigest()}"
    await _close_upload(session, to, location, digest, b"")
    return {"mediaType": MODEL, "digest": digest, "size": size}


async def _open_upload(session: aiohttp.ClientSession, to: Destination) -> str:
    async with session.post(f"{to.url}/blobs/uploads/", ssl=_tls(to)) as answer:
        await _expect(answer, 202)
        return answer.headers["Location"]


async def _close_upload(
    session: aiohttp.ClientSession, to: Destination, location: str, digest: str, body: bytes
) -> None:
    joint = "&" if "?" in location else "?"
    url = f"{location}{joint}digest={digest}"
    headers = {"Content-Type": "application/octet-stream"}
    async with session.put(url, data=body, headers=headers, ssl=_tls(to)) as answer:
        await _expect(answer, 201)


async def _push_manifest(
    session: aiohttp.ClientSession, to: Destination, manifest: Content, reference: str
) -> None:
    url = f"{to.url}/manifests/{reference}"
    headers = {"Content-Type": manifest.media_type}
    async with session.put(url, data=manifest.body, headers=headers, ssl=_tls(to)) as answer:
        await _expect(answer, 201)


async def _expect(answer: aiohttp.ClientResponse, status: int) -> None:
    if answer.status != status:
        raise PushError(f"{answer.method} {answer.url.path}: {answer.status} {await answer.text()}")


def _tls(to: Destination) -> ssl.SSLContext | bool:
    return to.tls or True
