"""What is in a layer: read whole and in bounds, or refused in words."""

import gzip
import hashlib
from collections.abc import Sequence
from pathlib import Path

import pytest
from backports import zstd
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from device_agent.errors import RefusedError
from device_agent.layers import MAX_PARTS, MAX_WINDOW_LOG, READ_BYTES, unpacked_digest
from device_agent.manifest import Packing

LIMIT = 1024 * 1024
COMPRESSED = pytest.mark.parametrize("packing", [Packing.GZIP, Packing.ZSTD])
SKIPPED = b"\x50\x2a\x4d\x18\x04\x00\x00\x00\x00\xff\x00\xff"  # a frame that holds no content


def packed(content: bytes, packing: Packing) -> bytes:
    """Return one gzip member, one zstd frame, or the content itself."""
    match packing:
        case Packing.PLAIN:
            return content
        case Packing.GZIP:
            return gzip.compress(content, mtime=0)
        case Packing.ZSTD:
            return zstd.compress(content)


def framed(content: bytes, window_log: int) -> bytes:
    """Return a zstd frame for which a reader needs a window of so many bits."""
    wanted: dict[int, int] = {
        zstd.CompressionParameter.window_log: window_log,
        zstd.CompressionParameter.content_size_flag: 0,  # else the window is the content
    }
    compressor = zstd.ZstdCompressor(options=wanted)
    return compressor.compress(content) + compressor.flush()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(Packing), st.lists(st.binary(max_size=2000), min_size=1, max_size=4))
def test_a_layer_of_several_parts_is_one(
    tmp_path: Path, packing: Packing, parts: Sequence[bytes]
) -> None:
    """As gunzip and zstd read it."""
    path = tmp_path / "layer"
    path.write_bytes(b"".join(packed(each, packing) for each in parts))
    whole = b"".join(parts)
    found = unpacked_digest(path, packing, limit=LIMIT)
    assert found == (f"sha256:{hashlib.sha256(whole).hexdigest()}", len(whole))


def test_frames_that_are_to_be_skipped_are(tmp_path: Path) -> None:
    """`zstd:chunked` ends with its list of files in one; parts may end where a read does."""
    whole = b"x" * (READ_BYTES + 1)
    frame = zstd.compress(whole)
    filling = b"\x50\x2a\x4d\x18" + (READ_BYTES - 8).to_bytes(4, "little") + bytes(READ_BYTES - 8)
    path = tmp_path / "layer"
    path.write_bytes(filling + SKIPPED + frame + SKIPPED)
    digest, size = unpacked_digest(path, Packing.ZSTD, limit=2 * READ_BYTES)
    assert (digest, size) == (f"sha256:{hashlib.sha256(whole).hexdigest()}", len(whole))


@COMPRESSED
def test_a_bomb_is_cut(tmp_path: Path, packing: Packing) -> None:
    """64 MiB of nothing are a few KiB."""
    bomb = tmp_path / "bomb"
    bomb.write_bytes(packed(bytes(64 * 1024 * 1024), packing))
    with pytest.raises(RefusedError, match="more than 5000000"):
        unpacked_digest(bomb, packing, limit=5_000_000)


@COMPRESSED
def test_a_layer_has_so_many_parts_and_no_more(tmp_path: Path, packing: Packing) -> None:
    """Each costs, however little is in it: 8 bytes of zstd that hold nothing as much as any."""
    path = tmp_path / "layer"
    part = SKIPPED[:4] + bytes(4) if packing is Packing.ZSTD else packed(b"", packing)
    path.write_bytes(packed(b"x", packing) + part * (MAX_PARTS - 1))
    assert unpacked_digest(path, packing, limit=LIMIT)[1] == 1
    with path.open("ab") as file:
        file.write(part)
    with pytest.raises(RefusedError, match=f"more than {MAX_PARTS} frames"):
        unpacked_digest(path, packing, limit=LIMIT)


def test_a_window_is_no_larger_than_every_reader_has(tmp_path: Path) -> None:
    """A frame that asks for 16 MiB of memory is refused before it gets any."""
    path, content = tmp_path / "layer", bytes(1000)
    path.write_bytes(framed(content, MAX_WINDOW_LOG))
    assert unpacked_digest(path, Packing.ZSTD, limit=LIMIT)[1] == len(content)
    path.write_bytes(framed(content, MAX_WINDOW_LOG + 1))
    with pytest.raises(RefusedError, match="window of 8 MiB"):
        unpacked_digest(path, Packing.ZSTD, limit=LIMIT)


@COMPRESSED
@pytest.mark.parametrize("spoilt", ["text", "cut", "empty", "text behind it", "cut behind it"])
def test_a_layer_that_is_not_packed_as_it_says_is_refused(
    tmp_path: Path, packing: Packing, spoilt: str
) -> None:
    """Or that ends too early."""
    whole = packed(b"content" * 100, packing)
    contents = {
        "text": b"no such thing",
        "cut": whole[:-5],
        "empty": b"",
        "text behind it": whole + b"no such thing",
        "cut behind it": whole + whole[:-5],
    }
    path = tmp_path / "layer"
    path.write_bytes(contents[spoilt])
    with pytest.raises(RefusedError):
        unpacked_digest(path, packing, limit=LIMIT)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from([Packing.GZIP, Packing.ZSTD]),
    st.binary(min_size=1, max_size=300),
    st.integers(0, 10_000),
    st.integers(0, 255),
)
def test_what_is_read_of_a_layer_is_what_the_libraries_read_of_it(
    tmp_path: Path, packing: Packing, content: bytes, at: int, byte: int
) -> None:
    """With one byte changed; their own readers of whole files are the oracle."""
    whole = bytearray(packed(content, packing))
    whole[at % len(whole)] = byte
    path = tmp_path / "layer"
    path.write_bytes(whole)
    try:
        digest, size = unpacked_digest(path, packing, limit=LIMIT)
    except RefusedError:
        return
    right = (gzip if packing is Packing.GZIP else zstd).decompress(bytes(whole))
    assert (digest, size) == (f"sha256:{hashlib.sha256(right).hexdigest()}", len(right))
