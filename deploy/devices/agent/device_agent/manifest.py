"""What a manifest says, and whether it, its config and its layers hang together. Pure."""

from collections.abc import Mapping
from enum import Enum
from typing import Final

from attrs import frozen

from device_agent.descriptor import (
    Descriptor,
    read_descriptor,
    read_digest,
    read_document,
    read_object,
)
from device_agent.device_platform import Platform
from device_agent.errors import RefusedError

OCI_MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
DOCKER_MANIFEST: Final = "application/vnd.docker.distribution.manifest.v2+json"
MANIFEST_TYPES: Final = (OCI_MANIFEST, DOCKER_MANIFEST)
IMAGE_CONFIGS: Final = (
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.docker.container.image.v1+json",
)
MAX_MANIFEST_BYTES: Final = 4 * 1024 * 1024  # what registries and the facade take
MAX_CONFIG_BYTES: Final = 4 * 1024 * 1024  # it is read into memory
MAX_LAYERS: Final = 512  # overlayfs ends at 500 lower folders


class Packing(Enum):
    """How a layer's tar is packed."""

    PLAIN = "tar"
    GZIP = "tar+gzip"
    ZSTD = "tar+zstd"


LAYERS: Final[Mapping[str, Packing]] = {
    "application/vnd.oci.image.layer.v1.tar": Packing.PLAIN,
    "application/vnd.oci.image.layer.v1.tar+gzip": Packing.GZIP,
    "application/vnd.docker.image.rootfs.diff.tar.gzip": Packing.GZIP,
    "application/vnd.oci.image.layer.v1.tar+zstd": Packing.ZSTD,
}


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
    document = read_document(content, media_type, "the manifest")
    if "manifests" in document:  # CVE-2021-41190: one document, read as two kinds
        raise RefusedError("the manifest is an index as well: it could be read as either")
    layers = document.get("layers")
    if not isinstance(layers, list) or not 0 < len(layers) <= MAX_LAYERS:
        raise RefusedError(f"the manifest has no layers, or more than {MAX_LAYERS}")
    return Manifest(
        read_descriptor(document.get("config"), MAX_CONFIG_BYTES),
        tuple(read_descriptor(each, max_blob_bytes) for each in layers),
    )


def expect_model(manifest: Manifest) -> Descriptor:
    """Return the one file of a model; RefusedError if it is anything else."""
    if len(manifest.layers) != 1:
        raise RefusedError(f"a model is one layer, and this has {len(manifest.layers)}")
    if manifest.config.media_type in IMAGE_CONFIGS:
        raise RefusedError("this is a container's image, and the slot is a model's")
    return manifest.layers[0]


def diff_ids_of(manifest: Manifest, config: bytes, platform: Platform) -> tuple[str, ...]:
    """Return the digest of each layer's content; RefusedError if the config is another image's.

    `platform` is this device's.
    """
    if manifest.config.media_type not in IMAGE_CONFIGS:
        raise RefusedError(f"the slot is a container's, and {manifest.config.media_type} is none")
    document = read_object(config, "the image's config")
    if platform.rank(document) is None:
        said = [document.get(name) for name in ("os", "architecture", "variant")]
        raise RefusedError(f"the image is for {said}, and this device is {platform}")
    match document.get("rootfs"):
        case {"type": "layers", "diff_ids": [*listed]} if len(listed) == len(manifest.layers):
            return tuple(read_digest(each) for each in listed)
        case _:
            raise RefusedError("the image's config does not name the manifest's layers")


def packing_of(layer: Descriptor) -> Packing:
    """Return how a layer is packed; RefusedError if this agent cannot look into it."""
    packing = LAYERS.get(layer.media_type)
    if packing is None:
        known = ", ".join(each.value for each in Packing)
        raise RefusedError(f"a layer is {layer.media_type[:80]}: this agent reads {known}")
    return packing
