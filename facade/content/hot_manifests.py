"""Manifests that are asked again and again, kept in memory: verified bytes by their digest.

It holds bytes only. Whether a device may have them is decided before, each time, by `RightToRead`.

This is no `BoundedMap`, because every warm pull asks it: a `BoundedMap` takes 0.3 µs for that, this
0.14 µs (docs/decisions/pulls.md). A device cannot fill it with anything that no registry gave, and
no entry has an end.
"""

from collections import OrderedDict
from typing import Final

from attrs import define, field

from shared.oci import Digest

HOT_BYTES: Final = 16 * 1024 * 1024  # some thousand manifests of one process
# That each takes besides its content: its digest, and its place. Or a registry's smallest manifests
# would take ten times as much as they may.
ENTRY_BYTES: Final = 512


@define(eq=False)
class HotManifests:
    """The most recently used manifests, within a number of bytes. Not thread-safe."""

    _max_bytes: int = HOT_BYTES
    _bytes: int = field(default=0, init=False)
    _contents: OrderedDict[Digest, bytes] = field(factory=OrderedDict, init=False)

    def get(self, digest: Digest) -> bytes | None:
        """Return the verified bytes of a digest, if they are here."""
        content = self._contents.get(digest)
        if content is not None:
            self._contents.move_to_end(digest)
        return content

    def keep(self, digest: Digest, content: bytes) -> None:
        """Keep verified bytes, in place of the least recently used ones."""
        if digest in self._contents or _taken(content) > self._max_bytes:
            return
        self._contents[digest] = content
        self._bytes += _taken(content)
        while self._bytes > self._max_bytes:
            _, least_used = self._contents.popitem(last=False)
            self._bytes -= _taken(least_used)


def _taken(content: bytes) -> int:
    return len(content) + ENTRY_BYTES
