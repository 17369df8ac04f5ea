"""What a tag names: the digest of the bytes that came, and what one pulls with it."""

from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facade.commands.resolve import (
    MAX_PLATFORMS,
    PlatformManifest,
    ResolvedTag,
    image_size,
    platforms_of,
    resolve_tag,
)
from facade.values.piece import WrongBytesError
from shared.oci import OCI_INDEX, OCI_MANIFEST, Digest, RepositoryName
from shared.upstream.authorization import OneShotAuthorizer
from shared.upstream.client import RegistryClient
from shared.upstream.errors import NotInRegistryError, UpstreamError
from shared.upstream.transport import UpstreamTransport
from tests.support.simulators.behaviour import Answers, Behaviour, NoLength, TypedAs
from tests.support.simulators.registry import RegistrySimulator
from tests.unit.upstream.conftest import target_of

APP = RepositoryName("team/app")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["config", "layers", "manifests", "size", "digest", "platform", "os"]),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


@pytest.fixture
async def registry() -> AsyncIterator[RegistrySimulator]:
    """A registry that lets anybody in."""
    async with RegistrySimulator() as simulator:
        yield simulator


async def resolve(registry: RegistrySimulator, tag: str = "latest") -> ResolvedTag:
    """Resolve a tag of `team/app`."""
    transport = await UpstreamTransport.open(target_of(registry))
    client = RegistryClient(transport, OneShotAuthorizer(transport, None))
    try:
        return await resolve_tag(client, APP, tag)
    finally:
        await client.close()


def image(*layer_sizes: int) -> bytes:
    """Return a manifest with layers of these sizes, and a config of 100 bytes."""
    layers = [{"digest": "sha256:" + "a" * 64, "size": size} for size in layer_sizes]
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": {"digest": "sha256:" + "b" * 64, "size": 100},
        "layers": layers,
    }
    return orjson.dumps(document)


def index(*manifests: dict[str, Any]) -> bytes:
    """Return an index of these."""
    return orjson.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests})


def tag(
    registry: RegistrySimulator,
    content: bytes,
    *,
    media_type: str = OCI_MANIFEST,
    name: str = "latest",
    get: Behaviour | None = None,
) -> None:
    """Serve a manifest under a tag, whose digest is still its own."""
    registry.manifest(content, media_type=media_type, get=get, digest=name)


async def test_an_images_tag_is_its_digest_and_size(registry: RegistrySimulator) -> None:
    """Config and layers, which is what a device pulls."""
    content = image(1000, 2000)
    tag(registry, content)
    assert await resolve(registry) == ResolvedTag(Digest.of(content), OCI_MANIFEST, 3100)


async def test_an_index_names_its_platforms(registry: RegistrySimulator) -> None:
    """Each with the digest and size of its own; an attestation is nothing that one pulls."""
    arm, amd = image(10), image(20, 30)
    arm_digest, amd_digest = registry.manifest(arm), registry.manifest(amd)
    arm_platform = {"os": "linux", "architecture": "arm64", "variant": "v8"}
    unknown = {"os": "unknown", "architecture": "unknown"}
    content = index(
        {"digest": arm_digest, "platform": arm_platform},
        {"digest": amd_digest, "platform": {"os": "linux", "architecture": "amd64"}},
        {"digest": "sha256:" + "c" * 64, "platform": unknown},
        {"digest": "sha256:" + "d" * 64},
    )
    tag(registry, content, media_type=OCI_INDEX)
    assert await resolve(registry) == ResolvedTag(
        Digest.of(content),
        OCI_INDEX,
        platforms=(
            PlatformManifest("linux/arm64/v8", Digest.parse(arm_digest), 110),
            PlatformManifest("linux/amd64", Digest.parse(amd_digest), 150),
            PlatformManifest("not named", Digest.parse("sha256:" + "d" * 64), None),
        ),
    )
    assert not [each for each in registry.pulls if "c" * 64 in each.path]


async def test_an_index_of_many_is_clipped(registry: RegistrySimulator) -> None:
    """And says by how much."""
    content = index(*({"digest": f"sha256:{n:064x}"} for n in range(MAX_PLATFORMS + 3)))
    tag(registry, content, media_type=OCI_INDEX)
    found = await resolve(registry)
    assert (len(found.platforms), found.left_out) == (MAX_PLATFORMS, 3)
    assert len(registry.pulls) == MAX_PLATFORMS + 1


async def test_the_bytes_decide_and_not_the_header(registry: RegistrySimulator) -> None:
    """A header that names another digest is no answer to stand on."""
    body, claim = image(1), "sha256:" + "e" * 64
    headers = (("Content-Type", OCI_MANIFEST), ("Docker-Content-Digest", claim))
    tag(registry, body, get=Answers(200, headers, body))
    with pytest.raises(WrongBytesError):
        await resolve(registry)


@pytest.mark.parametrize("claim", [None, "latest", "md5:abc"])
async def test_a_header_that_claims_nothing_is_not_missed(
    registry: RegistrySimulator, claim: str | None
) -> None:
    """Some registries have none."""
    body = image(1)
    headers = [("Content-Type", OCI_MANIFEST)]
    if claim is not None:
        headers.append(("Docker-Content-Digest", claim))
    tag(registry, body, get=Answers(200, tuple(headers), body))
    assert (await resolve(registry)).digest == Digest.of(body)


async def test_a_header_of_another_algorithm_is_held_to(registry: RegistrySimulator) -> None:
    """The bytes are hashed with it, and pinned with SHA-256."""
    body = image(1)
    headers = (("Content-Type", OCI_MANIFEST), ("Docker-Content-Digest", "sha512:" + "0" * 128))
    tag(registry, body, get=Answers(200, headers, body))
    with pytest.raises(WrongBytesError):
        await resolve(registry)


@pytest.mark.parametrize(
    "content, get",
    [
        (b"[]", None),
        (b"not json", None),
        (image(1), TypedAs((OCI_INDEX,))),
        (image(1), TypedAs((OCI_MANIFEST, OCI_INDEX))),
        (b'{"layers":[],"config":{}}', TypedAs(("application/json",))),
        (image(1), NoLength(framing="close", missing=20)),
        (b'{"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}', None),
        (orjson.dumps({"layers": [], "manifests": []}), None),
    ],
)
async def test_what_is_no_manifest_is_refused(
    registry: RegistrySimulator, content: bytes, get: Behaviour | None
) -> None:
    """It would be pinned, and no device could pull it."""
    tag(registry, content, get=get)
    with pytest.raises((WrongBytesError, UpstreamError)):
        await resolve(registry)


async def test_a_tag_that_is_not_there_is_not_found(registry: RegistrySimulator) -> None:
    """As the registry says."""
    with pytest.raises(NotInRegistryError):
        await resolve(registry, "none")


@given(JSON)
def test_any_manifest_has_a_size_or_none(manifest: object) -> None:
    """A hostile one ends in no exception, and in no number below zero."""
    if isinstance(manifest, dict):
        size = image_size(manifest)
        assert size is None or 0 <= size <= 2**53


@given(JSON)
def test_any_index_has_platforms_that_can_be_printed(index: object) -> None:
    """A hostile one ends in no exception, and steers no terminal."""
    if isinstance(index, dict):
        assert all(each.platform.isprintable() for each in platforms_of(index))
