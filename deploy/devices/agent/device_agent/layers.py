"""What is in a layer is what the image's config says: read through, in flat memory."""

import hashlib
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from device_agent.errors import RefusedError

READ_BYTES: Final = 256 * 1024
UNPACK_BYTES: Final = 1024 * 1024  # of output at once: a bomb's output is looked at piece by piece
_GZIP: Final = 16 + zlib.MAX_WBITS  # zlib's word for gzip with its header


def unpacked_digest(path: Path, *, compressed: bool, limit: int) -> tuple[str, int]:
    """Return digest and bytes of a layer's content; RefusedError beyond `limit` bytes."""
    sha256, size = hashlib.sha256(), 0
    for piece in _unpacked(path) if compressed else _read(path):
        size += len(piece)
        if size > limit:
            raise RefusedError(f"a layer unpacks to more than {limit} bytes")
        sha256.update(piece)
    return f"sha256:{sha256.hexdigest()}", size


def _read(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(READ_BYTES):
            yield piece


def _unpacked(path: Path) -> Iterator[bytes]:
    """Give the content of every gzip member (RFC 1952 section 2.2); RefusedError if one is none."""
    unpacker = zlib.decompressobj(_GZIP)
    try:
        for packed in _read(path):
            rest = packed
            while rest:
                if unpacker.eof:
                    unpacker = zlib.decompressobj(_GZIP)
                yield unpacker.decompress(rest, UNPACK_BYTES)
                rest = unpacker.unused_data if unpacker.eof else unpacker.unconsumed_tail
    except zlib.error as error:
        raise RefusedError("a layer is no gzip") from error
    if not unpacker.eof:
        raise RefusedError("a layer's gzip ends early")
