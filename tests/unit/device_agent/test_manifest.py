"""Manifests: whatever bytes come, they are refused in words, or they mean one thing."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.dev.image import CONFIG, INDEX, LAYER, MANIFEST, make_image
from device_agent.descriptor import Descriptor
from device_agent.device_platform import Platform
from device_agent.errors import RefusedError
from device_agent.manifest import Packing, diff_ids_of, expect_model, packing_of, read_manifest
from tests.support.signed_fleet import model_of

IMAGE = make_image({"bin/x": b"content"}, architecture="amd64")
LIMIT = 1000
AMD64 = Platform.of_machine("x86_64")
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
        diff_ids_of(manifest, content, AMD64)


def test_an_image_for_another_machine_is_refused() -> None:
    """It would not start, or start something else."""
    manifest = read_manifest(IMAGE.manifest.body, MANIFEST, LIMIT)
    assert len(diff_ids_of(manifest, IMAGE.config.body, AMD64)) == 1
    with pytest.raises(RefusedError, match="arm64"):
        diff_ids_of(manifest, IMAGE.config.body, Platform.of_machine("aarch64"))


def test_a_config_of_another_image_is_refused() -> None:
    """It names other layers, in number or in kind."""
    two = read_manifest(changed(layers=layer() * 2), MANIFEST, LIMIT)
    with pytest.raises(RefusedError, match="does not name"):
        diff_ids_of(two, IMAGE.config.body, AMD64)
    model = model_of(b"x")
    with pytest.raises(RefusedError, match="is none"):
        diff_ids_of(read_manifest(model.manifest.body, MANIFEST, LIMIT), b"{}", AMD64)
    with pytest.raises(RefusedError, match="container's"):
        expect_model(read_manifest(IMAGE.manifest.body, MANIFEST, LIMIT))


def test_a_layer_that_cannot_be_looked_into_is_refused() -> None:
    """What is not looked into is not known."""
    assert packing_of(Descriptor(IMAGE.digest, 1, LAYER)) is Packing.GZIP
    for foreign in ("tar+bzip2", "tar+zstd+encrypted", "tar.gzip"):
        with pytest.raises(RefusedError, match="this agent reads"):
            packing_of(Descriptor(IMAGE.digest, 1, LAYER.replace("tar+gzip", foreign)))
