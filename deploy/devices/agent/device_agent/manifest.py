"""What a manifest says, and whether it, its config and its layers hang together. Pure.

Only what the signed digest stands for comes here. It is checked all the same: a key's owner may
have signed a manifest that means another thing to another reader.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

from attrs import frozen

from device_agent.errors import RefusedError
from device_agent.grammar import hex_of

OCI_MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
DOCKER_MANIFEST: Final = "application/vnd.docker.distribution.manifest.v2+json"
MANIFEST_TYPES: Final = (OCI_MANIFEST, DOCKER_MANIFEST)
IMAGE_CONFIGS: Final = (
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.docker.container.image.v1+json",
)
PLAIN_LAYERS: Final = ("application/vnd.oci.image.layer.v1.tar",)
GZIP_LAYERS: Final = (
    "application/vnd.oci.image.layer.v1.tar+gzip",
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
)
MAX_MANIFEST_BYTES: Final = 4 * 1024 * 1024  # what registries and the facade take
MAX_CONFIG_BYTES: Final = 4 * 1024 * 1024  # it is read into memory
MAX_LAYERS: Final = 512  # overlayfs ends at 500 lower folders
ARCHITECTURES: Final = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm"}  # uname's to OCI's


@frozen
class Descriptor:
    """A blob that a manifest names: its digest, its bytes, its media type."""

    digest: str
    size: int
    media_type: str


@frozen
class Manifest:
    """A config and layers."""

    config: Descriptor
    layers: tuple[Descriptor, ...]

    @property
    def blobs(self) -> tuple[Descriptor, ...]:
        """Config and layers, each once."""
        return tuple(dict.fromkeys((self.config, *self.layers)))


def read_manifest(content: bytes, media_type: str, max_blob_bytes: int) -> Manifest:
    """Return what a manifest says; RefusedError unless it is an image manifest of this type."""
    document = _object(content, "the manifest")
    if document.get("schemaVersion") != 2 or document.get("mediaType", media_type) != media_type:  # noqa: PLR2004 the OCI's
        raise RefusedError(f"the manifest is not of the type that was signed, {media_type}")
    if "manifests" in document:  # CVE-2021-41190: one document, read as two kinds
        raise RefusedError("the manifest is an index as well: it could be read as either")
    layers = document.get("layers")
    if not isinstance(layers, list) or not 0 < len(layers) <= MAX_LAYERS:
        raise RefusedError(f"the manifest has no layers, or more than {MAX_LAYERS}")
    return Manifest(
        _descriptor(document.get("config"), MAX_CONFIG_BYTES),
        tuple(_descriptor(each, max_blob_bytes) for each in layers),
    )


def expect_model(manifest: Manifest) -> Descriptor:
    """Return the one file of a model; RefusedError if it is anything else."""
    if len(manifest.layers) != 1:
        raise RefusedError(f"a model is one layer, and this has {len(manifest.layers)}")
    if manifest.config.media_type in IMAGE_CONFIGS:
        raise RefusedError("this is a container's image, and the slot is a model's")
    return manifest.layers[0]


def diff_ids_of(manifest: Manifest, config: bytes, machine: str) -> tuple[str, ...]:
    """Return the digest of each layer's content; RefusedError if the config is another image's.

    `machine` is this device's, in uname's words.
    """
    if manifest.config.media_type not in IMAGE_CONFIGS:
        raise RefusedError(f"the slot is a container's, and {manifest.config.media_type} is none")
    document = _object(config, "the image's config")
    wanted = ("linux", ARCHITECTURES.get(machine, machine))
    platform = (document.get("os"), document.get("architecture"))
    if platform != wanted:
        raise RefusedError(f"the image is for {platform}, and this device is {wanted}")
    match document.get("rootfs"):
        case {"type": "layers", "diff_ids": [*listed]} if len(listed) == len(manifest.layers):
            return tuple(_digest(each) for each in listed)
        case _:
            raise RefusedError("the image's config does not name the manifest's layers")


def expect_readable_layer(layer: Descriptor) -> bool:
    """Tell whether a layer is compressed; RefusedError if this agent cannot look into it."""
    if layer.media_type in GZIP_LAYERS:
        return True
    if layer.media_type in PLAIN_LAYERS:
        return False
    raise RefusedError(f"a layer is {layer.media_type[:80]}: this agent reads tar and tar+gzip")


def _descriptor(value: Any, limit: int) -> Descriptor:
    match value:
        case {"digest": str(digest), "size": int(size), "mediaType": str(media_type)}:
            if isinstance(size, bool) or not 0 <= size <= limit:
                raise RefusedError(f"a blob of the manifest has {size} bytes: {limit} are allowed")
            return Descriptor(_digest(digest), size, media_type)
        case _:
            raise RefusedError("the manifest has a descriptor that is none")


def _digest(value: object) -> str:
    try:
        return f"sha256:{hex_of(str(value))}"
    except ValueError as error:
        raise RefusedError(str(error)) from error


def _object(content: bytes, what: str) -> Mapping[str, Any]:
    try:
        document = json.loads(content, object_pairs_hook=_without_repetition)
    except (ValueError, RecursionError) as error:
        raise RefusedError(f"{what} is not JSON of one meaning") from error
    if not isinstance(document, dict):
        raise RefusedError(f"{what} is no object")
    return document


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse a name that is there twice: readers differ on which one counts."""
    if len({name for name, _ in pairs}) != len(pairs):
        raise ValueError("a name twice")
    return dict(pairs)
