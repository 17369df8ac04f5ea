"""What is in a layer is what the image's config says: read through, in flat memory."""

import hashlib
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from device_agent.errors import RefusedError
from device_agent.manifest import Packing

if sys.version_info >= (3, 14):
    from compression.zstd import DecompressionParameter, ZstdDecompressor, ZstdError
else:
    from backports.zstd import DecompressionParameter, ZstdDecompressor, ZstdError

READ_BYTES: Final = 64 * 1024  # what is left of them behind a frame is copied for the next one
UNPACK_BYTES: Final = 1024 * 1024  # of output at once: a bomb's output is looked at piece by piece
# The window of a frame is memory. 8 MiB is what every decoder is to have (RFC 8878 section
# 3.1.1.1.2), and the most that the encoders ask for which build images.
MAX_WINDOW_LOG: Final = 23
# A frame of zstd takes 8 bytes at least and 10 us of a core, a member of gzip 20 bytes and 1 us:
# so 3 s, where 1 GiB of frames without content would take 20 minutes. Images for lazy pulling
# have one for each file, 4 MiB of it at most.
MAX_PARTS: Final = 250_000  # frames or members of a layer
_GZIP: Final = 16 + zlib.MAX_WBITS  # zlib's word for gzip with its header


def unpacked_digest(path: Path, packing: Packing, *, limit: int) -> tuple[str, int]:
    """Return digest and bytes of a layer's content; RefusedError beyond `limit` bytes."""
    sha256, size = hashlib.sha256(), 0
    for piece in _unpacked(path, packing):
        size += len(piece)
        if size > limit:
            raise RefusedError(f"a layer unpacks to more than {limit} bytes")
        sha256.update(piece)
    return f"sha256:{sha256.hexdigest()}", size


def _unpacked(path: Path, packing: Packing) -> Iterator[bytes]:
    match packing:
        case Packing.PLAIN:
            return _read(path)
        case Packing.GZIP:
            return _gunzipped(path)
        case Packing.ZSTD:
            return _unpacked_zstd(path)


def _read(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(READ_BYTES):
            yield piece


def _gunzipped(path: Path) -> Iterator[bytes]:
    """Give the content of every gzip member (RFC 1952 section 2.2); RefusedError if one is none."""
    unpacker, parts = zlib.decompressobj(_GZIP), 1
    try:
        for packed in _read(path):
            rest = packed
            while rest:
                if unpacker.eof:
                    unpacker, parts = zlib.decompressobj(_GZIP), _next(parts)
                yield unpacker.decompress(rest, UNPACK_BYTES)
                rest = unpacker.unused_data if unpacker.eof else unpacker.unconsumed_tail
    except zlib.error as error:
        raise RefusedError("a layer is no gzip") from error
    if not unpacker.eof:
        raise RefusedError("a layer's gzip ends early")


def _unpacked_zstd(path: Path) -> Iterator[bytes]:
    """Give the content of every frame (RFC 8878 section 3.1); RefusedError if one is none.

    Frames that are to be skipped hold none: `zstd:chunked` ends with some.
    """
    unpacker, parts = _zstd_unpacker(), 1
    try:
        for packed in _read(path):
            rest = packed
            while rest or not (unpacker.eof or unpacker.needs_input):
                if unpacker.eof:
                    unpacker, parts = _zstd_unpacker(), _next(parts)
                yield unpacker.decompress(rest, UNPACK_BYTES)
                rest = unpacker.unused_data if unpacker.eof else b""
    except ZstdError as error:
        window = 2**MAX_WINDOW_LOG // 2**20
        raise RefusedError(f"a layer is no zstd with a window of {window} MiB or less") from error
    if not unpacker.eof:
        raise RefusedError("a layer's zstd ends early")


def _next(parts: int) -> int:
    """Return how many parts a layer has with the next one; RefusedError if that is too many."""
    if parts == MAX_PARTS:
        raise RefusedError(f"a layer has more than {MAX_PARTS} frames or members")
    return parts + 1


def _zstd_unpacker() -> ZstdDecompressor:
    return ZstdDecompressor(options={DecompressionParameter.window_log_max: MAX_WINDOW_LOG})
