"""Manifests: whatever bytes come, they are refused in words, or they mean one thing."""

import contextlib
import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.dev.image import CONFIG, INDEX, LAYER, MANIFEST, make_image
from device_agent.errors import RefusedError
from device_agent.layers import unpacked_digest
from device_agent.manifest import (
    Descriptor,
    diff_ids_of,
    expect_model,
    expect_readable_layer,
    read_manifest,
)
from tests.support.signed_fleet import model_of

IMAGE = make_image({"bin/x": b"content"}, architecture="amd64")
LIMIT = 1000
CUT = gzip.compress(b"content", mtime=0)[:-5]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4)
    ),
)


def changed(**fields: Any) -> bytes:
    """Return the image's manifest with other fields."""
    return json.dumps({**json.loads(IMAGE.manifest.body), **fields}).encode()


def layer(**fields: Any) -> list[dict[str, Any]]:
    """Return the image's layer with other fields."""
    return [{**json.loads(IMAGE.manifest.body)["layers"][0], **fields}]


def test_a_real_manifest_is_read() -> None:
    """As it was pushed."""
    manifest = read_manifest(IMAGE.manifest.body, MANIFEST, LIMIT)
    assert manifest.config.digest == IMAGE.config.digest
    assert [each.digest for each in manifest.layers] == [each.digest for each in IMAGE.layers]


WRONG = {
    "no JSON": b"\xff\xfe",
    "too deep": b"[" * 100_000,
    "no object": b"[]",
    "a name twice": b'{"schemaVersion": 2, "schemaVersion": 2}',
    "another type": changed(mediaType=INDEX),
    "another version": changed(schemaVersion=1),
    "an index as well": changed(manifests=[]),
    "no layers": changed(layers=[]),
    "too many layers": changed(layers=layer() * 1000),
    "a layer that is none": changed(layers=["sha256:" + "0" * 64]),
    "no digest": changed(layers=layer(digest="sha512:" + "0" * 128)),
    "a path for a digest": changed(layers=layer(digest="sha256:../../etc/passwd")),
    "a capital digest": changed(layers=layer(digest="sha256:" + "A" * 64)),
    "a size below nothing": changed(layers=layer(size=-1)),
    "a truth for a size": changed(layers=layer(size=True)),
    "a broken size": changed(layers=layer(size=1.5)),
    "too large": changed(layers=layer(size=LIMIT + 1)),
    "a huge config": changed(config={"mediaType": CONFIG, "digest": IMAGE.digest, "size": 10**9}),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_wrong_manifest_is_refused(kind: str) -> None:
    """In words."""
    with pytest.raises(RefusedError):
        read_manifest(WRONG[kind], MANIFEST, LIMIT)


@given(st.binary(max_size=300) | JSON.map(lambda value: json.dumps(value).encode()))
def test_whatever_comes_there_is_an_answer(content: bytes) -> None:
    """A manifest, or a refusal."""
    with contextlib.suppress(RefusedError):
        assert read_manifest(content, MANIFEST, LIMIT).layers


@given(JSON.map(lambda value: json.dumps(value).encode()))
def test_whatever_a_config_says_it_is_an_answer(content: bytes) -> None:
    """Digests of the layers, or a refusal."""
    manifest = read_manifest(IMAGE.manifest.body, MANIFEST, LIMIT)
    with pytest.raises(RefusedError):
        diff_ids_of(manifest, content, "x86_64")


def test_an_image_for_another_machine_is_refused() -> None:
    """It would not start, or start something else."""
    manifest = read_manifest(IMAGE.manifest.body, MANIFEST, LIMIT)
    assert len(diff_ids_of(manifest, IMAGE.config.body, "x86_64")) == 1
    with pytest.raises(RefusedError, match="arm64"):
        diff_ids_of(manifest, IMAGE.config.body, "aarch64")


def test_a_config_of_another_image_is_refused() -> None:
    """It names other layers, in number or in kind."""
    two = read_manifest(changed(layers=layer() * 2), MANIFEST, LIMIT)
    with pytest.raises(RefusedError, match="does not name"):
        diff_ids_of(two, IMAGE.config.body, "x86_64")
    model = model_of(b"x")
    with pytest.raises(RefusedError, match="is none"):
        diff_ids_of(read_manifest(model.manifest.body, MANIFEST, LIMIT), b"{}", "x86_64")
    with pytest.raises(RefusedError, match="container's"):
        expect_model(read_manifest(IMAGE.manifest.body, MANIFEST, LIMIT))


def test_a_layer_that_cannot_be_looked_into_is_refused() -> None:
    """What is not looked into is not known."""
    assert expect_readable_layer(Descriptor(IMAGE.digest, 1, LAYER))
    with pytest.raises(RefusedError, match="zstd"):
        expect_readable_layer(Descriptor(IMAGE.digest, 1, LAYER.replace("gzip", "zstd")))


@given(st.lists(st.binary(max_size=2000), min_size=1, max_size=4))
def test_a_layer_of_several_gzip_members_is_one(members: list[bytes]) -> None:
    """As gunzip reads it."""
    path = Path("/tmp") / f"layer-{hashlib.sha256(repr(members).encode()).hexdigest()}"  # noqa: S108
    path.write_bytes(b"".join(gzip.compress(each) for each in members))
    whole = b"".join(members)
    try:
        digest, size = unpacked_digest(path, compressed=True, limit=10_000)
        assert (digest, size) == (f"sha256:{hashlib.sha256(whole).hexdigest()}", len(whole))
    finally:
        path.unlink()


def test_a_bomb_is_cut(tmp_path: Path) -> None:
    """A gigabyte of nothing is a megabyte of gzip."""
    bomb = tmp_path / "bomb"
    with gzip.open(bomb, "wb") as file:
        for _ in range(64):
            file.write(bytes(1024 * 1024))
    with pytest.raises(RefusedError, match="more than 5000000"):
        unpacked_digest(bomb, compressed=True, limit=5_000_000)


@pytest.mark.parametrize("content", [b"no gzip", CUT, b""], ids=["text", "cut", "empty"])
def test_a_layer_that_is_no_gzip_is_refused(tmp_path: Path, content: bytes) -> None:
    """Or that ends too early."""
    path = tmp_path / "layer"
    path.write_bytes(content)
    with pytest.raises(RefusedError):
        unpacked_digest(path, compressed=True, limit=1000)
