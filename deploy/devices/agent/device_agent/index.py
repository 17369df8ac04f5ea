"""An image index: which of the manifests that it names is for this device. Pure."""

from typing import Final

from device_agent.descriptor import Descriptor, read_descriptor, read_document
from device_agent.device_platform import Platform
from device_agent.errors import RefusedError
from device_agent.manifest import MANIFEST_TYPES, MAX_MANIFEST_BYTES

INDEX_TYPES: Final = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
MAX_INDEX_ENTRIES: Final = 1024  # a platform each, and its attestations: a hundred is much


def choose_manifest(content: bytes, media_type: str, platform: Platform) -> Descriptor:
    """Return the manifest for a platform; RefusedError if the index has none, or is none.

    Of several that fit as well the first counts (OCI image specification, image-index.md).
    """
    document = read_document(content, media_type, "the index")
    if "layers" in document or "config" in document:  # CVE-2021-41190
        raise RefusedError("the index is a manifest as well: it could be read as either")
    entries = document.get("manifests")
    if not isinstance(entries, list) or not 0 < len(entries) <= MAX_INDEX_ENTRIES:
        raise RefusedError(f"the index names no manifests, or more than {MAX_INDEX_ENTRIES}")
    ranked = [(_rank(each, platform), each) for each in entries]
    fitting = [(rank, each) for rank, each in ranked if rank is not None]
    if not fitting:
        raise RefusedError(f"the index names nothing for {platform}, which this device is")
    chosen = read_descriptor(min(fitting, key=lambda each: each[0])[1], MAX_MANIFEST_BYTES)
    if chosen.media_type not in MANIFEST_TYPES:
        raise RefusedError(f"the index names {chosen.media_type[:80]} for this device")
    return chosen


def _rank(entry: object, platform: Platform) -> int | None:
    match entry:
        case {"platform": said}:
            return platform.rank(said)
        case _:
            return None
