"""Manifests that are asked again and again, kept in memory: verified bytes by their digest.

It holds bytes only. Whether a device may have them is decided before, each time, by `RightToRead`.
A device cannot fill it with anything that no registry gave, and no entry has an end.
"""

from typing import Final

from shared.bounded_map import BoundedMap
from shared.oci import Digest

HOT_BYTES: Final = 16 * 1024 * 1024  # some thousand manifests of one process
# That each takes besides its content: its digest, and its place. Or a registry's smallest manifests
# would take ten times as much as they may.
ENTRY_BYTES: Final = 640


def hot_manifests(max_bytes: int = HOT_BYTES) -> BoundedMap[Digest, bytes]:
    """Return a memory of verified bytes, which keeps those that were used last."""
    return BoundedMap(max_bytes, size_of=lambda _, content: len(content) + ENTRY_BYTES)
